package canarytest

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait. It is no part of any assertion: generous, for loaded
// machines.
const patience = 60 * time.Second

// output is what a process writes; what is awaited need not be polled for.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) look() ([]byte, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.text.Bytes()), o.changed
}

// child is a running `fetchsvc serve`.
type child struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr *output
	ended          chan struct{}
	grpc, rest     string
}

// serve starts the service under a policy file.
func serve(t *testing.T, env []string, args ...string) *child {
	t.Helper()
	args = append([]string{"serve", "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0"}, args...)
	c := &child{t: t, cmd: exec.Command(program, args...), stdout: newOutput(), stderr: newOutput(), ended: make(chan struct{})}
	c.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GOTRACEBACK=all"}, env...)
	c.cmd.Stdout, c.cmd.Stderr, c.cmd.WaitDelay = c.stdout, c.stderr, time.Second
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		_ = c.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.ended
	})
	m := c.await(`"msg":"serving","grpc":"([^"]+)","rest":"([^"]+)"`)
	c.grpc, c.rest = m[1], "http://"+m[2]
	return c
}

// await blocks until stderr matches pattern and gives the match with its groups.
func (c *child) await(pattern string) []string {
	c.t.Helper()
	re := regexp.MustCompile(pattern)
	late := time.NewTimer(patience)
	defer late.Stop()
	ended := c.ended
	for {
		text, changed := c.stderr.look()
		if m := re.FindStringSubmatch(string(text)); m != nil {
			return m
		}
		select {
		case <-changed:
		case <-ended:
			if ended == nil {
				c.t.Fatalf("the service ended without writing %q:\n%s", pattern, text)
			}
			ended = nil // look once more
		case <-late.C:
			c.t.Fatalf("the service did not write %q:\n%s", pattern, text)
		}
	}
}

// stop ends the child by a signal and waits.
func (c *child) stop(sig syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		c.t.Fatal(err)
	}
	select {
	case <-c.ended:
	case <-time.After(patience):
		c.t.Fatalf("the service did not end")
	}
}

// run runs fetchsvc to its end and gives what it wrote.
func run(t *testing.T, env []string, stdin string, args ...string) (stdout, stderr []byte) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = strings.NewReader(stdin), &out, &errs, time.Second
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.Bytes(), errs.Bytes()
}
