package server

import (
	"sync"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// fairQueue hands out the items of a batch so that upstreams share the workers,
// and the hosts of an upstream its share: while others wait, none has more than
// its part in flight, however slow it is.
type fairQueue struct {
	mu      sync.Mutex
	changed *sync.Cond
	lanes   []*lane
	of      []*lane // by item
	next    int     // the lane whose turn it is
	left    int
	closed  bool
}

// lane is the items of one host.
type lane struct {
	upstream *group
	waiting  []int
	inFlight int
}

func (l *lane) active() bool { return len(l.waiting) > 0 || l.inFlight > 0 }

// group is the lanes of one upstream.
type group struct {
	inFlight, lanes int // lanes: those with work, counted by pick
}

func newFairQueue(requests []*fetchsvcv1.FetchRequest, snapshot *policy.Snapshot) *fairQueue {
	q := &fairQueue{of: make([]*lane, len(requests)), left: len(requests)}
	q.changed = sync.NewCond(&q.mu)
	groups, byHost := map[string]*group{}, map[string]*lane{}
	for i, r := range requests {
		upstream, host := place(r.GetUrl(), snapshot)
		g := groups[upstream]
		if g == nil {
			g = &group{}
			groups[upstream] = g
		}
		l := byHost[host]
		if l == nil {
			l = &lane{upstream: g}
			byHost[host] = l
			q.lanes = append(q.lanes, l)
		}
		l.waiting = append(l.waiting, i)
		q.of[i] = l
	}
	return q
}

// place gives the upstream's name and the host of a URL; what has none fails at
// once and needs no place of its own.
func place(url string, snapshot *policy.Snapshot) (upstream, host string) {
	u, err := target.Parse(url)
	if err != nil {
		return "", ""
	}
	up, err := snapshot.Match(u)
	if err != nil {
		return "", ""
	}
	return up.Name, u.DialAddr()
}

// take waits for the next item that may start; false: none is left.
func (q *fairQueue) take(concurrency int) (int, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if q.left == 0 || q.closed {
			return 0, false
		}
		if l := q.pick(concurrency); l != nil {
			i := l.waiting[0]
			l.waiting = l.waiting[1:]
			l.inFlight++
			l.upstream.inFlight++
			q.left--
			return i, true
		}
		q.changed.Wait()
	}
}

// pick goes round the lanes. Shares count whoever has work, in flight or waiting,
// so the last one standing gets everything.
func (q *fairQueue) pick(concurrency int) *lane {
	upstreams := 0
	for _, l := range q.lanes {
		l.upstream.lanes = 0
	}
	for _, l := range q.lanes {
		if !l.active() {
			continue
		}
		if l.upstream.lanes++; l.upstream.lanes == 1 {
			upstreams++
		}
	}
	share := max(concurrency/max(upstreams, 1), 1)
	for range q.lanes {
		l := q.lanes[q.next%len(q.lanes)]
		q.next++
		if len(l.waiting) > 0 && l.upstream.inFlight < share && l.inFlight < max(share/l.upstream.lanes, 1) {
			return l
		}
	}
	return nil
}

// done frees the place of item i.
func (q *fairQueue) done(i int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.of[i].inFlight--
	q.of[i].upstream.inFlight--
	q.changed.Broadcast()
}

// close wakes everyone up to leave.
func (q *fairQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}
