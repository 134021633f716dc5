package fetch

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// step is what one attempt of a play meets: an answer, or a failure of kind.
type step struct {
	status int
	fields []string // "Name: value"
	body   string   // default "answer N"
	kind   fault.Kind
	// sent: the request's bytes left before it failed. reused: on an idle connection.
	sent, reused bool
	// takes is how long it lasts.
	takes time.Duration
}

func answer(status int, fields ...string) step { return step{status: status, fields: fields} }

var (
	refused = step{kind: fault.ConnectionRefused}
	reset   = step{kind: fault.ConnectionReset, sent: true}
	stale   = step{kind: fault.ConnectionReset, reused: true}
	garbage = step{kind: fault.BadResponse, sent: true}
)

func (s step) taking(d time.Duration) step { s.takes = d; return s }

// seen is a request that arrived.
type seen struct {
	method, url, body string
	header            http.Header
	began, ended      time.Duration
}

// stage plays the network: it is the innermost of the try ring in its real
// place, so that all others are the engine's own.
type stage struct {
	start time.Time
	steps []step // the last one serves all further attempts

	mu   sync.Mutex
	seen []seen
}

// wireless stands for a connection.
type wireless struct{ net.Conn }

func (wireless) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *stage) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	n := len(p.seen)
	s := p.steps[min(n, len(p.steps)-1)]
	p.seen = append(p.seen, seen{method: r.Method, url: r.URL.Scheme + "://" + r.URL.Host + r.URL.RequestURI(), header: r.Header.Clone(), began: time.Since(p.start)})
	p.mu.Unlock()
	note := func(f func(*seen)) {
		p.mu.Lock()
		defer p.mu.Unlock()
		f(&p.seen[n])
	}
	defer note(func(s *seen) { s.ended = time.Since(p.start) })
	trace := httptrace.ContextClientTrace(r.Context())
	if s.sent || s.reused || s.status > 0 {
		trace.GotConn(httptrace.GotConnInfo{Conn: wireless{}, Reused: s.reused})
	}
	if s.sent || s.status > 0 {
		if r.Body != nil {
			body, _ := io.ReadAll(r.Body)
			note(func(s *seen) { s.body = string(body) })
		}
		trace.WroteHeaders()
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
	if r.Body != nil {
		_ = r.Body.Close()
	}
	if err := sleepWith(r.Context(), s.takes); err != nil {
		return nil, err
	}
	if s.kind != "" {
		return nil, fault.New(s.kind, "as the play has it")
	}
	if s.body == "" {
		s.body = fmt.Sprintf("answer %d", n+1)
	}
	res := &http.Response{
		StatusCode: s.status, Status: fmt.Sprintf("%d %s", s.status, http.StatusText(s.status)), ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(s.body)), ContentLength: int64(len(s.body)), Request: r,
	}
	for _, f := range s.fields {
		name, value, _ := strings.Cut(f, ": ")
		res.Header.Add(name, value)
	}
	return res, nil
}

func sleepWith(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// staged is an engine whose network is a play.
func staged(t *testing.T, text string, steps ...step) (*Engine, *stage) {
	t.Helper()
	e := newEngine(t, text)
	e.random = always(0)
	p := &stage{start: time.Now(), steps: steps}
	for r, c := range e.current.Load().chains {
		c.try = wrapAll(e, r, func(ctx context.Context, t *Try) (*http.Response, error) { return t.roundTrip(ctx, p) })
	}
	return e, p
}

// wrapAll is the try ring with something else in place of its innermost.
func wrapAll(e *Engine, r *policy.Route, try TryFunc) TryFunc {
	ring := e.tryRing()
	for _, s := range slices.Backward(ring[:len(ring)-1]) {
		try = s.wrap(r, try)
	}
	return try
}

// play is one call, its network and what must come of it.
type play struct {
	// retry are the keys of the upstream's `retry`; base 100ms and jitter none
	// unless they say otherwise.
	retry string
	// more are further keys of the upstream, and text a whole policy instead.
	more, text string
	random     float64
	tweak      func(*Request)
	ctx        func(context.Context) (context.Context, context.CancelFunc)
	steps      []step

	// want is the story: see told.
	want string
	// why are the reasons for the waits.
	why []string
	// stopped is why no other attempt followed; its first word is enough.
	stopped string
	// safe is the failure's safe_to_retry, and after its RetryAfter.
	safe  bool
	after time.Duration
	// elapsed is how long the call takes, where the story does not tell.
	elapsed time.Duration
	check   func(*testing.T, *stage, *Response)
}

// policyText is a policy for a.test, with retries.
func policyText(retry, more string) string {
	if !strings.Contains(retry, "backoff") {
		retry = strings.Trim("backoff: {base: 100ms, jitter: none}, "+retry, ", ")
	}
	return "upstreams:\n  - {name: a, hosts: [a.test], schemes: [http], retry: {" + retry + "}" + more + "}\n"
}

func (p play) run(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := p.text
		if text == "" {
			if p.more != "" {
				p.more = ", " + p.more
			}
			text = policyText(p.retry, p.more)
		}
		e, stage := staged(t, text, p.steps...)
		e.random = always(p.random)
		req := request(t, "GET", "http://a.test/")
		if p.tweak != nil {
			p.tweak(req)
		}
		ctx := t.Context()
		if p.ctx != nil {
			var cancel context.CancelFunc
			ctx, cancel = p.ctx(ctx)
			defer cancel()
		}
		start := time.Now()
		res, err := e.Do(ctx, req)
		took := time.Since(start)
		if got := told(res, err); got != p.want {
			t.Errorf("the call went\n%s\nwant\n%s", got, p.want)
		}
		p.checkEnd(t, res, err)
		checkLedger(t, stage, res, took, p.elapsed)
		if p.check != nil {
			p.check(t, stage, res)
		}
	})
}

// checkEnd holds what a story does not tell.
func (p play) checkEnd(t *testing.T, res *Response, err error) {
	t.Helper()
	var why []string
	stopped := ""
	for i, a := range res.Attempts {
		if a.WaitReason != "" {
			why = append(why, a.WaitReason)
		}
		if stopped != "" {
			t.Errorf("attempt %d says that it was the last (%s), and there is another", i, stopped)
		}
		stopped = a.Stopped
	}
	if p.why != nil && !slices.Equal(why, p.why) {
		t.Errorf("the waits' reasons are %q, want %q", why, p.why)
	}
	if word, _, _ := strings.Cut(stopped, ":"); stopped != p.stopped && word != p.stopped {
		t.Errorf("the last attempt says of why there is no other: %q, want %q", stopped, p.stopped)
	}
	if err == nil {
		return
	}
	if f := fault.From(err); f.SafeToRetry != p.safe || f.RetryAfter != p.after {
		t.Errorf("the failure says safe %v, retry after %v; want %v, %v", f.SafeToRetry, f.RetryAfter, p.safe, p.after)
	}
}

// checkLedger holds that the ledger is what happened, to the nanosecond, and that
// nothing was waited for beside it.
func checkLedger(t *testing.T, p *stage, res *Response, took, elapsed time.Duration) {
	t.Helper()
	if len(res.Attempts) != len(p.seen) {
		t.Fatalf("%d requests were made and the ledger has %d lines", len(p.seen), len(res.Attempts))
	}
	var at time.Duration
	for i, a := range res.Attempts {
		if began := at + a.Wait; p.seen[i].began != began {
			t.Errorf("attempt %d began at %v, and the one before ended at %v with a wait of %v", i+1, p.seen[i].began, at, a.Wait)
		}
		if a.Number != i+1 || a.Method != p.seen[i].method || a.URL.String() != p.seen[i].url {
			t.Errorf("line %d is number %d, %s %s; %s %s was sent", i+1, a.Number, a.Method, a.URL.String(), p.seen[i].method, p.seen[i].url)
		}
		at = p.seen[i].ended
	}
	if want := max(at, elapsed); took != want {
		t.Errorf("the call took %v, want %v", took, want)
	}
}

// told is the story of a call: its attempts, each with the wait before it if it is
// no hop's first, `>` where a redirect was followed, and behind `=` what the
// caller got. Failures are their kinds, with `?` where something may have been
// processed.
func told(res *Response, err error) string {
	var b strings.Builder
	hop := 0
	for i, a := range res.Attempts {
		switch {
		case a.Hop != hop:
			b.WriteString("> ")
		case i > 0 || a.Wait > 0:
			fmt.Fprintf(&b, "+%v ", a.Wait)
		}
		hop = a.Hop
		switch {
		case a.Err == nil:
			fmt.Fprintf(&b, "%d ", a.Status)
		case a.Wire == fault.Unsent:
			fmt.Fprintf(&b, "%s ", a.Err.Kind)
		default:
			fmt.Fprintf(&b, "%s? ", a.Err.Kind)
		}
	}
	if err != nil {
		return b.String() + "= " + string(fault.From(err).Kind)
	}
	return b.String() + fmt.Sprintf("= %d", res.Status)
}
