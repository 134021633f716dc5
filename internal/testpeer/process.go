package testpeer

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Binary finds a program of the system that a test needs, /usr/sbin included.
// Where it is missing the test is skipped, or fails if CI=true: there, everything
// is installed.
func Binary(t testing.TB, name, debianPackage string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("testpeer: no %s; install Debian's package %s", name, debianPackage)
	}
	t.Skipf("testpeer: no %s; install Debian's package %s to run this test", name, debianPackage)
	return ""
}

// output is what a process says, for the test that fails.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// startProcess runs what command makes for a free port of loopback until the
// test ends, and returns when it listens there.
func startProcess(t testing.TB, command func(host, port string) *exec.Cmd) (addr string) {
	t.Helper()
	var said *output
	for range 5 { // somebody else may take the port meanwhile
		l := listen(t)
		addr = l.Addr().String()
		_ = l.Close()
		host, port, _ := net.SplitHostPort(addr)
		cmd := command(host, port)
		said = &output{}
		cmd.Stdout, cmd.Stderr = said, said
		cmd.WaitDelay = patience
		if err := cmd.Start(); err != nil {
			t.Fatalf("testpeer: start %s: %v", cmd.Path, err)
		}
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait()
			close(ended)
		}()
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			<-ended
		})
		if listens(addr, ended) {
			return addr
		}
	}
	t.Fatalf("testpeer: the process does not listen on %s; it says:\n%s", addr, said)
	return ""
}

// listens waits until addr accepts; false: the process ended, or patience did.
func listens(addr string, ended <-chan struct{}) bool {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		if c, err := net.DialTimeout("tcp", addr, patience); err == nil {
			_ = c.Close()
			select {
			case <-ended:
				return false // it was another's
			default:
				return true
			}
		}
		select {
		case <-ended:
			return false
		case <-late.C:
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
}
