package hostiletest

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// row is one hostile upstream and how a call to it must end.
type row struct {
	name string
	// peer serves the call's first connection; a good server serves the others.
	peer testpeer.Script
	// server stands for peer where one script is not enough.
	server func(t *testing.T) server
	// more are keys of the upstream in policy.
	more  string
	tweak func(*fetch.Request)

	// fetch and stream are how the call ends: a status, or the kind of the failure,
	// or both with `>` between where a stream fails behind its head. An empty stream
	// is the same as fetch.
	fetch, stream string
	// received is the most of the body that may have been taken in; 0: 64 KiB.
	received int64
	// after is what becomes of the connection.
	after after
	// sends is how many attempts there may be; 0: 1.
	sends int
	// wordy: the failure names a URL that the upstream made long; the API clips it.
	wordy bool
	check func(t *testing.T, got *result)
}

// server is where a row's call goes.
type server struct {
	url string
	// conns counts the connections that were accepted.
	conns func() int
	roots *x509.CertPool
}

// after is what becomes of the connection of a call.
type after uint8

const (
	// dropped: the next call has another.
	dropped after = iota
	// kept: the next call has the same, and a good answer on it.
	kept
	// unasked: the server has nothing good to say, or no connection was made.
	unasked
)

// result is how a call ended.
type result struct {
	*fetch.Response
	body []byte
	err  *fault.Error
}

// rateWindow is what min_rate is measured over here; 10 s is long for a test.
const rateWindow = 100 * time.Millisecond

// patience ends a call that nothing else ended: a failure, and no assertion about
// time.
const patience = 60 * time.Second

func (r row) engine(t *testing.T, roots *x509.CertPool) *fetch.Engine {
	t.Helper()
	text := `
defaults:
  timeouts: {total: 40s, connect: 30s, tls: 30s, max: {total: 40s}}
upstreams:
  - name: local
    hosts: ["127.0.0.1:*", "localhost:*"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.0.0.0/8, "::1"]
`
	if r.more != "" {
		text += "    " + strings.ReplaceAll(r.more, "; ", "\n    ") + "\n"
	}
	s, err := policy.Parse("test", []byte(text), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pools := egress.NewPools(egress.Config{RootCAs: roots})
	t.Cleanup(pools.Close)
	e := fetch.New(fetch.Config{Pools: pools, UserAgent: "fetchsvc/test", RateWindow: rateWindow})
	e.Use(s)
	return e
}

func request(t *testing.T, url string) *fetch.Request {
	t.Helper()
	u, err := target.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	return &fetch.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}
}

// do is the Fetch door.
func do(ctx context.Context, e *fetch.Engine, req *fetch.Request) *result {
	res, err := e.Do(ctx, req)
	got := &result{Response: res, body: res.Body}
	errors.As(err, &got.err)
	return got
}

// open is the Stream door; the body is read to its end.
func open(ctx context.Context, e *fetch.Engine, req *fetch.Request) *result {
	live, res, err := e.Open(ctx, req)
	got := &result{Response: res}
	if err != nil {
		errors.As(err, &got.err)
		got.Status = 0
		return got
	}
	got.body, err = io.ReadAll(live)
	got.Response = live.End()
	errors.As(err, &got.err)
	return got
}

func (g *result) String() string {
	switch {
	case g.err == nil:
		return fmt.Sprint(g.Status)
	case g.Status != 0:
		return fmt.Sprintf("%d > %s", g.Status, g.err.Kind)
	}
	return string(g.err.Kind)
}

func (r row) serve(t *testing.T) server {
	if r.server != nil {
		return r.server(t)
	}
	srv := testpeer.Raw(t, testpeer.InTurn(r.peer, testpeer.OK))
	return server{url: srv.URL, conns: srv.Conns}
}

// run makes the row's call by one door, and another call after it.
func (r row) run(t *testing.T, door func(context.Context, *fetch.Engine, *fetch.Request) *result, want string) {
	t.Parallel()
	srv := r.serve(t)
	e := r.engine(t, srv.roots)
	req := request(t, srv.url+"/")
	if r.tweak != nil {
		r.tweak(req)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got := door(ctx, e, req)
	if got.String() != want {
		t.Fatalf("the call ended with %s (%v), want %s", got, got.err, want)
	}
	r.checkLedger(t, got)
	if n := srv.conns(); n > max(r.sends, 1)+1 {
		t.Errorf("one call made %d connections", n)
	}
	if r.check != nil {
		r.check(t, got)
	}
	r.checkAfter(t, e, srv)
}

// checkLedger holds what is true of every call: its lines are closed, it took in
// no more than it may, and its failure is one that can be shown.
func (r row) checkLedger(t *testing.T, got *result) {
	t.Helper()
	if most := max(r.sends, 1); len(got.Attempts) > most {
		t.Errorf("%d requests were sent, want at most %d", len(got.Attempts), most)
	}
	most := r.received
	if most == 0 {
		most = 64 << 10
	}
	for _, a := range got.Attempts {
		if a.Timings.Total <= 0 {
			t.Errorf("the ledger left a line open: %+v", a)
		}
		if a.BytesReceived > most {
			t.Errorf("attempt %d took in %d bytes of body, want at most %d", a.Number, a.BytesReceived, most)
		}
	}
	if f := got.err; f != nil && (len(f.Message) > 1024 && !r.wordy || !utf8.ValidString(f.Message)) {
		t.Errorf("the failure's message has %d bytes: %.200q", len(f.Message), f.Message)
	}
}

// checkAfter makes a call that must not notice the one before it.
func (r row) checkAfter(t *testing.T, e *fetch.Engine, srv server) {
	t.Helper()
	if r.after == unasked {
		return
	}
	before := srv.conns()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	next := do(ctx, e, request(t, srv.url+"/next"))
	if next.String() != "200" || string(next.body) != "ok" {
		t.Fatalf("the next call got %s, %.100q (%v), want 200, ok", next, next.body, next.err)
	}
	if dialed := srv.conns() - before; (dialed > 0) != (r.after == dropped) {
		t.Errorf("the next call made %d connections", dialed)
	}
}

// table runs rows through both doors.
func table(t *testing.T, rows []row) {
	for _, r := range rows {
		t.Run(r.name+"/fetch", func(t *testing.T) { r.run(t, do, r.fetch) })
		stream := r.stream
		if stream == "" {
			stream = r.fetch
		}
		t.Run(r.name+"/stream", func(t *testing.T) { r.run(t, open, stream) })
	}
}
