package fetch

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

func TestMain(m *testing.M) { testpeer.Main(m) }

// local opens loopback, generously.
const local = `
defaults:
  timeouts: {total: 60s, max: {total: 5m}}
upstreams:
  - name: local
    hosts: ["127.0.0.1:*", "localhost:*"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.0.0.0/8, "::1"]
`

func newEngine(t testing.TB, text string) *Engine {
	t.Helper()
	s, err := policy.Parse("test", []byte(text), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pools := egress.NewPools(egress.Config{})
	t.Cleanup(pools.Close)
	e := New(Config{Pools: pools, UserAgent: "fetchsvc/test"})
	e.Use(s)
	return e
}

func request(t testing.TB, method, url string) *Request {
	t.Helper()
	u, err := target.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	return &Request{Method: method, URL: u, Header: http.Header{}}
}

// TestRings pins what happens to a call and in which order: a change here is a
// change of behaviour.
func TestRings(t *testing.T) {
	e := newEngine(t, local)
	var calls, tries []string
	for _, s := range e.callRing() {
		calls = append(calls, s.name)
	}
	for _, s := range e.tryRing() {
		tries = append(tries, s.name)
	}
	if got, want := strings.Join(calls, " > "), "slots > retry"; got != want {
		t.Errorf("the call ring is %s, want %s", got, want)
	}
	if got, want := strings.Join(tries, " > "), "ledger > clocks > buffer > headers > auth > send"; got != want {
		t.Errorf("the try ring is %s, want %s", got, want)
	}
}

func TestOneCall(t *testing.T) {
	e := newEngine(t, local)
	req := request(t, "GET", testpeer.HTTPBin(t)+"/gzip")
	res, err := e.Do(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if res.Status != 200 || res.Decoded != "gzip" || !strings.Contains(string(res.Body), `"gzipped": true`) {
		t.Errorf("got %d, decoded %q, %s", res.Status, res.Decoded, res.Body)
	}
	if len(res.Attempts) != 1 {
		t.Fatalf("the ledger has %d lines, want 1", len(res.Attempts))
	}
	a := res.Attempts[0]
	if a.Wire != fault.Answered || a.Address == "" || a.Timings.Total <= 0 || a.Timings.Connect <= 0 || a.Header.Get("User-Agent") != "fetchsvc/test" {
		t.Errorf("the ledger's line is %+v", a)
	}
	if res.BytesReceived == 0 || res.BytesReceived == int64(len(res.Body)) {
		t.Errorf("received %d bytes, want the coded size and not the decoded %d", res.BytesReceived, len(res.Body))
	}
}

// TestRequestIsATemplate holds that nothing writes into what the caller gave: it
// is used again for the next try, and by the caller.
func TestRequestIsATemplate(t *testing.T) {
	e := newEngine(t, local)
	req := request(t, "POST", testpeer.Raw(t, testpeer.RedirectChain(307, 2)).URL+"/")
	req.Header.Set("X-Own", "1")
	req.Body = Bytes("payload")
	before := maps.Clone(req.Header)
	if _, err := e.Do(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(before, req.Header, slices.Equal) {
		t.Errorf("the headers became %v, were %v", req.Header, before)
	}
	if string(req.Body.(Bytes)) != "payload" {
		t.Errorf("the body became %q", req.Body)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	e := newEngine(t, local)
	srv := testpeer.Echo(t)
	for range 5 {
		if _, err := e.Do(t.Context(), request(t, "GET", srv.URL+"/")); err != nil {
			t.Fatal(err)
		}
	}
	if n := srv.Conns(); n != 1 {
		t.Errorf("5 calls opened %d connections, want 1", n)
	}
}

// TestRedirectKeepsItsConnection: the body of a redirect is drained, not cut.
func TestRedirectKeepsItsConnection(t *testing.T) {
	e := newEngine(t, local)
	srv := testpeer.Raw(t, testpeer.RedirectChain(302, 3))
	res, err := e.Do(t.Context(), request(t, "GET", srv.URL+"/"))
	if err != nil {
		t.Fatal(err)
	}
	if len(res.History) != 3 || len(res.Attempts) != 4 || srv.Conns() != 1 {
		t.Errorf("3 redirects gave %d hops, %d attempts and %d connections, want 3, 4 and 1", len(res.History), len(res.Attempts), srv.Conns())
	}
	for i, a := range res.Attempts {
		if a.Hop != i || a.Number != i+1 || a.Timings.Total <= 0 || a.Err != nil {
			t.Errorf("line %d of the ledger is %+v", i, a)
		}
	}
}

// TestStaleConnection: an idle connection that the upstream has closed is no
// failure of a call that may be repeated, and the ledger shows it.
func TestStaleConnection(t *testing.T) {
	e := newEngine(t, local)
	srv := testpeer.Raw(t, testpeer.StaleAfter(1))
	for i := range 4 {
		res, err := e.Do(t.Context(), request(t, "GET", srv.URL+"/"))
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		last := res.Attempts[len(res.Attempts)-1]
		if res.Status != 200 || last.Err != nil {
			t.Errorf("call %d: status %d, last line %+v", i, res.Status, last)
		}
		for _, a := range res.Attempts[:len(res.Attempts)-1] {
			if a.Err == nil || a.Err.Kind != fault.ConnectionReset {
				t.Errorf("call %d: a line that was given up says %v, want CONNECTION_RESET", i, a.Err)
			}
		}
	}
}

// TestStaleConnectionPOST: whether the close is noticed before the request is
// written is a race that nobody wins for sure. Either the call succeeds, or it
// says that it may have been processed; it is never sent twice.
func TestStaleConnectionPOST(t *testing.T) {
	e := newEngine(t, local)
	srv := testpeer.Raw(t, testpeer.StaleAfter(1))
	for i := range 20 {
		req := request(t, "POST", srv.URL+"/")
		req.Body = Bytes("payload")
		res, err := e.Do(t.Context(), req)
		if err == nil {
			continue
		}
		f := fault.From(err)
		if f.Kind != fault.ConnectionReset || f.Wire != fault.MaybeProcessed || f.SafeToRetry {
			t.Errorf("call %d: %v, wire %s, safe %v; want CONNECTION_RESET, maybe_processed, false", i, err, f.Wire, f.SafeToRetry)
		}
		for _, a := range res.Attempts[:len(res.Attempts)-1] {
			if a.Wire != fault.Unsent {
				t.Errorf("call %d: a request that may have been processed was sent again: %+v", i, a)
			}
		}
	}
}

// ample is a clock that runs out in a test, and not before what comes first in it
// (a connection, a request, a head) is done, on a starved machine either.
const ample = 2 * time.Second

func TestFaults(t *testing.T) {
	e := newEngine(t, local)
	for name, c := range map[string]struct {
		url   func(t *testing.T) string
		tweak func(*Request)
		kind  fault.Kind
		wire  fault.Wire
		safe  bool
	}{
		"refused":          {url: closed, kind: fault.ConnectionRefused, safe: true},
		"connect timeout":  {url: blackhole, tweak: func(r *Request) { r.Timeouts.Connect = 100 * time.Millisecond }, kind: fault.ConnectTimeout, safe: true},
		"reset, GET":       {url: raw(testpeer.ResetBeforeHead), kind: fault.ConnectionReset, wire: fault.MaybeProcessed, safe: true},
		"reset, POST":      {url: raw(testpeer.ResetBeforeHead), tweak: post, kind: fault.ConnectionReset, wire: fault.MaybeProcessed},
		"reset, keyed":     {url: raw(testpeer.ResetBeforeHead), tweak: keyed, kind: fault.ConnectionReset, wire: fault.MaybeProcessed, safe: true},
		"half a head":      {url: raw(testpeer.CloseMidHead), kind: fault.ConnectionReset, wire: fault.MaybeProcessed, safe: true},
		"first byte":       {url: raw(testpeer.StallOnAccept), tweak: func(r *Request) { r.Timeouts.FirstByte = 50 * time.Millisecond }, kind: fault.FirstByteTimeout, wire: fault.MaybeProcessed, safe: true},
		"attempt, no head": {url: raw(testpeer.StallOnAccept), tweak: func(r *Request) { r.Timeouts.Attempt = ample }, kind: fault.AttemptTimeout, wire: fault.MaybeProcessed, safe: true},
		"attempt, in body": {url: raw(testpeer.StallMidBody), tweak: func(r *Request) { r.Timeouts.Attempt = ample }, kind: fault.AttemptTimeout, wire: fault.Answered, safe: true},
		"idle":             {url: raw(testpeer.StallMidBody), tweak: func(r *Request) { r.Timeouts.Idle = 50 * time.Millisecond }, kind: fault.IdleTimeout, wire: fault.Answered, safe: true},
		"total":            {url: raw(testpeer.StallOnAccept), tweak: func(r *Request) { r.Timeouts.Total = ample }, kind: fault.TotalTimeout, wire: fault.MaybeProcessed, safe: true},
		"cut body":         {url: raw(testpeer.CutBody), kind: fault.BodyCutShort, wire: fault.Answered, safe: true},
		"cut body, POST":   {url: raw(testpeer.CutBody), tweak: post, kind: fault.BodyCutShort, wire: fault.Answered},
		"not http":         {url: raw(testpeer.NotHTTP), kind: fault.BadResponse, wire: fault.MaybeProcessed, safe: true},
		"switch protocols": {url: raw(testpeer.SwitchingProtocols), kind: fault.BadResponse, wire: fault.MaybeProcessed, safe: true},
		"huge header":      {url: raw(testpeer.HugeHeader(1 << 20)), kind: fault.ResponseHeaderTooLarge, wire: fault.MaybeProcessed},
		"endless body":     {url: raw(testpeer.EndlessBody), kind: fault.ResponseTooLarge, wire: fault.Answered},
		"bomb":             {url: raw(testpeer.GzipBomb(16 << 20)), kind: fault.BadContentCoding, wire: fault.Answered},
		"torn gzip":        {url: raw(testpeer.GzipTruncated), kind: fault.BadContentCoding, wire: fault.Answered},
		"redirect loop":    {url: raw(testpeer.RedirectLoop(302)), kind: fault.TooManyRedirects},
		"denied":           {url: func(*testing.T) string { return "http://203.0.113.1/" }, kind: fault.PolicyDenied},
		"over the bound":   {url: closed, tweak: func(r *Request) { r.Timeouts.Total = time.Hour }, kind: fault.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := request(t, "GET", c.url(t))
			if c.tweak != nil {
				c.tweak(req)
			}
			res, err := e.Do(t.Context(), req)
			var f *fault.Error
			if !errors.As(err, &f) {
				t.Fatalf("got status %d and no fault, want %s", res.Status, c.kind)
			}
			if f.Kind != c.kind || f.Wire != c.wire || f.SafeToRetry != c.safe {
				t.Errorf("got %s, wire %s, safe %v (%v); want %s, %s, %v", f.Kind, f.Wire, f.SafeToRetry, err, c.kind, c.wire, c.safe)
			}
			for _, a := range res.Attempts {
				if a.Timings.Total <= 0 {
					t.Errorf("the ledger left a line open: %+v", a)
				}
			}
		})
	}
}

func closed(t *testing.T) string    { return "http://" + testpeer.ClosedPort(t) + "/" }
func blackhole(t *testing.T) string { return "http://" + testpeer.Blackhole(t) + "/" }
func raw(s testpeer.Script) func(*testing.T) string {
	return func(t *testing.T) string { return testpeer.Raw(t, s).URL + "/" }
}

func post(r *Request) { r.Method, r.Body = "POST", Bytes("payload") }

func keyed(r *Request) {
	post(r)
	r.Header.Set("Idempotency-Key", "k1")
}

// TestCancel: the caller's cancel ends the call and reaches the upstream.
func TestCancel(t *testing.T) {
	e := newEngine(t, local)
	release := make(chan struct{})
	defer close(release)
	srv := testpeer.Slow(t, release)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := e.Do(ctx, request(t, "GET", srv.URL))
		ended <- err
	}()
	srv.AwaitActive(1)
	cancel()
	if err := <-ended; !errors.Is(err, fault.Cancelled) {
		t.Errorf("got %v, want CANCELLED", err)
	}
	srv.AwaitCancelled(1)
}

// TestSnapshotHolds: a call ends under the policy that it began under.
func TestSnapshotHolds(t *testing.T) {
	e := newEngine(t, local)
	arrived, release := make(chan struct{}), make(chan struct{})
	url := testpeer.HTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			close(arrived)
			<-release
			http.Redirect(w, r, "/next", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "end")
	}))
	ended := make(chan error, 1)
	go func() {
		_, err := e.Do(t.Context(), request(t, "GET", url+"/"))
		ended <- err
	}()
	<-arrived
	e.Use(policy.DenyAll())
	close(release)
	if err := <-ended; err != nil {
		t.Errorf("the call in flight got %v from a policy that came after it", err)
	}
	if _, err := e.Do(t.Context(), request(t, "GET", url+"/")); !errors.Is(err, fault.PolicyDenied) {
		t.Errorf("a new call got %v, want POLICY_DENIED", err)
	}
}

func TestTruncated(t *testing.T) {
	e := newEngine(t, local)
	req := request(t, "GET", testpeer.Raw(t, testpeer.EndlessBody).URL+"/")
	req.MaxResponseBytes, req.AllowTruncated = 1000, true
	res, err := e.Do(t.Context(), req)
	if err != nil || len(res.Body) != 1000 || !res.Truncated {
		t.Errorf("got %d bytes, truncated %v, %v; want 1000, true", len(res.Body), res.Truncated, err)
	}
	req = request(t, "GET", testpeer.Raw(t, testpeer.GzipBomb(64<<20)).URL+"/")
	req.MaxResponseBytes, req.AllowTruncated = 1000, true
	res, err = e.Do(t.Context(), req)
	if err != nil || len(res.Body) != 1000 || !res.Truncated || res.Decoded != "gzip" {
		t.Errorf("a bomb gives %d bytes, truncated %v, decoded %q, %v; want 1000, true, gzip", len(res.Body), res.Truncated, res.Decoded, err)
	}
}
