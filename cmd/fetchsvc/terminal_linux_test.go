package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// openTerminal makes a terminal: a child writes to tty, the test reads screen.
func openTerminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	return screen, tty
}

// onTerminal runs fetch with a terminal as stdout.
func onTerminal(t *testing.T, args ...string) (code int, screenText, errs string) {
	t.Helper()
	screen, tty := openTerminal(t)
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"fetch"}, args...)...)
	cmd.Stdout, cmd.Stderr = tty, &stderr
	err := cmd.Run()
	_ = tty.Close() // the screen ends with the last writer
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(screen) // Linux ends it with EIO
	return cmd.ProcessState.ExitCode(), string(text), stderr.String()
}

func TestFetchOnTerminal(t *testing.T) {
	t.Parallel()
	w := startDev(t)
	code, screen, errs := onTerminal(t, "--server", w.grpc, w.bin+"/base64/AAEC")
	if code != exitOther || screen != "" || !bytes.Contains([]byte(errs), []byte("--output")) {
		t.Errorf("binary: got exit code %d, %q on the screen and %q, want %d and a hint", code, screen, errs, exitOther)
	}
	if code, screen, errs = onTerminal(t, "--server", w.grpc, "-o-", w.bin+"/base64/AAEC"); code != 0 || screen != "\x00\x01\x02" {
		t.Errorf("-o -: got exit code %d, %q on the screen and %q, want the bytes", code, screen, errs)
	}
	if code, screen, errs = onTerminal(t, "--server", w.grpc, w.bin+"/base64/dGV4dA=="); code != 0 || screen != "text" {
		t.Errorf("text: got exit code %d, %q on the screen and %q, want the text", code, screen, errs)
	}
}

// TestStreamBinaryOnTerminal: what came before the first binary byte is text.
func TestStreamBinaryOnTerminal(t *testing.T) {
	t.Parallel()
	w := startDev(t)
	code, screen, errs := onTerminal(t, "--stream", "--server", w.grpc, w.bin+"/base64/AAEC")
	if code != exitOther || screen != "" || !bytes.Contains([]byte(errs), []byte("--output")) {
		t.Errorf("got exit code %d, %q on the screen and %q, want %d and a hint", code, screen, errs, exitOther)
	}
}

// TestProgressOnTerminal watches the line on a terminal that is stderr. The
// upstream, or the pipe that is sent, goes on when the line is there.
func TestProgressOnTerminal(t *testing.T) {
	t.Parallel()
	w := startServe(t, "--policy="+openPolicy(t))
	goOn := make(chan struct{})
	halves := testpeer.Raw(t, func(c *testpeer.RawConn) {
		c.ReadRequest()
		c.Write(testpeer.Lines("HTTP/1.1 200 OK", "Content-Length: 8") + "half")
		select {
		case <-goOn:
			c.Write("half")
		case <-c.Done():
		}
	}).URL
	uploads, _ := taker(t)
	stdin, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	defer pipe.Close()
	sends := func() { _, _ = pipe.WriteString("up") }
	answers := func() { goOn <- struct{}{} }
	later := func() { // when a line would have been drawn
		<-time.After(2 * redraw)
		answers()
	}
	file := filepath.Join(t.TempDir(), "file")
	tests := []struct {
		name   string
		args   []string
		start  func()
		shows  string // empty: nothing is shown
		finish func()
	}{
		{"download", []string{"-o", file, halves}, nil, `\r 50% \[==========          \] received 4 B of 8 B, `, answers},
		{"--no-progress", []string{"--no-progress", "-o", file, halves}, nil, "", later},
		{"without -o", []string{halves}, nil, "", later},
		{"upload", []string{"-T", "-", uploads}, sends, `\rsent 2 B, `, func() { _ = pipe.Close() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			screen, tty := openTerminal(t)
			c := start(t, input{pipe: stdin, tty: tty}, append([]string{"fetch", "--stream", "--server", w.grpc}, tt.args...)...)
			_ = tty.Close() // the screen ends with the last writer
			shown := newStream()
			seen := make(chan struct{})
			go func() {
				defer close(seen)
				_, _ = io.Copy(shown, screen) // Linux ends it with EIO
			}()
			if tt.start != nil {
				tt.start()
			}
			if tt.shows != "" {
				c.await(shown, tt.shows)
			}
			tt.finish()
			if code := c.wait(); code != 0 {
				t.Errorf("got exit code %d and %q, want 0", code, shown)
			}
			<-seen
			if got := shown.String(); tt.shows == "" && got != "" || tt.shows != "" && !strings.HasSuffix(got, "\r\x1b[K") {
				t.Errorf("at the end the screen had got %q, want what was shown to be cleared", got)
			}
		})
	}
	c := start(t, input{}, "fetch", "--stream", "--server", w.grpc, "-o", file, halves)
	later()
	if code := c.wait(); code != 0 || c.stderr.String() != "" {
		t.Errorf("stderr is no terminal: got exit code %d and %q, want 0 and nothing", code, c.stderr)
	}
}

// TestDevInColour: calls have colours on a terminal, for who does not mind them.
func TestDevInColour(t *testing.T) {
	t.Parallel()
	for variable, want := range map[string]bool{"TERM=xterm": true, "NO_COLOR=1": false, "TERM=dumb": false} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			screen, tty := openTerminal(t)
			c := start(t, input{out: tty, env: []string{"NO_COLOR=", "TERM=xterm", variable}}, "dev", "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0", "--httpbin=127.0.0.1:0")
			_ = tty.Close() // the screen ends with the last writer
			shown := newStream()
			seen := make(chan struct{})
			go func() {
				defer close(seen)
				_, _ = io.Copy(shown, screen) // Linux ends it with EIO
			}()
			m := c.await(shown, `gRPC on (\S+), REST on \S+, an httpbin to call on (\S+)\.\r?\n`)
			(&world{child: c, grpc: m[1]}).fetch(t, "http://"+m[2]+"/get").ok(t)
			c.await(shown, `wire: answered`)
			c.signal(syscall.SIGTERM)
			c.wait()
			<-seen
			if got := strings.Contains(shown.String(), "\x1b[32m"); got != want {
				t.Errorf("in colour: got %t, want %t:\n%q", got, want, shown)
			}
		})
	}
}
