package testpeer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Service is fetchsvc itself, for tests that need it in a process of its own: without
// the race detector, whose memory says nothing. It is built once. Make one for all
// tests of a package, and have TestMain Close it.
type Service struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// Close removes what was built.
func (s *Service) Close() {
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

func (s *Service) build() {
	if s.dir, s.err = os.MkdirTemp("", "fetchsvc-service"); s.err != nil {
		return
	}
	s.path = filepath.Join(s.dir, "fetchsvc")
	build := exec.Command("go", "build", "-trimpath", "-o", s.path, "github.com/fetchsvc/fetchsvc/cmd/fetchsvc")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		s.err = fmt.Errorf("%w: %s", err, out)
	}
}

// Child is a running Service.
type Child struct {
	// GRPC and REST are the addresses of its doors.
	GRPC, REST string

	pid int
}

// Start runs `serve` under a policy until the test ends, with nothing of this
// environment that would change how it uses memory.
func (s *Service) Start(t testing.TB, policy string, args ...string) *Child {
	t.Helper()
	return s.start(t, nil, policy, args)
}

// StartWithFiles is Start for a process that may have no more than n files open.
func (s *Service) StartWithFiles(t testing.TB, n int, policy string, args ...string) *Child {
	t.Helper()
	return s.start(t, []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$@"`, n), "sh"}, policy, args)
}

func (s *Service) start(t testing.TB, before []string, policy string, args []string) *Child {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skipf("SKIP: a process's peak memory is read from /proc, which %s has not", runtime.GOOS)
	}
	if s.once.Do(s.build); s.err != nil {
		t.Fatalf("testpeer: build the service: %v", s.err)
	}
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	line := append(before, s.path, "serve", "--policy", file, "--grpc", "127.0.0.1:0", "--rest", "127.0.0.1:0")
	line = append(line, args...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &Child{pid: cmd.Process.Pid}
	serving, logged := make(chan bool, 1), make(chan struct{})
	go func() {
		defer close(logged)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line struct{ Msg, GRPC, REST string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				c.GRPC, c.REST = line.GRPC, line.REST
				serving <- true
				continue
			}
			t.Log(lines.Text())
		}
		close(serving)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-logged
		_ = cmd.Wait()
	})
	if !<-serving {
		t.Fatal("testpeer: the service did not start")
	}
	return c
}

// Peak is the most memory that the child has had resident, in MiB.
func (c *Child) Peak(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return kib >> 10
		}
	}
	t.Fatal("testpeer: the system does not tell the peak")
	return 0
}

// CPU is the processor time that the child has used, in hundredths of a second.
func (c *Child) CPU(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), ") ") // behind the name; proc_pid_stat(5)
	fields := strings.Fields(after)
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		t.Fatalf("testpeer: %v, %v", err1, err2)
	}
	return user + system
}
