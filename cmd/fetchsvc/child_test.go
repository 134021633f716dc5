package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait. It is no part of any assertion: generous, for
// loaded machines.
const patience = 60 * time.Second

// stream collects what a child writes; what is awaited need not be polled for.
type stream struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newStream() *stream { return &stream{changed: make(chan struct{})} }

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
	return s.text.Write(p)
}

func (s *stream) look() (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String(), s.changed
}

func (s *stream) String() string {
	text, _ := s.look()
	return text
}

// child is a running fetchsvc.
type child struct {
	t              testing.TB
	cmd            *exec.Cmd
	stdout, stderr *stream
	ended          chan struct{} // closed once the child was waited for
	code           int
}

// input is what a child gets beside its arguments.
type input struct {
	stdin string
	pipe  *os.File // instead of stdin
	out   *os.File // instead of stdout
	tty   *os.File // instead of stderr
	env   []string
	dir   string
}

// start runs fetchsvc; it is dead and waited for when the test ends.
func start(t testing.TB, in input, args ...string) *child {
	t.Helper()
	return startCommand(t, in, binary, args...)
}

func startCommand(t testing.TB, in input, name string, args ...string) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command(name, args...), stdout: newStream(), stderr: newStream(), ended: make(chan struct{})}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr, c.cmd.Dir = strings.NewReader(in.stdin), c.stdout, c.stderr, in.dir
	if in.pipe != nil {
		c.cmd.Stdin = in.pipe
	}
	if in.out != nil {
		c.cmd.Stdout = in.out
	}
	if in.tty != nil {
		c.cmd.Stderr = in.tty
	}
	c.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "FETCHSVC_") || strings.HasPrefix(v, "OTEL_") })
	c.cmd.Env = append(c.cmd.Env, "GORACE=atexit_sleep_ms=10") // a second otherwise, for each child
	c.cmd.Env = append(c.cmd.Env, in.env...)
	c.cmd.WaitDelay = time.Second // a grandchild may hold the pipes
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		err := c.cmd.Wait()
		var exited *exec.ExitError
		if err != nil && !errors.As(err, &exited) && !errors.Is(err, exec.ErrWaitDelay) {
			c.code = -2
			return
		}
		c.code = c.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.ended
	})
	return c
}

// await blocks until s matches pattern and gives the match with its groups.
func (c *child) await(s *stream, pattern string) (match []string) {
	c.t.Helper()
	re := regexp.MustCompile(pattern)
	c.awaitThat(s, pattern, func(text string) bool {
		match = re.FindStringSubmatch(text)
		return match != nil
	})
	return match
}

// awaitText blocks until that text is all that stands on stdout.
func (c *child) awaitText(want string) {
	c.t.Helper()
	c.awaitThat(c.stdout, want, func(text string) bool { return text == want })
}

func (c *child) awaitThat(s *stream, what string, ok func(text string) bool) {
	c.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	ended := c.ended
	for {
		text, changed := s.look()
		if ok(text) {
			return
		}
		select {
		case <-changed:
		case <-ended:
			ended = nil // look once more: all is written
			if !ok(s.String()) {
				c.t.Fatalf("%v ended with %d before it wrote %q; stdout:\n%s\nstderr:\n%s", c.cmd.Args, c.code, what, c.stdout, c.stderr)
			}
		case <-late.C:
			c.t.Fatalf("%v did not write %q; stdout:\n%s\nstderr:\n%s", c.cmd.Args, what, c.stdout, c.stderr)
		}
	}
}

func (c *child) signal(sig os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		c.t.Fatalf("signal: %v", err)
	}
}

// wait blocks until the child has ended and gives its exit code.
func (c *child) wait() int {
	c.t.Helper()
	select {
	case <-c.ended:
		if strings.Contains(c.stderr.String(), "DATA RACE") {
			c.t.Errorf("%v has a data race:\n%s", c.cmd.Args, c.stderr)
		}
		return c.code
	case <-time.After(patience):
		c.t.Fatalf("%v did not end; stdout:\n%s\nstderr:\n%s", c.cmd.Args, c.stdout, c.stderr)
		return -1
	}
}

func (c *child) running() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// result is what a child that has ended leaves.
type result struct {
	code           int
	stdout, stderr string
}

// runToEnd runs fetchsvc to its end.
func runToEnd(t testing.TB, in input, args ...string) result {
	t.Helper()
	c := start(t, in, args...)
	code := c.wait()
	return result{code, c.stdout.String(), c.stderr.String()}
}

// ok fails the test unless the child ended well.
func (r result) ok(t testing.TB) result {
	t.Helper()
	if r.code != 0 {
		t.Fatalf("exit code: got %d, want 0; stdout:\n%s\nstderr:\n%s", r.code, r.stdout, r.stderr)
	}
	return r
}

// world is a running `serve` or `dev` and where it listens.
type world struct {
	*child
	grpc, rest string
	// bin is dev's httpbin, as a URL without a final slash.
	bin string
}

// fetch runs `fetchsvc fetch` against the service.
func (w *world) fetch(t testing.TB, args ...string) result {
	t.Helper()
	return runToEnd(t, input{env: []string{"FETCHSVC_SERVER=" + w.grpc}}, append([]string{"fetch"}, args...)...)
}

func startDev(t testing.TB, args ...string) *world {
	t.Helper()
	c := start(t, input{}, append([]string{"dev", "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0", "--httpbin=127.0.0.1:0"}, args...)...)
	m := c.await(c.stdout, `gRPC on (\S+), REST on (\S+), an httpbin to call on (\S+)\.\n[\s\S]*Ctrl-C`)
	return &world{child: c, grpc: m[1], rest: m[2], bin: "http://" + m[3]}
}

func startServe(t testing.TB, args ...string) *world {
	t.Helper()
	c := start(t, input{}, append([]string{"serve", "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0"}, args...)...)
	m := c.await(c.stderr, `"msg":"serving","grpc":"([^"]+)","rest":"([^"]+)"`)
	return &world{child: c, grpc: m[1], rest: m[2]}
}

// openPolicy is a policy file that lets calls reach every port of this machine.
func openPolicy(t testing.TB) string {
	t.Helper()
	return writeTemp(t, "open.yaml", `upstreams:
  - name: local
    hosts: ["127.0.0.1:*"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.0.0.0/8]
`)
}

func writeTemp(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}
