package fetch

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// Place is where a request goes as far as metrics tell: the host pattern of policy
// that it matched, and the port. Callers cannot invent any.
type Place struct {
	Address string
	Port    uint16
}

// Usage is what the calls of one upstream do at the moment.
type Usage struct {
	Upstream string
	// Calls are under way, Connecting of their attempts wait for a connection.
	Calls, Connecting int64
	// Attempts are under way, by place.
	Attempts map[Place]int64
	// Queued wait for a place among the upstream's calls (limits.concurrent), Held have
	// one, and Limit is how many there are; 0: any number.
	Queued, Held, Limit int
	// Budget is what is left of the upstream's retries; negative: they have no budget.
	Budget float64
}

// usage counts that. It outlives snapshots. Safe for concurrent use.
type usage struct {
	calls, connecting atomic.Int64

	mu       sync.Mutex
	attempts map[Place]int64
}

// idlePlaces is how many places without attempts are remembered, so that their zero
// is told.
const idlePlaces = 64

func (u *usage) begin(at Place) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.attempts[at]++
}

func (u *usage) end(at Place) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.attempts[at]--
	if u.attempts[at] <= 0 && len(u.attempts) > idlePlaces {
		delete(u.attempts, at)
	}
}

func (u *usage) snapshot() map[Place]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := make(map[Place]int64, len(u.attempts))
	for at, n := range u.attempts {
		out[at] = n
	}
	return out
}

// usages keeps those of all upstreams by name. The zero value is empty. Safe for
// concurrent use.
type usages struct {
	mu sync.Mutex
	by map[string]*usage
}

// get is asked when a policy is compiled, not for each call.
func (u *usages) get(upstream string) *usage {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.by == nil {
		u.by = map[string]*usage{}
	}
	if u.by[upstream] == nil {
		u.by[upstream] = &usage{attempts: map[Place]int64{}}
	}
	return u.by[upstream]
}

// prune forgets the upstreams that are not kept, once their last call is over.
func (u *usages) prune(keep map[string]bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for name, one := range u.by {
		if !keep[name] && one.calls.Load() == 0 {
			delete(u.by, name)
		}
	}
}

// Usage tells what the calls of each upstream do at the moment, by name.
func (e *Engine) Usage() []Usage {
	e.usages.mu.Lock()
	out := make([]Usage, 0, len(e.usages.by))
	for name, one := range e.usages.by {
		out = append(out, Usage{
			Upstream: name, Calls: one.calls.Load(), Connecting: one.connecting.Load(), Attempts: one.snapshot(),
			Budget: e.budgets.left(name),
		})
	}
	e.usages.mu.Unlock()
	for i := range out {
		out[i].Queued, out[i].Held, out[i].Limit = e.slots.state(out[i].Upstream)
	}
	slices.SortFunc(out, func(a, b Usage) int { return cmp.Compare(a.Upstream, b.Upstream) })
	return out
}

// known is the place of a host, remembered.
type known struct {
	host  string
	tls   bool
	place Place
}

// placeOf gives the place of u. Most upstreams have one host, so that the last answer
// is often the next.
func (c *chain) placeOf(up *policy.Upstream, u target.URL) Place {
	tls := u.Scheme == "https"
	if last := c.last.Load(); last != nil && last.host == u.Host.Name && last.place.Port == u.Port && last.tls == tls {
		return last.place
	}
	at := Place{Address: up.Pattern(u), Port: u.Port}
	c.last.Store(&known{u.Host.Name, tls, at})
	return at
}
