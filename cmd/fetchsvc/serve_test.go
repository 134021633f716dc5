package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// ask makes one HTTP request on a connection of its own.
func ask(t testing.TB, method, url, body string) (status int, answer string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Errorf("%s %s: %v", method, url, err)
		return 0, ""
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, url, err)
	}
	return res.StatusCode, string(text)
}

// watchHealth gives the statuses that a load balancer is told, until it is let
// go.
func watchHealth(t testing.TB, addr string) <-chan healthv1.HealthCheckResponse_ServingStatus {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan healthv1.HealthCheckResponse_ServingStatus, 16)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(told)
		for {
			res, err := stream.Recv()
			if err != nil {
				return
			}
			told <- res.GetStatus()
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-ended
	})
	return told
}

func await[T any](t testing.TB, what string, from <-chan T) (v T, open bool) {
	t.Helper()
	select {
	case v, open = <-from:
		return v, open
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
		return v, false
	}
}

// TestSignalFinishesWhatIsInFlight holds a call at each door while the service is
// told to stop.
func TestSignalFinishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	slow := testpeer.Slow(t, release)
	w := startServe(t, "--policy="+openPolicy(t))
	health := watchHealth(t, w.grpc)
	if status, _ := await(t, "health", health); status != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health before: got %v, want SERVING", status)
	}
	overGRPC := start(t, input{}, "fetch", "--server", w.grpc, slow.URL)
	overREST := make(chan string, 1)
	go func() {
		_, answer := ask(t, "POST", "http://"+w.rest+"/v1/fetch", `{"url":"`+slow.URL+`"}`)
		overREST <- answer
	}()
	slow.AwaitActive(2)

	w.signal(syscall.SIGTERM)

	if status, _ := await(t, "health", health); status != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health after: got %v, want NOT_SERVING", status)
	}
	if _, open := await(t, "the end of the health watch", health); open {
		t.Error("a health watcher keeps the service from stopping")
	}
	if status, _ := ask(t, "GET", "http://"+w.rest+"/readyz", ""); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz while stopping: got %d, want 503", status)
	}
	if status, _ := ask(t, "GET", "http://"+w.rest+"/healthz", ""); status != http.StatusOK {
		t.Errorf("/healthz while stopping: got %d, want 200: it is alive", status)
	}
	if r := runToEnd(t, input{}, "healthcheck", "--rest", w.rest); r.code != 1 {
		t.Errorf("healthcheck while stopping: got exit code %d, want 1", r.code)
	}
	status, answer := ask(t, "POST", "http://"+w.rest+"/v1/fetch", `{"url":"`+slow.URL+`"}`)
	if status != http.StatusServiceUnavailable || !strings.Contains(answer, "SHUTTING_DOWN") {
		t.Errorf("a new call while stopping: got %d %s, want 503 SHUTTING_DOWN", status, answer)
	}
	if !w.running() {
		t.Fatal("the service ended before its calls")
	}

	close(release)

	if code := overGRPC.wait(); code != 0 {
		t.Errorf("the call over gRPC: got exit code %d, want 0: %s", code, overGRPC.stderr)
	}
	if answer, _ := await(t, "the answer over REST", overREST); !strings.Contains(answer, `"status":200`) {
		t.Errorf("the call over REST: got %s, want status 200", answer)
	}
	if code := w.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0; stderr:\n%s", code, w.stderr)
	}
	if !strings.Contains(w.stderr.String(), `"msg":"stopped"`) {
		t.Errorf("the log does not say that it stopped:\n%s", w.stderr)
	}
}

func TestGraceEnds(t *testing.T) {
	t.Parallel()
	slow := testpeer.Slow(t, make(chan struct{}))
	w := startServe(t, "--policy="+openPolicy(t), "--grace=100ms")
	call := start(t, input{}, "fetch", "--server", w.grpc, slow.URL)
	slow.AwaitActive(1)
	w.signal(syscall.SIGTERM)
	if code := w.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0; stderr:\n%s", code, w.stderr)
	}
	if !strings.Contains(w.stderr.String(), "cut off") {
		t.Errorf("the log does not say that calls were cut off:\n%s", w.stderr)
	}
	if code := call.wait(); code != exitNoService {
		t.Errorf("the call that was cut off: got exit code %d, want %d: %s", code, exitNoService, call.stderr)
	}
	slow.AwaitCancelled(1)
}

// TestSecondSignalStopsNow repeats the second signal: one that comes right after
// the first is not heard.
func TestSecondSignalStopsNow(t *testing.T) {
	t.Parallel()
	slow := testpeer.Slow(t, make(chan struct{}))
	w := startServe(t, "--policy="+openPolicy(t), "--grace=1h")
	start(t, input{}, "fetch", "--server", w.grpc, slow.URL)
	slow.AwaitActive(1)
	w.signal(syscall.SIGTERM)
	w.await(w.stderr, `"msg":"stopping"`)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for late := time.Now().Add(patience); w.running() && time.Now().Before(late); {
		_ = w.cmd.Process.Signal(syscall.SIGINT) // it may have ended just now
		select {
		case <-w.ended:
		case <-again.C:
		}
	}
	if code := w.wait(); code != exitInterrupted {
		t.Errorf("exit code: got %d, want %d", code, exitInterrupted)
	}
}

// TestSignalTwiceAtOnce is what timeout(1) does: it signals the process and then
// its whole group. The signals gather while the process is stopped, so that they
// arrive together on the slowest machine; the kernel makes one of two that are
// the same, hence the third.
func TestSignalTwiceAtOnce(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	slow := testpeer.Slow(t, release)
	w := startServe(t, "--policy="+openPolicy(t), "--grace=1h")
	call := start(t, input{}, "fetch", "--server", w.grpc, slow.URL)
	slow.AwaitActive(1)
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGTERM, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCONT} {
		w.signal(sig)
	}
	w.await(w.stderr, `"msg":"stopping"`)
	close(release)
	if code := call.wait(); code != 0 {
		t.Errorf("the call: got exit code %d, want 0: %s", code, call.stderr)
	}
	if code := w.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0; stderr:\n%s", code, w.stderr)
	}
}

func TestSignalWhileIdle(t *testing.T) {
	t.Parallel()
	w := startServe(t, "--grace=1h")
	w.signal(syscall.SIGINT)
	if code := w.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0; stderr:\n%s", code, w.stderr)
	}
}

func TestServeWithoutPolicyDeniesEverything(t *testing.T) {
	t.Parallel()
	w := startServe(t)
	w.await(w.stderr, `"level":"WARN","msg":"no policy file: every call is denied; start with --policy FILE"`)
	r := w.fetch(t, "https://example.com/")
	if r.code != exitDenied || !strings.Contains(r.stderr, "POLICY_DENIED") {
		t.Errorf("got exit code %d and %s, want %d and POLICY_DENIED", r.code, r.stderr, exitDenied)
	}
	if status, _ := ask(t, "GET", "http://"+w.rest+"/readyz", ""); status != http.StatusOK {
		t.Errorf("/readyz: got %d, want 200", status)
	}
}

func TestServeWithPolicy(t *testing.T) {
	t.Parallel()
	w := startServe(t, "--policy="+openPolicy(t))
	r := w.fetch(t, testpeer.HTTPBin(t)+"/status/204", "-i").ok(t)
	if !strings.HasPrefix(r.stdout, "HTTP/1.1 204 No Content\r\n") {
		t.Errorf("got %q, want a 204", r.stdout)
	}
}

func TestServeRefuses(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	bad := writeTemp(t, "bad.yaml", "upstreams:\n  - name: a\n    hosts: [example.com]\n    max_response: 3\n")
	callers := writeTemp(t, "callers.yaml", "callers: [{name: billing, dns_names: [billing.test]}]\n")
	anonymous := writeTemp(t, "anonymous.yaml", "callers: [{name: billing, dns_names: [billing.test]}]\nunsafe_allow_anonymous: true\n")
	any := "127.0.0.1:0"
	tests := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"all interfaces", []string{"serve", "--grpc=0.0.0.0:0", "--rest", any}, 2, []string{"--grpc 0.0.0.0:0", "names no callers", "127.0.0.1", "unsafe_allow_anonymous"}},
		{"no host", []string{"serve", "--grpc", any, "--rest=:0"}, 2, []string{"--rest :0", "names no callers"}},
		{"a name", []string{"serve", "--grpc", any, "--rest=example.com:80"}, 2, []string{"--rest example.com:80", "names no callers"}},
		{"plaintext alone is not enough", []string{"serve", "--grpc=0.0.0.0:0", "--unsafe-plaintext"}, 2, []string{"names no callers"}},
		{"callers in plaintext", []string{"serve", "--grpc=0.0.0.0:0", "--policy", callers}, 2, []string{"in plaintext", "--tls-cert", "--unsafe-plaintext"}},
		{"anonymous in plaintext", []string{"serve", "--grpc=[::]:0", "--policy", anonymous}, 2, []string{"in plaintext"}},
		{"REST in plaintext", []string{"serve", "--grpc", any, "--rest=0.0.0.0:0", "--policy", callers}, 2, []string{"--rest 0.0.0.0:0", "in plaintext"}},
		{"certificate without key", []string{"serve", "--tls-cert=x"}, 2, []string{"--tls-cert and --tls-key: give both"}},
		{"client authority without TLS", []string{"serve", "--client-ca=x"}, 2, []string{"--client-ca", "add --tls-cert"}},
		{"TLS and plaintext", []string{"serve", "--tls-cert=x", "--tls-key=y", "--unsafe-plaintext"}, 2, []string{"--unsafe-plaintext and --tls-cert"}},
		{"no certificate", []string{"serve", "--grpc", any, "--rest", any, "--tls-cert=nowhere", "--tls-key=nowhere"}, 2, []string{"TLS: ", "nowhere", "no such file"}},
		{"REST name with a port", []string{"serve", "--rest-name=a:1"}, 2, []string{`--rest-name "a:1"`, "host alone"}},
		{"dev gRPC everywhere", []string{"dev", "--httpbin", any, "--grpc=0.0.0.0:0", "--policy", callers}, 2, []string{"--grpc 0.0.0.0:0", "fetchsvc serve"}},
		{"no port", []string{"serve", "--grpc=127.0.0.1"}, 2, []string{`--grpc "127.0.0.1"`, "HOST:PORT"}},
		{"gRPC port in use", []string{"serve", "--rest", any, "--grpc", busy.Addr().String()}, 1, []string{"address already in use", "choose another port with --grpc"}},
		{"REST port in use", []string{"serve", "--grpc", any, "--rest", busy.Addr().String()}, 1, []string{"address already in use", "choose another port with --rest"}},
		{"dev httpbin port in use", []string{"dev", "--httpbin", busy.Addr().String()}, 1, []string{"address already in use", "choose another port with --httpbin"}},
		{"dev gRPC port in use", []string{"dev", "--httpbin", any, "--grpc", busy.Addr().String()}, 1, []string{"choose another port with --grpc"}},
		{"dev REST port in use", []string{"dev", "--httpbin", any, "--grpc", any, "--rest", busy.Addr().String()}, 1, []string{"choose another port with --rest"}},
		{"dev all interfaces", []string{"dev", "--httpbin=0.0.0.0:0"}, 2, []string{"--httpbin 0.0.0.0:0"}},
		{"bad policy", []string{"serve", "--policy", bad}, 2, []string{"bad.yaml:4:5", "max_response", "   4 | ....^"}},
		{"no policy file", []string{"serve", "--policy=nowhere.yaml"}, 2, []string{"nowhere.yaml", "no such file"}},
		{"dev with a bad policy", []string{"dev", "--httpbin", any, "--policy", bad}, 2, []string{"bad.yaml:4:5"}},
		{"argument", []string{"serve", "policy.yaml"}, 2, []string{"policy.yaml"}},
		{"unknown flag", []string{"serve", "--polcy=x"}, 2, []string{"--polcy", "fetchsvc serve --help"}},
		{"unknown command", []string{"sreve"}, 2, []string{"sreve", "serve"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := runToEnd(t, input{}, tt.args...)
			if r.code != tt.code {
				t.Errorf("exit code: got %d, want %d", r.code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(r.stderr, want) {
					t.Errorf("stderr lacks %q:\n%s", want, r.stderr)
				}
			}
			if !strings.HasPrefix(r.stderr, "fetchsvc: ") || r.stdout != "" {
				t.Errorf("got stdout %q and stderr %q, want one error on stderr", r.stdout, r.stderr)
			}
		})
	}
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	w := startServe(t)
	runToEnd(t, input{}, "healthcheck", "--rest", w.rest).ok(t)
	r := runToEnd(t, input{}, "healthcheck", "--rest", testpeer.ClosedPort(t))
	if r.code != 1 || !strings.Contains(r.stderr, "connection refused") {
		t.Errorf("nobody there: got exit code %d and %s, want 1 and connection refused", r.code, r.stderr)
	}
	elsewhere := http.RedirectHandler("http://"+w.rest+"/readyz", http.StatusFound)
	r = runToEnd(t, input{}, "healthcheck", "--rest", strings.TrimPrefix(testpeer.HTTP(t, elsewhere), "http://"))
	if r.code != 1 || !strings.Contains(r.stderr, "302") {
		t.Errorf("a redirect: got exit code %d and %s, want 1 and the 302", r.code, r.stderr)
	}
	if r = runToEnd(t, input{}, "healthcheck", "--nope"); r.code != 2 {
		t.Errorf("a wrong flag: got exit code %d, want 2", r.code)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	r := runToEnd(t, input{}, "version").ok(t)
	if !strings.HasPrefix(r.stdout, "fetchsvc "+testVersion+" go1.") || r.stderr != "" {
		t.Errorf("got %q and %q, want the version that was built in", r.stdout, r.stderr)
	}
}
