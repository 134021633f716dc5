package collectortest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// late bounds every wait. It is no part of any assertion: generous, for loaded machines.
const late = 90 * time.Second

// service is the binary in a process of its own, with the upstream that it calls.
type service struct {
	t         *testing.T
	cmd       *exec.Cmd
	api       fetchsvcv1.FetchServiceClient
	rest, url string
	calls     atomic.Int64
	ended     chan struct{}

	mu  sync.Mutex
	log bytes.Buffer
}

// Write keeps what the service logs.
func (s *service) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *service) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// serve starts it with a collector, of which it expects little: queues are short and
// exports soon given up.
func serve(t *testing.T, c *Collector, more ...string) *service {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	t.Cleanup(upstream.Close)
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte("upstreams:\n  - {name: local, hosts: [\"127.0.0.1:*\"], schemes: [http], unsafe_allow_addresses: [127.0.0.1]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, cmd: exec.Command(program, "serve", "--policy", file, "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0"), url: upstream.URL, ended: make(chan struct{})}
	s.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=" + c.protocol,
		"OTEL_EXPORTER_OTLP_TIMEOUT=1000", "OTEL_BSP_EXPORT_TIMEOUT=1000", "OTEL_BLRP_EXPORT_TIMEOUT=1000", "OTEL_METRIC_EXPORT_TIMEOUT=1000",
		"OTEL_BSP_SCHEDULE_DELAY=100", "OTEL_BLRP_SCHEDULE_DELAY=100", "OTEL_METRIC_EXPORT_INTERVAL=500",
		"OTEL_BSP_MAX_QUEUE_SIZE=512", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=128",
	}, more...)
	s.cmd.Stderr, s.cmd.WaitDelay = s, time.Second
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.ended
	})
	m := s.await(`"msg":"serving","grpc":"([^"]+)","rest":"([^"]+)"`)
	s.rest = "http://" + m[2]
	conn, err := grpc.NewClient(m[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s.api = fetchsvcv1.NewFetchServiceClient(conn)
	return s
}

// until waits for a condition; what it says is for the test that waits in vain.
func (s *service) until(met func() (bool, string)) {
	s.t.Helper()
	for end := time.Now().Add(late); ; time.Sleep(50 * time.Millisecond) {
		ok, state := met()
		if ok {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("waited in vain: %s; the log:\n%s", state, s.text())
		}
	}
}

// await waits until the log matches, and gives the groups.
func (s *service) await(pattern string) (m []string) {
	s.t.Helper()
	re := regexp.MustCompile(pattern)
	s.until(func() (bool, string) {
		m = re.FindStringSubmatch(s.text())
		return m != nil, "no " + pattern
	})
	return m
}

// count is how many lines of the log say that of a signal.
func (s *service) count(msg, signal string) int {
	return strings.Count(s.text(), fmt.Sprintf(`"msg":"%s","signal":"%s"`, msg, signal))
}

// call makes n calls, sixteen at a time. Each is to be answered.
func (s *service) call(n int) {
	s.t.Helper()
	var all sync.WaitGroup
	var next atomic.Int64
	for range 16 {
		all.Go(func() {
			for next.Add(1) <= int64(n) {
				res, err := s.api.Fetch(s.t.Context(), &fetchsvcv1.FetchRequest{Url: s.url})
				if err != nil || res.GetStatus() != http.StatusOK {
					s.t.Errorf("a call failed: status %d, %v", res.GetStatus(), err)
					return
				}
			}
		})
	}
	all.Wait()
	s.calls.Add(int64(n))
}

// spans are how many the service has made: two for each call, that of the RPC and that
// of its attempt.
func (s *service) spans() int64 { return 2 * s.calls.Load() }

// lost reads from /metrics how much of a signal is lost; its own trace is not sampled.
func (s *service) lost(signal string) int64 {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodGet, s.rest+"/metrics", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Close = true
	req.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^fetchsvc_telemetry_lost_total\{[^}]*fetchsvc_signal="` + signal + `"[^}]*\} ([0-9]+)$`).FindSubmatch(page)
	if m == nil {
		s.t.Fatalf("/metrics does not tell how many %s are lost:\n%s", signal, page)
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// peak is the most memory that it has had resident, in MiB; 0: the system does not tell.
func (s *service) peak() int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	m := regexp.MustCompile(`(?m)^VmHWM:\s*([0-9]+) kB$`).FindSubmatch(text)
	if m == nil {
		return 0
	}
	kib, _ := strconv.Atoi(string(m[1]))
	return kib >> 10
}

// stop ends it as an operator does, and says how long that took.
func (s *service) stop() time.Duration {
	s.t.Helper()
	begin := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.ended:
	case <-time.After(late):
		s.t.Fatalf("it does not stop; the log:\n%s", s.text())
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Errorf("it ended with %d; the log:\n%s", code, s.text())
	}
	return time.Since(begin)
}
