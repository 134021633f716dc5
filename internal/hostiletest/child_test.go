package hostiletest

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

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

const childPolicy = `
defaults:
  timeouts: {total: 30s}
upstreams:
  - name: local
    hosts: ["127.0.0.1:*"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.0.0.1]
    grants: [unsafe_skip_verify]
`

// binary is built once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(workDir, "fetchsvc")
	build := exec.Command("go", "build", "-trimpath", "-o", path, "../../cmd/fetchsvc")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// child is the service in a process of its own.
type child struct {
	pid    int
	client fetchsvcv1.FetchServiceClient
}

// start runs the service with nothing of this environment that would change how
// it uses memory.
func start(t *testing.T) *child {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skipf("SKIP: a process's peak memory is read from /proc, which %s has not", runtime.GOOS)
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte(childPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "serve", "--policy", policy, "--grpc", "127.0.0.1:0", "--rest", "127.0.0.1:0")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addr := make(chan string, 1)
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line struct{ Msg, GRPC string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				addr <- line.GRPC
				continue
			}
			t.Log(lines.Text())
		}
		close(addr)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-logged
		_ = cmd.Wait()
	})
	at, ok := <-addr
	if !ok {
		t.Fatal("the service did not start")
	}
	conn, err := grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &child{pid: cmd.Process.Pid, client: fetchsvcv1.NewFetchServiceClient(conn)}
}

// peak is the most memory that the child has had resident, in MiB.
func (c *child) peak(t *testing.T) int {
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
	t.Fatal("the system does not tell the peak")
	return 0
}
