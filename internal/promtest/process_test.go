package promtest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
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

// output is what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// process is one that runs until the test ends.
type process struct {
	said  *output
	ended chan struct{}
}

func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{said: &output{}, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = p.said, p.said, time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-p.ended
		}
	})
	return p
}

func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// eventually asks until the answer is yes. Each answer says what was seen instead.
func eventually(t *testing.T, what string, yes func() (bool, string)) {
	t.Helper()
	var seen string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var ok bool
		if ok, seen = yes(); ok {
			return
		}
	}
	t.Fatalf("this did not come: %s; at last: %s", what, seen)
}

// build makes the service.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "fetchsvc")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", program, "github.com/fetchsvc/fetchsvc/cmd/fetchsvc")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the service: %v\n%s", err, out)
	}
	return program
}

// serve starts the service and gives the address of its REST door.
func serve(t *testing.T, program string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, append([]string{"serve", "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0"}, args...)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	p := start(t, cmd)
	serving := regexp.MustCompile(`"msg":"serving".*"rest":"([^"]+)"`)
	var rest string
	eventually(t, "the service serves", func() (bool, string) {
		m := serving.FindStringSubmatch(p.said.String())
		if m != nil {
			rest = m[1]
		} else if !p.alive() {
			t.Fatalf("the service ended:\n%s", p.said)
		}
		return m != nil, p.said.String()
	})
	return rest
}

// prometheus starts one by a configuration and gives its address. Its port is one
// that was free: another process may take it in between, so it is tried again.
func prometheus(t *testing.T, config string) string {
	t.Helper()
	program := tool(t, "prometheus")
	for again := 0; ; again++ {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := lis.Addr().String()
		_ = lis.Close()
		p := start(t, exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(t.TempDir(), fmt.Sprint("data", again)),
			"--web.listen-address="+addr, "--enable-feature=exemplar-storage"))
		ready := false
		eventually(t, "Prometheus is ready", func() (bool, string) {
			if !p.alive() {
				return true, ""
			}
			_, err := get("http://"+addr+"/-/ready", nil, "")
			ready = err == nil
			return ready, fmt.Sprint(err)
		})
		switch {
		case ready && p.alive():
			return addr
		case again == 2 || !strings.Contains(p.said.String(), "address already in use"):
			t.Fatalf("Prometheus ended:\n%s", p.said)
		}
	}
}
