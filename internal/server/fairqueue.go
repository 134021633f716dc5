package server

import (
	"sync"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// fairQueue hands out items so that upstreams share the workers: while others
// wait, none has more than its share in flight.
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
	waiting  []int
	inFlight int
}

func newFairQueue(requests []*fetchsvcv1.FetchRequest) *fairQueue {
	q := &fairQueue{of: make([]*lane, len(requests)), left: len(requests)}
	q.changed = sync.NewCond(&q.mu)
	byHost := map[string]*lane{}
	for i, r := range requests {
		host := ""
		if u, err := target.Parse(r.GetUrl()); err == nil {
			host = u.DialAddr()
		}
		l := byHost[host]
		if l == nil {
			l = &lane{}
			byHost[host] = l
			q.lanes = append(q.lanes, l)
		}
		l.waiting = append(l.waiting, i)
		q.of[i] = l
	}
	return q
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
			q.left--
			return i, true
		}
		q.changed.Wait()
	}
}

// pick goes round the lanes. The share counts lanes that still have work of
// their own, in flight or waiting, so the last one standing gets everything.
func (q *fairQueue) pick(concurrency int) *lane {
	active := 0
	for _, l := range q.lanes {
		if len(l.waiting) > 0 || l.inFlight > 0 {
			active++
		}
	}
	share := max(concurrency/max(active, 1), 1)
	for range q.lanes {
		l := q.lanes[q.next%len(q.lanes)]
		q.next++
		if len(l.waiting) > 0 && l.inFlight < share {
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
	q.changed.Broadcast()
}

// close wakes everyone up to leave.
func (q *fairQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}
