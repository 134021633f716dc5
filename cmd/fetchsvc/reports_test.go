package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

func TestReportsAreLoggedOnceASecond(t *testing.T) {
	t.Parallel()
	r := newReports(slog.New(slog.DiscardHandler))
	start := time.Now()
	var got []string
	for i := range 301 { // three seconds, one every 10 ms
		at := start.Add(time.Duration(i) * 10 * time.Millisecond)
		for _, l := range r.take(fetch.Report{Upstream: "a", Reason: "because"}, at) {
			got = append(got, fmt.Sprintf("%v+%d", at.Sub(start), l.suppressed))
		}
	}
	if got, want := strings.Join(got, " "), "0s+0 1s+98 2s+99 3s+99"; got != want {
		t.Errorf("lines: got %s, want %s", got, want)
	}
	if n := r.count("a"); n != 301 {
		t.Errorf("count: got %d, want 301", n)
	}
}

// TestReportsAreBounded has a caller try as many paths as it can.
func TestReportsAreBounded(t *testing.T) {
	t.Parallel()
	r := newReports(slog.New(slog.DiscardHandler))
	const calls, seconds = 20_000, 4
	start := time.Now()
	var lines, most int
	told := int64(0)
	for i := range calls {
		for _, l := range r.take(fetch.Report{Upstream: "a", Reason: fmt.Sprint("path ", i)}, start.Add(time.Duration(i)*seconds*time.Second/calls)) {
			lines++
			told += 1 + l.suppressed
		}
		most = max(most, len(r.recent))
	}
	if limit := (maxReasons + 1) * (seconds + 1); lines > limit || most > maxReasons+1 {
		t.Errorf("got %d lines and %d reasons known at once, want %d and %d at most", lines, most, limit, maxReasons+1)
	}
	for _, l := range r.sweep(start.Add(time.Hour)) {
		told += 1 + l.suppressed
	}
	if told != calls || r.count("a") != calls {
		t.Errorf("lines and what they suppress: got %d, counted %d, want %d", told, r.count("a"), calls)
	}
}

// TestReportMode tries a rule before it bites.
func TestReportMode(t *testing.T) {
	t.Parallel()
	w := startServe(t, "--policy", writeTemp(t, "policy.yaml", strings.Replace(allowing("127.0.0.1:*"), "{", "{mode: report, allow: {methods: [POST]}, ", 1)))
	bin := testpeer.HTTPBin(t)
	for range 3 {
		w.fetch(t, bin+"/get?token=hidden").ok(t)
	}
	w.await(w.stderr, `"level":"WARN","msg":"policy report: would be refused","caller":"[^"]*","method":"GET","upstream":"local","url":"`+bin+`/get","reason":".*POST.*","suppressed":0,"trace_id":"[0-9a-f]{32}","span_id":"[0-9a-f]{16}"}`)
	if _, answer := ask(t, "GET", "http://"+w.rest+"/v1/upstreams", ""); !strings.Contains(answer, `"reported":"3"`) {
		t.Errorf("upstreams: got %s, want 3 reported", answer)
	}
	w.signal(os.Interrupt)
	w.wait()
	if strings.Contains(w.stderr.String(), "hidden") {
		t.Errorf("the log shows a query:\n%s", w.stderr)
	}
}

// TestSecretsReachTheirPlace has a credential whose token is in a file; without
// it, the service does not start.
func TestSecretsReachTheirPlace(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 1)
	upstream := testpeer.HTTP(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Get("Authorization") }))
	text := strings.Replace(allowing("127.0.0.1:*"), "{", "{credential: token, ", 1) +
		"credentials: [{name: token, bind: [\"" + upstream + "\"], bearer: {token: {secret: \"file:token\"}}}]\n"
	policyFile := writeTemp(t, "policy.yaml", text)
	token := filepath.Join(filepath.Dir(policyFile), "token")

	r := runToEnd(t, input{}, "serve", "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0", "--policy", policyFile)
	if r.code != exitUsage || !strings.Contains(r.stderr, "credentials[0].bearer.token.secret") || !strings.Contains(r.stderr, "no such file") {
		t.Fatalf("without the secret: got exit code %d and %s, want %d and its place", r.code, r.stderr, exitUsage)
	}
	must(t, os.WriteFile(token, []byte("first-value\n"), 0o600))
	w := startServe(t, "--policy", policyFile)
	w.fetch(t, upstream).ok(t)
	if got, _ := await(t, "the call", seen); got != "Bearer first-value" {
		t.Errorf("Authorization: got %q, want the token", got)
	}
	w.signal(os.Interrupt)
	w.wait()
	if strings.Contains(w.stderr.String(), "first-value") {
		t.Errorf("the log shows the secret:\n%s", w.stderr)
	}
}
