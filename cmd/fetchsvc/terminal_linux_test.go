package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
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
