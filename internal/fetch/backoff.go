package fetch

import (
	"math"
	"time"
)

// jitter is how a wait is drawn, so that calls that failed together do not come
// back together.
type jitter uint8

const (
	// jitterAuto is equal where the upstream throttles, else full.
	jitterAuto jitter = iota
	// jitterFull draws from 0 to the bound: it spreads the load best.
	jitterFull
	// jitterEqual draws from half the bound to the bound: it never comes down to
	// nothing, which would burn all attempts while an upstream throttles.
	jitterEqual
	// jitterDecorrelated draws from base to three times the wait before.
	jitterDecorrelated
	// jitterNone waits for the bound.
	jitterNone
)

// backoff is the wait before a retry: base, doubled with each, up to max. Without
// a base or a max there is none.
type backoff struct {
	base, max time.Duration
	jitter    jitter
}

// wait gives the wait before retry n, the first being 0. prev is the wait before
// the last one, 0 if there was none; throttled says that the upstream answered
// 429 or 503; rnd draws from [0, 1).
func (b backoff) wait(n int, prev time.Duration, throttled bool, rnd func() float64) time.Duration {
	bound := b.bound(n)
	if bound == 0 {
		return 0
	}
	switch b.draw(throttled) {
	case jitterNone:
		return bound
	case jitterEqual:
		return bound - bound/2 + share(bound/2, rnd)
	case jitterDecorrelated:
		low := b.bound(0)
		return low + share(b.threefold(max(prev, low))-low, rnd)
	default:
		return share(bound, rnd)
	}
}

// longest gives the least upper bound of wait for retry n.
func (b backoff) longest(n int) time.Duration {
	bound := b.bound(n)
	if b.jitter != jitterDecorrelated || bound == 0 {
		return bound
	}
	bound = b.bound(0)
	for i := 0; i <= n && bound < b.max; i++ {
		bound = b.threefold(bound)
	}
	return bound
}

func (b backoff) draw(throttled bool) jitter {
	switch {
	case b.jitter != jitterAuto:
		return b.jitter
	case throttled:
		return jitterEqual
	default:
		return jitterFull
	}
}

// bound is min(max, base*2^n), for any n.
func (b backoff) bound(n int) time.Duration {
	n = max(n, 0)
	switch {
	case b.base <= 0 || b.max <= 0:
		return 0
	case b.base > b.max>>n:
		return b.max
	default:
		return b.base << n
	}
}

// threefold is min(max, 3*d).
func (b backoff) threefold(d time.Duration) time.Duration {
	if d > b.max/3 {
		return b.max
	}
	return 3 * d
}

// share draws from [0, d]. A float64 cannot hold every int64: what rounds up
// beyond d is d.
func share(d time.Duration, rnd func() float64) time.Duration {
	f := math.Floor(rnd() * float64(d))
	if f >= float64(d) {
		return d
	}
	return time.Duration(f)
}
