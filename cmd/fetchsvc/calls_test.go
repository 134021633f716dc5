package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/target"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

func parsedURL(t *testing.T, text string) target.URL {
	t.Helper()
	u, err := target.Parse(text)
	must(t, err)
	return u
}

// finishedCall is one that was answered at once.
func finishedCall(t *testing.T) *fetch.Finished {
	u := parsedURL(t, "http://shop.test/things?api_key=canary")
	return &fetch.Finished{
		Request: &fetch.Request{Caller: "anonymous", Method: "GET", URL: u, Header: http.Header{"Authorization": {"canary"}}},
		Response: &fetch.Response{Status: 200, URL: u, Body: []byte("canary"), Elapsed: 1500 * time.Microsecond, BytesReceived: 6, Attempts: []*fetch.Attempt{{
			Number: 1, Reason: fetch.First, Method: "GET", URL: u, Header: http.Header{"Authorization": {"canary"}}, Address: "192.0.2.1:80",
			Proto: "1.1", Status: 200, Wire: fault.Answered, BytesReceived: 6,
			Timings: fetch.Timings{Connect: time.Millisecond, Total: 1400 * time.Microsecond},
		}}},
		Upstream: "shop", Trace: &telemetry.Trace{ID: trace.TraceID{0x4b, 0xf9, 0x2f, 0x35, 0x77}},
	}
}

// TestCallTrees shows what dev prints of calls, and that a secret is not in it.
func TestCallTrees(t *testing.T) {
	tests := []struct {
		name string
		edit func(*fetch.Finished)
	}{
		{"answered", func(*fetch.Finished) {}},
		{"of a caller, streamed, 404", func(f *fetch.Finished) {
			f.Request.Caller, f.Streamed, f.Response.Status, f.Response.Attempts[0].Status = "billing", true, 404, 404
		}},
		{"decoded, truncated, a redirect not followed", func(f *fetch.Finished) {
			f.Response.Decoded, f.Response.Truncated, f.Response.RedirectStopped = "gzip", true, "mode"
		}},
		{"retried, behind a proxy and a wait for a place", func(f *fetch.Finished) {
			second := *f.Response.Attempts[0]
			f.Response.Attempts[0].Status, f.Response.Attempts[0].Proxy = 503, "http://proxy.test:3128"
			second.Number, second.Reason, second.Wait, second.WaitReason, second.Credential = 2, fetch.Again, 200*time.Millisecond, "backoff", "bot"
			f.Response.Attempts = append(f.Response.Attempts, &second)
			f.Waits = []fetch.Wait{{For: telemetry.WaitQueue, Took: 30 * time.Millisecond}}
		}},
		{"redirected, by a hostile upstream", func(f *fetch.Finished) {
			f.Response.History = []fetch.Hop{
				{Method: "GET", URL: f.Request.URL, Status: 302, Location: "/next\x1b[31m?token=canary", Dropped: []string{"Authorization"}},
				{Method: "GET", URL: parsedURL(t, "http://shop.test/next?token=canary"), Status: 302, Location: "http://user:canary@else.test/"},
			}
			second, third := *f.Response.Attempts[0], *f.Response.Attempts[0]
			f.Response.Attempts[0].Status = 302
			second.Number, second.Hop, second.URL, second.Status = 2, 1, f.Response.History[1].URL, 302
			third.Number, third.Hop, third.URL = 3, 2, parsedURL(t, "http://else.test/"+strings.Repeat("long/", 1000))
			f.Response.Attempts = append(f.Response.Attempts, &second, &third)
		}},
		{"failed", func(f *fetch.Finished) {
			f.Err = fault.New(fault.ConnectTimeout, "no connection within 1s")
			a := f.Response.Attempts[0]
			f.Response.Status, a.Status, a.Wire, a.Err, a.Stopped = 0, 0, fault.Unsent, f.Err, "MAX_ATTEMPTS: policy allows 1"
		}},
		{"failed for another reason than its attempt", func(f *fetch.Finished) {
			f.Err = fault.New(fault.TotalTimeout, "over after 1s")
			f.Response.Attempts[0].Err = fault.New(fault.ConnectionReset, "the connection was reset")
		}},
		{"denied", func(f *fetch.Finished) {
			f.Err = fault.New(fault.PolicyDenied, "no upstream takes http://shop.test")
			f.Err.Rule = "hosts"
			f.Upstream, f.Response = "", &fetch.Response{Elapsed: 20 * time.Microsecond}
		}},
		{"reported", func(f *fetch.Finished) { f.Reported = "deny of upstream \"shop\" would refuse it" }},
		{"without a token", func(f *fetch.Finished) {
			f.Err = fault.New(fault.CredentialUnavailable, "credential \"bot\" cannot be used")
			f.Response.Attempts, f.Response.Status = nil, 0
			f.Waits = []fetch.Wait{{For: telemetry.WaitCredential, Took: time.Second, Credential: "bot", Err: f.Err}}
		}},
	}
	var out strings.Builder
	for _, colours := range []bool{false, true} {
		p := newCallPrinter(&out, colours)
		p.now = func() time.Time { return time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC) }
		for _, tt := range tests {
			f := finishedCall(t)
			tt.edit(f)
			if !colours {
				p.text = append(p.text, "# "+tt.name+"\n"...)
			}
			p.finished(t.Context(), f)
		}
		if !colours {
			p.text = append(p.text, "# never came to the engine\n"...)
		}
		p.refused(telemetry.WithTrace(t.Context(), finishedCall(t).Trace), "fetchsvc.v1.FetchService/Fetch", fault.New(fault.Unauthenticated, "the call does not say who makes it"))
		if left := p.close(); left != 0 {
			t.Errorf("%d calls are not shown", left)
		}
		if !colours {
			out.WriteString("# in colour\n")
		}
	}
	golden(t, "calls.golden", strings.ReplaceAll(out.String(), "\x1b", "␛"))
	if strings.Contains(out.String(), "canary") {
		t.Error("a secret is shown")
	}
}

// TestCallsDoNotMix: calls that end at once have their lines each in one piece, and
// none is missing at the end.
func TestCallsDoNotMix(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := newCallPrinter(&out, false)
	p.begin()
	const calls = 200
	var all sync.WaitGroup
	for n := range calls {
		f := finishedCall(t)
		f.Upstream = fmt.Sprintf("upstream-%d", n)
		f.Response.Attempts[0].Address = f.Upstream
		all.Go(func() { p.finished(t.Context(), f) })
	}
	all.Wait()
	if left := p.close(); left != 0 {
		t.Errorf("%d calls are not shown", left)
	}
	whole := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d GET .*, upstream (upstream-\d+), .*\n└─ hop .*\n   └─ attempt .*\n      ├─ address: (upstream-\d+), .*\n      ├─ time: .*\n      └─ wire: .*\n`)
	seen := map[string]bool{}
	for _, m := range whole.FindAllStringSubmatch(out.String(), -1) {
		if m[1] != m[2] {
			t.Errorf("the lines of %s and %s are mixed", m[1], m[2])
		}
		seen[m[1]] = true
	}
	if rest := whole.ReplaceAllString(out.String(), ""); rest != "" || len(seen) != calls {
		t.Errorf("%d calls are shown whole, want %d; beside them there is %q", len(seen), calls, rest)
	}
}

// slowTerminal takes nothing until it is told to.
type slowTerminal struct {
	goOn chan struct{}
	got  strings.Builder
}

func (s *slowTerminal) Write(p []byte) (int, error) {
	<-s.goOn
	return s.got.Write(p)
}

// TestSlowTerminal: calls do not wait for it, what it is owed is bounded, and what is
// left out is counted.
func TestSlowTerminal(t *testing.T) {
	const calls = 20_000
	many := func(t *testing.T, w io.Writer) *callPrinter {
		p := newCallPrinter(w, false)
		p.begin()
		for range calls {
			p.finished(t.Context(), finishedCall(t)) // in the bubble, to wait would be a deadlock
		}
		synctest.Wait()
		if len(p.text) > mostShown {
			t.Errorf("%d bytes wait, want %d at most", len(p.text), mostShown)
		}
		return p
	}
	synctest.Test(t, func(t *testing.T) {
		w := &slowTerminal{goOn: make(chan struct{})}
		p := many(t, w)
		close(w.goOn)
		if left := p.close(); left != 0 {
			t.Errorf("%d calls are neither shown nor counted", left)
		}
		shown := strings.Count(w.got.String(), ", upstream shop,")
		m := regexp.MustCompile(`\(not shown, because the terminal was too slow: (\d+)\)\n$`).FindStringSubmatch(w.got.String())
		if m == nil || shown == 0 || fmt.Sprint(calls-shown) != m[1] {
			t.Errorf("%d of %d calls are shown, and of the rest the terminal says %q", shown, calls, m)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := &slowTerminal{goOn: make(chan struct{})}
		p := many(t, w)
		start := time.Now()
		if left := p.close(); left != calls {
			t.Errorf("of a terminal that hangs: %d calls are owed, want all %d", left, calls)
		}
		if took := time.Since(start); took != lastShown {
			t.Errorf("the end waits %v for it, want %v", took, lastShown)
		}
		close(w.goOn)
	})
}

// goneTerminal fails.
type goneTerminal struct{ writes int }

func (g *goneTerminal) Write([]byte) (int, error) {
	g.writes++
	return 0, errors.New("gone")
}

func TestGoneTerminal(t *testing.T) {
	g := &goneTerminal{}
	p := newCallPrinter(g, false)
	p.finished(context.Background(), finishedCall(t))
	if left := p.close(); left != 0 || g.writes != 1 {
		t.Errorf("%d calls are owed after %d writes, want none after 1", left, g.writes)
	}
}

// TestDevShowsCalls: what was called stands on standard output when it is over.
func TestDevShowsCalls(t *testing.T) {
	t.Parallel()
	w := startDev(t)
	w.fetch(t, w.bin+"/get?api_key=canary").ok(t)
	w.fetch(t, "http://127.0.0.1:1/")
	ask(t, http.MethodPost, "http://"+w.rest+"/v1/fetch", `{"url":"ftp://canary"}`)
	w.signal(syscall.SIGTERM)
	if code := w.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0", code)
	}
	_, calls, _ := strings.Cut(w.stdout.String(), "Ctrl-C\n\n")
	want := regexp.MustCompile(`^\S+ GET ` + w.bin + `/get: 200 in \S+, upstream httpbin, sent 0 B, received \d+ B, trace [0-9a-f]{8}
└─ hop 0: .*
   └─ attempt 1 \(first\): 200 over HTTP/1\.1
      ├─ address: 127\.0\.0\.1:\d+, new connection
      ├─ time: connect .*
      └─ wire: .*
\S+ GET http://127\.0\.0\.1:1/: POLICY_DENIED in \S+, trace [0-9a-f]{8}: http://127\.0\.0\.1:1 is denied.*
\S+ fetchsvc\.v1\.FetchService/Fetch: INVALID_REQUEST, trace [0-9a-f]{8}: url: scheme "ftp" .*
$`)
	if !want.MatchString(calls) || strings.Contains(calls, "canary") {
		t.Errorf("got\n%s\nwant\n%s", calls, want)
	}
}

// TestDevSilent: there is a way to have no calls shown, and an audit log on standard
// output is one.
func TestDevSilent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--calls=false"}, `^$`},
		{[]string{"--audit=-"}, `^\{"time":.*\}\n$`},
		{[]string{"--audit=-", "--calls"}, `(?m)^\{"time":[\s\S]*^\S+ GET .*: 200 in |^\S+ GET .*: 200 in [\s\S]*^\{"time":`},
	} {
		w := startDev(t, tt.args...)
		w.fetch(t, w.bin+"/get").ok(t)
		w.signal(syscall.SIGTERM)
		w.wait()
		if _, calls, _ := strings.Cut(w.stdout.String(), "Ctrl-C\n\n"); !regexp.MustCompile(tt.want).MatchString(calls) {
			t.Errorf("%v: below the banner there is %q, want %s", tt.args, calls, tt.want)
		}
	}
}

// TestDevOutlivesItsReader: whoever read the banner from a pipe may close it.
func TestDevOutlivesItsReader(t *testing.T) {
	t.Parallel()
	out, pipe, err := os.Pipe()
	must(t, err)
	c := start(t, input{out: pipe}, "dev", "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0", "--httpbin=127.0.0.1:0")
	_ = pipe.Close()
	var banner []byte
	m := []string(nil)
	for m == nil {
		part := make([]byte, 4096)
		n, err := out.Read(part)
		must(t, err)
		banner = append(banner, part[:n]...)
		m = regexp.MustCompile(`gRPC on (\S+), REST on \S+, an httpbin to call on (\S+)\.\n[\s\S]*Ctrl-C\n\n`).FindStringSubmatch(string(banner))
	}
	_ = out.Close()
	w := &world{child: c, grpc: m[1]}
	for range 3 {
		w.fetch(t, "http://"+m[2]+"/get").ok(t)
	}
	c.signal(syscall.SIGTERM)
	if code := c.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0; stderr:\n%s", code, c.stderr)
	}
}
