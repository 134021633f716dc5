package fetch

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// CallFunc runs once a hop.
type CallFunc func(context.Context, *Call) (*http.Response, error)

// TryFunc runs once for every request on the wire.
type TryFunc func(context.Context, *Try) (*http.Response, error)

// tryStage is one behaviour of the try ring. wrap gives next itself where the
// upstream has no use for the stage, which then costs nothing.
type tryStage struct {
	name string
	wrap func(r *policy.Route, next TryFunc) TryFunc
}

// callStage is one behaviour of the call ring, likewise.
type callStage struct {
	name string
	wrap func(s shared, next CallFunc) CallFunc
}

// callRing is, outermost first, what happens to a hop. Quotas, the cache and
// sessions will stand before the retry loop, which is its innermost.
func (e *Engine) callRing() []callStage {
	return []callStage{
		{"slots", takeSlot},
		{"retry", func(shared, CallFunc) CallFunc { return retry }},
	}
}

// tryRing is, outermost first, what happens to each request on the wire. On the
// way back the order is the reverse: the answer's head is read, its body
// buffered while the clocks still run, then the clocks stop and the ledger's
// line is closed.
func (e *Engine) tryRing() []tryStage {
	return []tryStage{
		{"ledger", ledger},
		{"clocks", attemptClocks},
		{"buffer", buffer},
		{"headers", e.headers},
		{"auth", e.sign},
		{"send", e.send},
	}
}

// shared is what the routes of an upstream have in common and what outlives a
// snapshot; nil members: policy has no use for them.
type shared struct {
	budget *budget
	slots  *slots
	usage  *usage
}

// share finds or makes what up shares.
func (e *Engine) share(up *policy.Upstream) (s shared) {
	s.usage = e.usages.get(up.Name)
	if l := up.Limits; l.Concurrent > 0 {
		s.slots = e.slots.get(up.Name, l.Concurrent, l.Queue)
	} else {
		e.slots.lift(up.Name)
	}
	if b := up.Budget; !b.Unlimited {
		s.budget = e.budgets.get(up.Name, b.Ratio, b.Min, b.Window)
	}
	return s
}

// chain is both rings, compiled for one route of one snapshot.
type chain struct {
	shared
	proofs *proofs // nil: there are none
	call   CallFunc
	try    TryFunc
	last   atomic.Pointer[known] // the place asked for last
}

func (e *Engine) compile(r *policy.Route, s shared) *chain {
	if r.Retry.MaxAttempts.Max <= 1 && r.Resume == (policy.Resume{}) {
		s.budget = nil // nothing to count
	}
	c := &chain{shared: s, proofs: e.proofsOf(r)}
	tries := e.tryRing()
	for i := len(tries) - 1; i >= 0; i-- {
		c.try = tries[i].wrap(r, c.try)
	}
	calls := e.callRing()
	for i := len(calls) - 1; i >= 0; i-- {
		c.call = calls[i].wrap(s, c.call)
	}
	return c
}

// send is the innermost: it hands the request to the upstream's pool, which is
// opened by the first call that needs it.
func (e *Engine) send(r *policy.Route, _ TryFunc) TryFunc {
	transport := sync.OnceValue(func() http.RoundTripper { return e.pools.For(r.Upstream) })
	return func(ctx context.Context, t *Try) (*http.Response, error) {
		if own := t.call.req.Connection; own != nil && t.hop.index == 0 {
			rt, err := e.pools.ForCall(r.Upstream, *own)
			if err != nil {
				return nil, err
			}
			return t.roundTrip(ctx, rt)
		}
		return t.roundTrip(ctx, transport())
	}
}

// takeSlot waits for a place among the upstream's calls. It is given back when the
// hop's last body is closed.
func takeSlot(s shared, next CallFunc) CallFunc {
	if s.slots == nil {
		return next
	}
	return func(ctx context.Context, c *Call) (*http.Response, error) {
		left, late := time.Until(c.tries.deadline), c.tries.timedOut()
		if pool := c.hop.limits.pool; pool > 0 && pool < left {
			left, late = pool, nil
		}
		waited, err := s.slots.acquire(ctx, c.req.Caller, left)
		if waited > 0 {
			c.waits = append(c.waits, Wait{For: telemetry.WaitQueue, Start: time.Now().Add(-waited), Took: waited, Err: faultOf(err)})
		}
		if err != nil {
			f := fault.From(err)
			if f.Kind == fault.PoolTimeout && late != nil {
				f = late
			}
			f.SafeToRetry = f.Kind.MayPass() && len(c.tries.attempts) == 0
			if !f.SafeToRetry && len(c.tries.attempts) > 0 {
				f.Wire = fault.MaybeProcessed // an earlier hop had it
			}
			return nil, f
		}
		if waited > 0 {
			c.tries.before = pause{waited, "a free place among the upstream's calls (limits.concurrent)"}
		}
		release := sync.OnceFunc(s.slots.release)
		handedOn := false
		defer func() { // also when a defect panics: the place would never come back
			if !handedOn {
				release()
			}
		}()
		res, err := next(ctx, c)
		if err != nil {
			return nil, err
		}
		if body, ok := res.Body.(*receivedBody); ok {
			body.onClose, handedOn = release, true
		} // else it was read whole
		return res, nil
	}
}
