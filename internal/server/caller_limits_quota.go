package server

import (
	"sync/atomic"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// quota is what one caller has in flight, and what is left of its rate.
type quota struct {
	limits *callerLimits // that it is one of
	caller string
	bounds atomic.Pointer[quotaBounds]
	// inFlight are the places that are taken.
	inFlight atomic.Int64
	// full is when the bucket of the rate will be full again, in nanoseconds: the
	// virtual scheduling algorithm of a leaky bucket (ITU-T I.371, annex A), which
	// needs no timer and no lock. Each call moves it by one interval.
	full atomic.Int64
	// waiting are items of batches that wait for a place, and freed wakes one.
	waiting atomic.Int32
	freed   chan struct{}
}

// quotaBounds are a caller's limits, as they are compared.
type quotaBounds struct {
	policy.CallerLimits
	// interval is how far calls are apart at the full rate, and slack how early one
	// may come, in nanoseconds; interval 0: there is no rate.
	interval, slack int64
}

func newBounds(l policy.CallerLimits) *quotaBounds {
	b := &quotaBounds{CallerLimits: l}
	if l.PerSecond > 0 {
		b.interval = int64(time.Second) / int64(l.PerSecond)
		b.slack = int64(max(l.Burst, 1)-1) * b.interval
	}
	return b
}

// follow gives q the limits of a new policy; nil becomes a new quota. The part of
// the burst that was spent stays spent.
func (q *quota) follow(l *callerLimits, caller string, s *policy.Snapshot) *quota {
	b := newBounds(s.CallerLimits(caller))
	if q == nil {
		q = &quota{limits: l, caller: caller, freed: make(chan struct{}, 1)}
		q.bounds.Store(b)
		return q
	}
	if old := q.bounds.Load(); old.CallerLimits != b.CallerLimits {
		q.bounds.Store(b)
		q.rescale(old, b, l.now())
		q.wake()
	}
	return q
}

// rescale keeps the number of calls that are spent: time that was reckoned by the
// old rate would keep callers out for long after it was raised.
func (q *quota) rescale(old, b *quotaBounds, now int64) {
	for {
		full, next := q.full.Load(), now
		if ahead := full - now; ahead > 0 && old.interval > 0 {
			next += min(ahead/old.interval, int64(b.Burst)) * b.interval
		}
		if q.full.CompareAndSwap(full, next) {
			return
		}
	}
}

// enter takes one call of the rate and, if places, a place; both or none.
func (q *quota) enter(places bool) error {
	b := q.bounds.Load()
	if places && b.Concurrent > 0 && q.inFlight.Load() >= int64(b.Concurrent) {
		return tooManyCalls(q.caller, b) // first: it costs nothing
	}
	if wait := q.spend(b, false); wait > 0 {
		return rateLimited(q.caller, b, wait)
	}
	if places && !q.take(b) {
		q.refund(b)
		return tooManyCalls(q.caller, b)
	}
	return nil
}

// spend takes one call of the rate, or gives how long until there is one. With
// ahead it is taken all the same, to be used after that time.
func (q *quota) spend(b *quotaBounds, ahead bool) (wait time.Duration) {
	if b.interval == 0 {
		return 0
	}
	now := q.limits.now()
	for {
		full := q.full.Load()
		from := max(full, now)
		wait = time.Duration(max(from-now-b.slack, 0))
		if wait > 0 && !ahead || q.full.CompareAndSwap(full, from+b.interval) {
			return wait
		}
	}
}

// refund gives back one call of the rate.
func (q *quota) refund(b *quotaBounds) { q.full.Add(-b.interval) }

// take takes a place if there is one.
func (q *quota) take(b *quotaBounds) bool {
	for {
		n := q.inFlight.Load()
		if b.Concurrent > 0 && n >= int64(b.Concurrent) {
			return false
		}
		if q.inFlight.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave gives a place back.
func (q *quota) leave() {
	q.inFlight.Add(-1)
	if q.waiting.Load() > 0 {
		q.wake()
	}
}

// wake lets one of those who wait look again.
func (q *quota) wake() {
	select {
	case q.freed <- struct{}{}:
	default: // one is awake already, and passes it on
	}
}
