package egress

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// mostPlaces is how many places an upstream has before the ports of `host:*` are
// told together, and places without a connection are forgotten at once: callers
// choose ports, and each place is a line of metrics.
const mostPlaces = 64

// Connections is how many connections there are to one place. It is told by what
// policy says, never by what a caller may invent.
type Connections struct {
	// Upstream is the name of policy.
	Upstream string
	// Address is the pattern of the upstream's `hosts` that has the target's host,
	// also through a proxy: `api.example.com`, `*.example.com`, `*`; empty: none has.
	Address string
	// Port is the target's; 0: the ports past 64 places of an upstream, where policy
	// says `host:*`.
	Port uint16
	// Active are in use: one request of HTTP/1.1 has it, or one and more of HTTP/2.
	Active int64
	// Idle are open and wait for the next request.
	Idle int64
	// Dialing are not established yet, TLS included.
	Dialing int64
}

// place tells Connections apart.
type place struct {
	upstream, address string
	port              uint16
}

// count is the connections of one place.
type count struct {
	census *census
	place  place
	active atomic.Int64

	// Under census.mu.
	open, dialing int64
	keepers       int // pools that have it told even while it is zero
}

// census counts the connections of all pools by place.
type census struct {
	closed func(upstream, address string, port uint16, lived time.Duration)

	mu     sync.Mutex
	counts map[place]*count
	places map[string]int // of each upstream
}

func newCensus(closed func(string, string, uint16, time.Duration)) *census {
	return &census{closed: closed, counts: map[place]*count{}, places: map[string]int{}}
}

// dials counts a dial that begins. anyPort: the caller chose the port.
func (s *census) dials(at place, anyPort bool) *count {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.counts[at]
	if n == nil && anyPort && s.places[at.upstream] >= mostPlaces {
		at.port = 0
		n = s.counts[at]
	}
	if n == nil {
		n = &count{census: s, place: at}
		s.counts[at] = n
		s.places[at.upstream]++
	}
	n.dialing++
	return n
}

// fails counts a dial that came to nothing.
func (n *count) fails() {
	n.census.mu.Lock()
	defer n.census.mu.Unlock()
	n.dialing--
	n.sweep()
}

// parts counts a connection that is closed; active: while it was in use.
func (n *count) parts(active bool, lived time.Duration) {
	if active {
		n.active.Add(-1)
	}
	n.census.mu.Lock()
	n.open--
	n.sweep()
	n.census.mu.Unlock()
	if f := n.census.closed; f != nil {
		f(n.place.upstream, n.place.address, n.place.port, lived)
	}
}

// sweep forgets a place that nothing is left of. It runs with mu held.
func (n *count) sweep() {
	if n.open > 0 || n.dialing > 0 || n.keepers > 0 {
		return
	}
	s := n.census
	delete(s.counts, n.place)
	if s.places[n.place.upstream]--; s.places[n.place.upstream] == 0 {
		delete(s.places, n.place.upstream)
	}
}

// Connections gives the connections that there are now, in the order of their
// places. A place is told, with zeros too, for as long as a pool that has reached
// it lives; past 64 places of an upstream, while something is open or dialled.
func (p *Pools) Connections() []Connections {
	s := p.cfg.census
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Connections, 0, len(s.counts))
	for at, n := range s.counts {
		active := min(max(n.active.Load(), 0), n.open) // a try may come or go at this moment
		all = append(all, Connections{at.upstream, at.address, at.port, active, n.open - active, n.dialing})
	}
	slices.SortFunc(all, func(a, b Connections) int {
		return cmp.Or(cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port))
	})
	return all
}
