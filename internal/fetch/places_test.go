package fetch

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// busy is a policy of an upstream with one place and a queue of one.
func busy(retry, more string) string {
	return policyText(retry, ", limits: {concurrent: 1, queue: 1}"+more)
}

// inTime runs do n times, one a second.
func inTime(n int, do func(i int)) *sync.WaitGroup {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			time.Sleep(time.Duration(i) * sec)
			do(i)
		})
	}
	return &all
}

// TestPlaces: who finds no place waits for one, and says in its ledger for how
// long; whoever finds the queue full does not.
func TestPlaces(t *testing.T) {
	for name, c := range map[string]struct {
		more string
		want []string
		safe bool
	}{
		"queue":      {"", []string{"200 = 200", "+9s 200 = 200", "= POOL_FULL"}, true},
		"pool clock": {", timeouts: {pool: 500ms}", []string{"200 = 200", "= POOL_TIMEOUT", "= POOL_TIMEOUT"}, true},
		"total":      {", timeouts: {total: 4s, pool: 5s}", []string{"TOTAL_TIMEOUT? = TOTAL_TIMEOUT", "+3s TOTAL_TIMEOUT? = TOTAL_TIMEOUT", "= POOL_FULL"}, true},
		"total only": {", timeouts: {total: 11s}", []string{"200 = 200", "+9s TOTAL_TIMEOUT? = TOTAL_TIMEOUT", "= POOL_FULL"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, _ := staged(t, busy("", c.more), answer(200).taking(10*sec))
				inTime(len(c.want), func(i int) {
					res, err := e.Do(t.Context(), request(t, "GET", "http://a.test/"))
					if got := told(res, err); got != c.want[i] {
						t.Errorf("call %d went %s, want %s", i, got, c.want[i])
					}
					if err != nil && fault.From(err).SafeToRetry != c.safe {
						t.Errorf("call %d failed with %v, safe %v; want %v", i, err, !c.safe, c.safe)
					}
					if len(res.Attempts) > 0 && res.Attempts[0].Wait > 0 && !strings.HasPrefix(res.Attempts[0].WaitReason, "a free place") {
						t.Errorf("call %d waited because of %q", i, res.Attempts[0].WaitReason)
					}
				}).Wait()
				wantFree(t, e)
			})
		})
	}
}

// TestTotalRunsOutInTheQueue: the call's own clock ends it, not the pool's.
func TestTotalRunsOutInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := staged(t, busy("", ", timeouts: {total: 30s, pool: 5s}"), answer(200).taking(20*sec))
		inTime(2, func(i int) {
			req := request(t, "GET", "http://a.test/")
			if i == 1 {
				req.Timeouts.Total = 3 * sec
			}
			start := time.Now()
			_, err := e.Do(t.Context(), req)
			if f := fault.From(err); i == 1 && (!errors.Is(err, fault.TotalTimeout) || !f.SafeToRetry || time.Since(start) != 3*sec) {
				t.Errorf("got %v after %v, safe %v; want TOTAL_TIMEOUT after 3s, which is safe: it had no place", err, time.Since(start), f.SafeToRetry)
			}
		}).Wait()
		wantFree(t, e)
	})
}

// TestPlaceIsKeptInWaits: a call that waits for its next attempt is in flight, and
// gives its place back however it ends.
func TestPlaceIsKeptInWaits(t *testing.T) {
	for name, c := range map[string]struct {
		steps []step
		ends  time.Duration // the caller's patience
		want  []string
	}{
		"answered":  {[]step{answer(503), answer(200).taking(sec), answer(204)}, time.Hour, []string{"503 +4s 200 = 200", "+4s 204 = 204"}},
		"failed":    {[]step{refused, refused, answer(204)}, time.Hour, []string{"CONNECTION_REFUSED +4s CONNECTION_REFUSED = CONNECTION_REFUSED", "+3s 204 = 204"}},
		"cancelled": {[]step{answer(503), answer(204)}, 2 * sec, []string{"503 = CANCELLED", "+1s 204 = 204"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, _ := staged(t, busy("max_attempts: 2, backoff: {base: 4s, jitter: none}", ""), c.steps...)
				inTime(2, func(i int) {
					ctx, cancel := context.WithCancel(t.Context())
					defer time.AfterFunc(c.ends, cancel).Stop()
					defer cancel()
					res, err := e.Do(ctx, request(t, "GET", "http://a.test/"))
					if got := told(res, err); got != c.want[i] {
						t.Errorf("call %d went %s, want %s", i, got, c.want[i])
					}
				}).Wait()
				wantFree(t, e)
			})
		})
	}
}

// TestStreamKeepsItsPlace: until its body is closed, and not longer.
func TestStreamKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := staged(t, busy("", ""), answer(200))
		live, _, err := e.Open(t.Context(), request(t, "GET", "http://a.test/"))
		if err != nil {
			t.Fatal(err)
		}
		var second sync.WaitGroup
		second.Go(func() {
			res, err := e.Do(t.Context(), request(t, "GET", "http://a.test/"))
			if got := told(res, err); got != "+7s 200 = 200" {
				t.Errorf("the second call went %s, want it to wait for the stream's end", got)
			}
		})
		time.Sleep(7 * sec)
		live.Close()
		live.Close() // gives back nothing that it does not have
		second.Wait()
		wantFree(t, e)
	})
}

// TestRedirectToItself: a hop gives its place back before the next one needs it.
func TestRedirectToItself(t *testing.T) {
	for name, open := range map[string]bool{"Do": false, "Open": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, _ := staged(t, busy("max_attempts: 2", ""), answer(302, "Location: /1"), answer(503), answer(307, "Location: /2"), answer(200))
				res, err := &Response{}, error(nil)
				if open {
					var live *Live
					if live, _, err = e.Open(t.Context(), request(t, "GET", "http://a.test/")); err == nil {
						res = live.End()
					}
				} else {
					res, err = e.Do(t.Context(), request(t, "GET", "http://a.test/"))
				}
				if got, want := told(res, err), "302 > 503 +100ms 307 > 200 = 200"; got != want {
					t.Errorf("the call went %s, want %s", got, want)
				}
				wantFree(t, e)
			})
		})
	}
}

// TestNoPlaceOnALaterHop: what the hops before left behind is not safe to repeat.
func TestNoPlaceOnALaterHop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := staged(t, `
upstreams:
  - {name: a, hosts: [a.test], schemes: [http]}
  - {name: b, hosts: [b.test], schemes: [http], limits: {concurrent: 1, queue: 0}}
`, answer(200).taking(10*sec), answer(303, "Location: http://b.test/"))
		inTime(2, func(i int) {
			req := request(t, "GET", "http://b.test/")
			if i == 1 {
				req = request(t, "POST", "http://a.test/")
			}
			res, err := e.Do(t.Context(), req)
			if f := fault.From(err); i == 1 && (told(res, err) != "303 = POOL_FULL" || f.SafeToRetry || f.Wire != fault.MaybeProcessed) {
				t.Errorf("the call went %s, safe %v, wire %s; want 303 = POOL_FULL, false, maybe_processed", told(res, err), f.SafeToRetry, f.Wire)
			}
		}).Wait()
	})
}

// wantFree holds that no place is taken.
func wantFree(t *testing.T, e *Engine) {
	t.Helper()
	wantLoad(t, e.slots.get("a", 1, 1), 0, 0)
}
