package fetch

import "time"

// Scheduled is one attempt of the worst case, in which every attempt fails after
// all the time that its clock gives it, and every wait is the longest.
type Scheduled struct {
	// WaitMin and WaitMax bound the wait before it, as jitter draws it.
	WaitMin, WaitMax time.Duration
	// Starts is when it begins, from the call's start.
	Starts time.Duration
	// Limit is how long it may take.
	Limit time.Duration
	// Fits says that the total clock has something left for it.
	Fits bool
}

// schedule is the worst case of the call's first hop. What an upstream asks for by
// Retry-After is not in it.
func (c *Call) schedule() []Scheduled {
	p, lim := c.hop.retry, c.hop.limits
	b := backoff{base: p.Backoff.Base, max: p.Backoff.Max, jitter: jitters[p.Backoff.Jitter]}
	least := func() float64 { return 0 }
	out := make([]Scheduled, 0, p.MaxAttempts.Default)
	var at, before time.Duration
	for n := range p.MaxAttempts.Default {
		var s Scheduled
		if n > 0 {
			s.WaitMin, s.WaitMax = b.wait(n-1, before, false, least), b.longest(n-1)
			before, at = s.WaitMin, at+s.WaitMax
		}
		left := lim.total - at
		s.Starts, s.Fits = at, left > 0
		if s.Fits {
			s.Limit = left
			if lim.attempt > 0 {
				s.Limit = min(lim.attempt, left)
			}
		}
		at += s.Limit
		out = append(out, s)
	}
	return out
}
