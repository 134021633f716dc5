package fetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// TestBudgetOfAnUpstream: the calls of an upstream share its retries, and have
// them back when the window has passed.
func TestBudgetOfAnUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const text = "max_attempts: 3, budget: {ratio: 0, min: 3, window: 10s}"
		e, _ := staged(t, policyText(text, ""), answer(503))
		call := func(want, stopped string) {
			t.Helper()
			res, err := e.Do(t.Context(), request(t, "GET", "http://a.test/"))
			if got := told(res, err); got != want {
				t.Errorf("the call went %s, want %s", got, want)
			}
			if got := res.Attempts[len(res.Attempts)-1].Stopped; !strings.HasPrefix(got, stopped) {
				t.Errorf("it stopped because of %q, want %q", got, stopped)
			}
		}
		call("503 +100ms 503 +200ms 503 = 503", "MAX_ATTEMPTS")
		call("503 +100ms 503 = 503", "RETRY_BUDGET_EXHAUSTED: ")
		call("503 = 503", "RETRY_BUDGET_EXHAUSTED")
		time.Sleep(9 * sec)
		call("503 = 503", "RETRY_BUDGET_EXHAUSTED")
		time.Sleep(2 * sec) // the window is never shorter than policy says, and a tenth longer at most
		call("503 +100ms 503 +200ms 503 = 503", "MAX_ATTEMPTS")
		call("503 +100ms 503 = 503", "RETRY_BUDGET_EXHAUSTED")
	})
}

// TestBudgetCountsThoseThatWait: a thousand calls that fail together do not all
// wait for their turn to be repeated.
func TestBudgetCountsThoseThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := staged(t, policyText("max_attempts: 2, backoff: {base: 1s, jitter: none}, budget: {ratio: 0.1, min: 5}", ""), answer(503))
		for r, c := range e.current.Load().chains { // all fail, and at once
			c.try = wrapAll(e, r, func(context.Context, *Try) (*http.Response, error) {
				return nil, fault.New(fault.ConnectionRefused, "down")
			})
		}
		var calls sync.WaitGroup
		var mu sync.Mutex
		retries, spent := 0, 0
		const all = 200
		for range all {
			calls.Go(func() {
				res, err := e.Do(t.Context(), request(t, "GET", "http://a.test/"))
				mu.Lock()
				defer mu.Unlock()
				retries += len(res.Attempts) - 1
				if strings.HasPrefix(res.Attempts[0].Stopped, "RETRY_BUDGET_EXHAUSTED") {
					spent++
				}
				if f := fault.From(err); f.Kind != fault.ConnectionRefused || !f.SafeToRetry {
					t.Errorf("got %v, safe %v; want CONNECTION_REFUSED, true", err, f.SafeToRetry)
				}
			})
		}
		calls.Wait()
		if retries > all/10 || retries < 5 || spent != all-retries {
			t.Errorf("%d calls made %d retries and %d were refused one, want 5 to %d and all others", all, retries, spent, all/10)
		}
	})
}

// TestStaleIsFree: an idle connection found dead costs no retry, whatever the
// method, but not without end.
func TestStaleIsFree(t *testing.T) {
	dead := "an idle connection was found dead"
	once := func(r *Request) { r.Method, r.Body = "POST", oneShot{} }
	plays(t, map[string]play{
		"without retries":  {retry: "max_attempts: 1", steps: []step{stale, answer(200)}, want: "CONNECTION_RESET +0s 200 = 200", why: []string{dead}},
		"POST":             {retry: "max_attempts: 1", tweak: post, steps: []step{stale, answer(200)}, want: "CONNECTION_RESET +0s 200 = 200"},
		"twice":            {retry: "max_attempts: 1", tweak: post, steps: []step{stale, stale, answer(200)}, want: "CONNECTION_RESET +0s CONNECTION_RESET +0s 200 = 200"},
		"thrice is enough": {retry: "max_attempts: 1", tweak: post, steps: []step{stale}, want: "CONNECTION_RESET +0s CONNECTION_RESET +0s CONNECTION_RESET = CONNECTION_RESET", safe: true},
		"the rest is policy's": {
			retry: "max_attempts: 2", steps: []step{stale, stale, stale, answer(200)}, want: "CONNECTION_RESET +0s CONNECTION_RESET +0s CONNECTION_RESET +100ms 200 = 200",
			why: []string{dead, dead, "CONNECTION_RESET"},
		},
		"not charged": {
			retry: "max_attempts: 3, connect: 0", steps: []step{stale, answer(503), stale, answer(503), answer(200)},
			want: "CONNECTION_RESET +0s 503 +100ms CONNECTION_RESET +0s 503 +200ms 200 = 200",
		},
		"behind a redirect of a POST": {
			retry: "max_attempts: 1", tweak: post, steps: []step{answer(303, "Location: /next"), stale, answer(200)}, want: "303 > CONNECTION_RESET +0s 200 = 200",
		},
		"not of the budget":          {retry: "max_attempts: 2, budget: {ratio: 0, min: 0}", steps: []step{stale, answer(200)}, want: "CONNECTION_RESET +0s 200 = 200"},
		"not a POST that was sent":   {retry: "max_attempts: 1", tweak: post, steps: []step{{kind: fault.ConnectionReset, reused: true, sent: true}}, want: "CONNECTION_RESET? = CONNECTION_RESET"},
		"not on a new connection":    {retry: "max_attempts: 1", steps: []step{{kind: fault.ConnectionReset}}, want: "CONNECTION_RESET = CONNECTION_RESET", safe: true},
		"not a body that is no more": {retry: "max_attempts: 3", tweak: once, steps: []step{stale}, want: "CONNECTION_RESET = CONNECTION_RESET", stopped: "BODY_SPENT", safe: true},
	})
}

// oneShot is a body that cannot be sent again.
type oneShot struct{}

func (oneShot) Open() io.ReadCloser { return io.NopCloser(strings.NewReader("once")) }
func (oneShot) Replayable() bool    { return false }
func (oneShot) Size() int64         { return 4 }

// TestSpentBody: what cannot be sent again is not, and the ledger says how to have
// it kept.
func TestSpentBody(t *testing.T) {
	put := func(r *Request) { r.Method, r.Body = "PUT", oneShot{} }
	plays(t, map[string]play{
		"answered": {
			retry: "max_attempts: 3", tweak: put, steps: []step{answer(503)}, want: "503 = 503",
			stopped: "BODY_SPENT: the upload cannot be sent again; policy keeps 64KiB of one (retry.spool)",
		},
		"reset":   {retry: "max_attempts: 3", tweak: put, steps: []step{reset}, want: "CONNECTION_RESET? = CONNECTION_RESET", stopped: "BODY_SPENT", safe: true},
		"refused": {retry: "max_attempts: 3", tweak: put, steps: []step{refused}, want: "CONNECTION_REFUSED = CONNECTION_REFUSED", stopped: "BODY_SPENT", safe: true},
	})
}

// TestPayloadIsWholeEachTime: every attempt sends the whole body.
func TestPayloadIsWholeEachTime(t *testing.T) {
	play{
		retry: "max_attempts: 3", tweak: func(r *Request) { post(r); r.Method = "PUT" }, steps: []step{reset, answer(503), answer(200)},
		want: "CONNECTION_RESET? +100ms 503 +200ms 200 = 200",
		check: func(t *testing.T, p *stage, res *Response) {
			for i, s := range p.seen {
				if s.body != "payload" || res.Attempts[i].BytesSent != int64(len("payload")) {
					t.Errorf("attempt %d sent %q, and %d bytes by the ledger", i+1, s.body, res.Attempts[i].BytesSent)
				}
			}
			if res.BytesSent != 3*int64(len("payload")) {
				t.Errorf("the call sent %d bytes, want all attempts' together", res.BytesSent)
			}
		},
	}.run(t)
}

// TestStreamsAreRetriedUntilTheirHead: Open makes other attempts as Do does, and
// hands on the last answer while it is on its way.
func TestStreamsAreRetriedUntilTheirHead(t *testing.T) {
	for name, c := range map[string]struct {
		steps []step
		want  string
		kind  fault.Kind
	}{
		"then it works":   {[]step{reset, answer(503), {status: 200, body: "whole"}}, "CONNECTION_RESET? +100ms 503 +200ms 200 = 200", ""},
		"the last answer": {[]step{answer(503), answer(502), {status: 503, body: "whole"}}, "503 +100ms 502 +200ms 503 = 503", ""},
		"a failure":       {[]step{answer(503), refused}, "503 +100ms CONNECTION_REFUSED +200ms CONNECTION_REFUSED = CONNECTION_REFUSED", fault.ConnectionRefused},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, _ := staged(t, policyText("max_attempts: 3", ""), c.steps...)
				live, tried, err := e.Open(t.Context(), request(t, "GET", "http://a.test/"))
				if live == nil {
					if got := told(tried, err); got != c.want || !errors.Is(err, c.kind) {
						t.Errorf("the call went %s, want %s", got, c.want)
					}
					return
				}
				body, err := io.ReadAll(live)
				if got := told(live.End(), err); got != c.want || string(body) != "whole" {
					t.Errorf("the call went %s with %q, want %s", got, body, c.want)
				}
			})
		})
	}
}
