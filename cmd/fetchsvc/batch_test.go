package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// batchAnswer is a line of batch's output.
type batchAnswer struct {
	Index    *int
	Response *struct {
		Status int
		Text   string
		Body   []byte
	}
	Error *struct {
		Message string
		Details []struct{ Reason string }
	}
}

func (a batchAnswer) reason() string {
	if a.Error == nil || len(a.Error.Details) == 0 {
		return ""
	}
	return a.Error.Details[0].Reason
}

func batchAnswers(t *testing.T, stdout string) (all []batchAnswer) {
	t.Helper()
	for line := range strings.Lines(stdout) {
		var a batchAnswer
		if err := json.Unmarshal([]byte(line), &a); err != nil || a.Index == nil || (a.Response == nil) == (a.Error == nil) {
			t.Fatalf("not an answer: %v: %s", err, line)
		}
		all = append(all, a)
	}
	return all
}

func (w *world) batch(t testing.TB, stdin string, args ...string) result {
	t.Helper()
	return runToEnd(t, input{stdin: stdin, env: []string{"FETCHSVC_SERVER=" + w.grpc}}, append([]string{"batch"}, args...)...)
}

func TestBatch(t *testing.T) {
	t.Parallel()
	w := startDev(t, "--policy="+openPolicy(t))
	closed := testpeer.ClosedPort(t)
	lines := fmt.Sprintf(`{"url":"%[1]s/base64/b25l"}

{"url":"http://%[2]s/"}
{"url":"%[1]s/status/503"}
{"url":"%[1]s/status/503","fail_on_status":true}
{"url":"%[1]s/base64/AAE=","max_response_bytes":"10","as":"BYTES"}
{"method":"POST","url":"%[1]s/post","json":{"a":1}}
{}`, w.bin, closed)
	r := w.batch(t, "", "--ordered", writeTemp(t, "calls.ndjson", lines))
	if r.code != exitUpstream || !strings.HasPrefix(r.stderr, "fetchsvc: 4 ok, 3 failed (1 CONNECTION_REFUSED, 1 INVALID_REQUEST, 1 UPSTREAM_STATUS), slowest ") {
		t.Errorf("got exit code %d and %s, want %d and a summary", r.code, r.stderr, exitUpstream)
	}
	all := batchAnswers(t, r.stdout)
	if len(all) != 7 {
		t.Fatalf("got %d answers, want 7: %s", len(all), r.stdout)
	}
	reasons := []string{"", "CONNECTION_REFUSED", "", "UPSTREAM_STATUS", "", "", "INVALID_REQUEST"}
	statuses := []int{200, 0, 503, 0, 200, 200, 0}
	for i, a := range all {
		status := 0
		if a.Response != nil {
			status = a.Response.Status
		}
		if *a.Index != i || a.reason() != reasons[i] || status != statuses[i] {
			t.Errorf("line %d: got index %d, status %d and reason %q, want status %d and reason %q", i, *a.Index, status, a.reason(), statuses[i], reasons[i])
		}
	}
	same(t, "text", all[0].Response.Text, "one")
	same(t, "bytes", all[4].Response.Body, []byte{0, 1})
	r = w.batch(t, `{"url":"`+w.bin+`/get"}`, "-").ok(t)
	if !strings.HasPrefix(r.stderr, "1 ok, 0 failed, slowest ") || !strings.HasSuffix(r.stderr, " (index 0)\n") {
		t.Errorf("got %q, want a summary", r.stderr)
	}
}

// TestBatchArrives holds the second call until the answer to the first is out,
// in either order.
func TestBatchArrives(t *testing.T) {
	t.Parallel()
	w := startServe(t, "--policy="+openPolicy(t))
	release := make(chan struct{})
	slow := testpeer.Slow(t, release)
	fast := testpeer.HTTP(t, http.NotFoundHandler())
	file := writeTemp(t, "calls", fmt.Sprintf("{\"url\":%q}\n{\"url\":%q}\n", slow.URL, fast))
	c := start(t, input{}, "batch", "--server", w.grpc, file)
	ordered := start(t, input{}, "batch", "--server", w.grpc, "--ordered", file)
	c.await(c.stdout, `^{"index":1,.*\n$`)
	slow.AwaitActive(2)
	if got := ordered.stdout.String(); got != "" {
		t.Errorf("--ordered: got %s, want nothing before its turn", got)
	}
	close(release)
	for _, c := range []*child{c, ordered} {
		if code := c.wait(); code != 0 {
			t.Errorf("got exit code %d and %s, want 0", code, c.stderr)
		}
	}
	same(t, "the order", *batchAnswers(t, ordered.stdout.String())[0].Index, 0)
}

func TestBatchOfMany(t *testing.T) {
	t.Parallel()
	w := startServe(t, "--policy="+openPolicy(t))
	var open, most atomic.Int32
	peer := testpeer.HTTP(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		now := open.Add(1)
		defer open.Add(-1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		_, _ = rw.Write([]byte(r.URL.Path[1:]))
	}))
	const n = 2345
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, "{\"url\":\"%s/%d\"}\r\n", peer, i)
	}
	r := w.batch(t, lines.String(), "--concurrency=3", "-").ok(t)
	var got []int
	for _, a := range batchAnswers(t, r.stdout) {
		got = append(got, *a.Index)
		if a.Response == nil || a.Response.Text != fmt.Sprint(*a.Index) {
			t.Fatalf("index %d is answered with %v", *a.Index, a)
		}
	}
	slices.Sort(got)
	if len(got) != n || got[0] != 0 || got[n-1] != n-1 || len(slices.Compact(got)) != n {
		t.Errorf("got %d indexes from %d to %d, want %d", len(got), got[0], got[len(got)-1], n)
	}
	if most.Load() > 3 {
		t.Errorf("%d calls were in flight at once, want 3 at most", most.Load())
	}
}

func TestBatchStops(t *testing.T) {
	t.Parallel()
	w := startServe(t, "--policy="+openPolicy(t))
	peer := testpeer.Raw(t, testpeer.OK)
	bad := `{"url":"http://` + testpeer.ClosedPort(t) + "/\"}\n"
	rest := strings.Repeat(`{"url":"`+peer.URL+"\"}\n", 1005)
	r := w.batch(t, bad+rest, "--stop-on-error", "--concurrency=1", "-")
	if r.code != exitUpstream || !strings.HasPrefix(r.stderr, "fetchsvc: 0 ok, 1000 failed (999 CANCELLED, 1 CONNECTION_REFUSED), 6 not answered\n") || peer.Conns() > 0 {
		t.Errorf("--stop-on-error: got exit code %d, %d connections and %s, want %d and none", r.code, peer.Conns(), r.stderr, exitUpstream)
	}

	slow := testpeer.Slow(t, make(chan struct{}))
	call := `{"url":"` + slow.URL + "\"}\n"
	r = w.batch(t, strings.Repeat(call, 1001), "--total=200ms", "-")
	if r.code != exitUpstream || !strings.HasPrefix(r.stderr, "fetchsvc: 0 ok, 1001 failed (1001 TOTAL_TIMEOUT)") {
		t.Errorf("--total: got exit code %d and %s, want %d and each one late", r.code, r.stderr, exitUpstream)
	}

	fast := `{"url":"` + peer.URL + "\"}\n"
	slow = testpeer.Slow(t, make(chan struct{}))
	c := start(t, input{stdin: fast + `{"url":"` + slow.URL + `"}`}, "batch", "--server", w.grpc, "-")
	c.await(c.stdout, `"index":0,.*\n$`)
	slow.AwaitActive(1)
	c.signal(syscall.SIGINT)
	if code := c.wait(); code != exitInterrupted || !strings.HasPrefix(c.stderr.String(), "1 ok, 0 failed, 1 not answered, ") || !strings.HasSuffix(c.stderr.String(), "fetchsvc: interrupted\n") {
		t.Errorf("interrupted: got exit code %d and %s, want %d", code, c.stderr, exitInterrupted)
	}
	slow.AwaitCancelled(1)
}

func TestBatchRefuses(t *testing.T) {
	t.Parallel()
	good := `{"url":"http://127.0.0.1/"}` + "\n"
	tests := []struct {
		name  string
		stdin string
		args  []string
		code  int
		want  string
	}{
		{"an unknown field", good + "\n" + `{"url":"u","headrs":[]}`, []string{"-"}, exitInvalid, `stdin:3:12: unknown field "headrs"`},
		{"not JSON", "url\n", []string{"-"}, exitInvalid, "stdin:1:1: "},
		{"torn JSON", good + `{"url":"u"`, []string{"-"}, exitInvalid, "stdin:2: "},
		{"two on a line", `{"url":"u"} {"url":"u"}`, []string{"-"}, exitInvalid, "stdin:1:13: "},
		{"a wrong value", `{"max_response_bytes":"x"}`, []string{"-"}, exitInvalid, "stdin:1:23: invalid value for int64"},
		{"too large", `{"url":"u","text":"` + strings.Repeat("x", maxBatchSize) + `"}`, []string{"-"}, exitInvalid, "stdin:1: the request is over 16 MiB"},
		{"far too large", good + strings.Repeat("x", maxLine+1), []string{"-"}, exitInvalid, "stdin:2: the line is over 24 MiB"},
		{"nothing", "\n \n", []string{"-"}, exitInvalid, "stdin holds no request"},
		{"no such file", "", []string{"none.ndjson"}, exitUsage, "none.ndjson: no such file"},
		{"no file", "", nil, exitUsage, "one FILE, or - for stdin, not 0"},
		{"concurrency", good, []string{"--concurrency=101", "-"}, exitUsage, "from 1 to 100"},
		{"total", good, []string{"--total=soon", "-"}, exitUsage, "2.5 or 500ms"},
		{"server", good, []string{"--server=x", "-"}, exitUsage, "HOST:PORT"},
		{"nobody there", good, []string{"--server=" + testpeer.ClosedPort(t), "-"}, exitNoService, "fetchsvc: no answer from fetchsvc at "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := runToEnd(t, input{stdin: tt.stdin}, append([]string{"batch"}, tt.args...)...)
			if r.code != tt.code || !strings.Contains(r.stderr, tt.want) || !strings.HasPrefix(r.stderr, "fetchsvc: ") || r.stdout != "" {
				t.Errorf("got exit code %d, %q and %s, want %d and %q", r.code, r.stdout, r.stderr, tt.code, tt.want)
			}
		})
	}
	t.Run("interrupted at stdin", func(t *testing.T) {
		r, pipe, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer pipe.Close()
		defer r.Close()
		c := start(t, input{pipe: r}, "batch", "-")
		if _, err := pipe.WriteString(strings.Repeat(good, 10_000)); err != nil { // more than a pipe holds
			t.Fatal(err)
		}
		c.signal(syscall.SIGINT)
		if code := c.wait(); code != exitInterrupted {
			t.Errorf("got exit code %d and %s, want %d", code, c.stderr, exitInterrupted)
		}
	})
}

func TestBatchLength(t *testing.T) {
	of := func(n, size int) (all []*fetchsvcv1.FetchRequest) {
		body := make([]byte, size)
		for range n {
			all = append(all, &fetchsvcv1.FetchRequest{Body: &fetchsvcv1.FetchRequest_Raw{Raw: body}})
		}
		return all
	}
	for _, tt := range []struct{ n, size, want int }{
		{1, 0, 1}, {1000, 10, 1000}, {1001, 10, 1000}, {20, 1 << 20, 16}, {2, maxSent, 1}, {1, 2 * maxSent, 1},
	} {
		if got := batchLength(of(tt.n, tt.size)); got != tt.want {
			t.Errorf("%d requests of %d bytes: got %d in a batch, want %d", tt.n, tt.size, got, tt.want)
		}
	}
}
