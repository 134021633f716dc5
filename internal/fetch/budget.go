package fetch

import (
	"math"
	"sync"
	"time"
)

// budgetParts is how finely a budget's window slides. One more part than that is
// kept: the oldest is on its way out, so that the window is always covered whole.
const budgetParts = 10

// budget bounds the retries of all calls to an upstream by a share of their first
// attempts over a window of time, so that an outage is not answered with a
// multiple of the load. A retry counts from the decision on: those that still wait
// would otherwise all pass at once. Safe for concurrent use.
type budget struct {
	ratio float64
	min   int
	part  time.Duration

	mu     sync.Mutex
	start  time.Time // of part 0: the first call
	now    int64     // the part that counts
	parts  [budgetParts + 1]struct{ firsts, retries int }
	counts struct{ firsts, retries int } // of all parts
}

// newBudget allows as many retries in a window as ratio of its first attempts,
// and min in any case.
func newBudget(ratio float64, min int, window time.Duration) *budget {
	return &budget{ratio: ratio, min: min, part: max(window/budgetParts, 1)}
}

// note counts a first attempt.
func (b *budget) note(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slide(now)
	b.parts[b.now%int64(len(b.parts))].firsts++
	b.counts.firsts++
}

// take counts a retry, if one is left.
func (b *budget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slide(now)
	if b.rest() < 1 {
		return false
	}
	b.parts[b.now%int64(len(b.parts))].retries++
	b.counts.retries++
	return true
}

// takeOver counts what old did as if it had been now.
func (b *budget) takeOver(old *budget, now time.Time) {
	old.mu.Lock()
	defer old.mu.Unlock()
	old.slide(now)
	b.start, b.counts = now, old.counts
	b.parts[0] = old.counts
}

// rest is the retries left, fractions included. The small addition makes up for
// products such as 0.29*100, which fall short of a whole number.
func (b *budget) rest() float64 {
	return max(float64(b.min), b.ratio*float64(b.counts.firsts)) - float64(b.counts.retries) + 1e-9
}

// slide forgets the parts that left the window. Callers read their clocks before
// they wait for each other: one that comes late counts as now.
func (b *budget) slide(now time.Time) {
	if b.start.IsZero() {
		b.start = now
	}
	to := int64(now.Sub(b.start) / b.part)
	from := max(b.now, to-int64(len(b.parts)))
	for p := from + 1; p <= to; p++ {
		gone := &b.parts[p%int64(len(b.parts))]
		b.counts.firsts -= gone.firsts
		b.counts.retries -= gone.retries
		gone.firsts, gone.retries = 0, 0
	}
	b.now = max(b.now, to)
}

// budgets keeps the budgets of all upstreams, so that they outlive a reload of the
// policy. The zero value is empty. Safe for concurrent use.
type budgets struct {
	mu sync.Mutex
	by map[string]*budget
}

// get gives the budget of key: the one there is, or a new one if there is none or
// if it was made with other parameters; what was spent in the last window counts
// there too, so that an edit in an outage is no new budget. It is asked when a policy is compiled, not
// for each call.
func (b *budgets) get(key string, ratio float64, min int, window time.Duration) *budget {
	fresh := newBudget(ratio, min, window)
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.by[key]; old != nil && old.ratio == fresh.ratio && old.min == fresh.min && old.part == fresh.part {
		return old
	}
	if old := b.by[key]; old != nil {
		fresh.takeOver(old, time.Now())
	}
	if b.by == nil {
		b.by = map[string]*budget{}
	}
	b.by[key] = fresh
	return fresh
}

// prune forgets the budgets whose keys are not kept.
func (b *budgets) prune(keep map[string]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key := range b.by {
		if !keep[key] {
			delete(b.by, key)
		}
	}
}

// left is what is left of key's; negative: there is none of that key.
func (b *budgets) left(key string) float64 {
	b.mu.Lock()
	one := b.by[key]
	b.mu.Unlock()
	if one == nil {
		return -1
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	one.slide(time.Now())
	return math.Floor(max(one.rest(), 0))
}
