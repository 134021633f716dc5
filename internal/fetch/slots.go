package fetch

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// slots are the places of an upstream's calls in flight, and the queue for them.
// Callers take turns, and one caller's calls are served as they came: whoever has
// a hundred waiting holds up no one who has one. Safe for concurrent use.
type slots struct {
	mu         sync.Mutex
	concurrent int // 0: no limit
	queue      int
	held       int
	waiting    int
	lines      map[string]*line // of the callers who wait
	turns      list.List        // of *line: whose turn it is
	wait       time.Duration    // how long those that were served waited of late
}

// line is the waiting calls of one caller.
type line struct {
	caller string
	calls  list.List // of *waiter
	turn   *list.Element
}

// waiter is one waiting call.
type waiter struct {
	since  time.Time
	ready  chan struct{}
	place  *list.Element
	served bool
}

// newSlots lets concurrent calls be in flight at once, 0 meaning any number, and
// queue more wait.
func newSlots(concurrent, queue int) *slots {
	return &slots{concurrent: max(concurrent, 0), queue: max(queue, 0)}
}

// acquire waits for a place until ctx ends, but no longer than most, which is the
// pool clock. Who gets one must release it. waited is how long that took, or how
// long it was in vain. Whether a call that got none is safe to repeat is for the
// engine to say: earlier hops may have left something behind.
func (s *slots) acquire(ctx context.Context, caller string, most time.Duration) (waited time.Duration, err error) {
	if ctx.Err() != nil {
		return 0, ended(ctx)
	}
	s.mu.Lock()
	if s.free() {
		s.held++
		s.mu.Unlock()
		return 0, nil
	}
	if s.waiting >= s.queue {
		defer s.mu.Unlock()
		return 0, s.full()
	}
	w := s.join(caller)
	s.mu.Unlock()
	err = s.await(ctx, caller, w, most)
	return time.Since(w.since), err
}

// release gives a place back, to whoever is next.
func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == 0 {
		panic("fetch: a place is released that nobody holds")
	}
	s.held--
	s.serve()
}

// resize changes the bounds. Calls in flight and calls that wait stay, even if
// there are now too many of them.
func (s *slots) resize(concurrent, queue int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.concurrent, s.queue = max(concurrent, 0), max(queue, 0)
	s.serve()
}

// await waits until w is served. A call that was served and gives up in the same
// moment passes its place on.
func (s *slots) await(ctx context.Context, caller string, w *waiter, most time.Duration) error {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-w.ready:
		return nil
	case <-timer.C:
		if s.leave(caller, w) {
			return nil // just in time
		}
		return s.late(most)
	case <-ctx.Done():
		if s.leave(caller, w) {
			s.release()
		}
		return ended(ctx)
	}
}

// free says whether there is a place. Then nobody waits.
func (s *slots) free() bool { return s.concurrent == 0 || s.held < s.concurrent }

// join puts a call at the end of its caller's line, and a caller that had none at
// the end of the round.
func (s *slots) join(caller string) *waiter {
	l := s.lines[caller]
	if l == nil {
		if s.lines == nil {
			s.lines = map[string]*line{}
		}
		l = &line{caller: caller}
		l.turn = s.turns.PushBack(l)
		s.lines[caller] = l
	}
	w := &waiter{since: time.Now(), ready: make(chan struct{})}
	w.place = l.calls.PushBack(w)
	s.waiting++
	return w
}

// serve hands free places out, one to each caller in turn.
func (s *slots) serve() {
	for s.waiting > 0 && s.free() {
		l := s.turns.Front().Value.(*line)
		s.turns.MoveToBack(l.turn)
		w := l.calls.Front().Value.(*waiter)
		s.remove(l, w)
		s.held++
		s.wait += (time.Since(w.since) - s.wait) / 4
		w.served = true
		close(w.ready)
	}
}

// leave takes a call that gives up out of its line, unless it was served already.
func (s *slots) leave(caller string, w *waiter) (served bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !w.served {
		s.remove(s.lines[caller], w)
	}
	return w.served
}

// remove takes a call out of its line; a line without calls goes.
func (s *slots) remove(l *line, w *waiter) {
	l.calls.Remove(w.place)
	s.waiting--
	if l.calls.Len() == 0 {
		s.turns.Remove(l.turn)
		delete(s.lines, l.caller)
	}
}

func (s *slots) full() *fault.Error {
	f := fault.Newf(fault.PoolFull, "the upstream has %d calls in flight and %d waiting, and limits.concurrent and limits.queue of its policy allow no more; call again later", s.held, s.waiting)
	f.RetryAfter = s.soon()
	return f
}

func (s *slots) late(most time.Duration) *fault.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := fault.Newf(fault.PoolTimeout, "no place became free within the pool clock of %s: the upstream has %d calls in flight and %d more waiting; call again later", most, s.held, s.waiting)
	f.RetryAfter = s.soon()
	return f
}

// soon estimates when there is a place again: after as long as others waited of
// late, in whole seconds and at least one.
func (s *slots) soon() time.Duration {
	return max((s.wait + time.Second - 1).Truncate(time.Second), time.Second)
}

// ended says why ctx is over.
func ended(ctx context.Context) *fault.Error {
	if f := (*fault.Error)(nil); errors.As(context.Cause(ctx), &f) {
		return f
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.New(fault.TotalTimeout, "the call's deadline passed")
	}
	return fault.New(fault.Cancelled, "the caller cancelled the call")
}

// slotsOf keeps the slots of all upstreams by name, so that calls in flight still
// count after a reload of the policy. The zero value is empty. Safe for concurrent
// use.
type slotsOf struct {
	mu sync.Mutex
	by map[string]*slots
}

// get gives the upstream's slots, made or resized to these bounds. It is asked
// when a policy is compiled, not for each call.
func (s *slotsOf) get(upstream string, concurrent, queue int) *slots {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.by[upstream]; old != nil {
		old.resize(concurrent, queue)
		return old
	}
	if s.by == nil {
		s.by = map[string]*slots{}
	}
	s.by[upstream] = newSlots(concurrent, queue)
	return s.by[upstream]
}

// lift lets everyone in who waits for an upstream that has no limit any more.
func (s *slotsOf) lift(upstream string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.by[upstream]; old != nil {
		old.resize(0, 0)
	}
}

// prune forgets the upstreams that are not kept. Their calls in flight, and those
// that wait for them, end as they would have.
func (s *slotsOf) prune(keep map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.by {
		if !keep[name] {
			delete(s.by, name)
		}
	}
}

// state tells how many calls wait for the upstream, how many are in flight, and how
// many may be; 0: any number.
func (s *slotsOf) state(upstream string) (waiting, held, limit int) {
	s.mu.Lock()
	one := s.by[upstream]
	s.mu.Unlock()
	if one == nil {
		return 0, 0, 0
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.waiting, one.held, one.concurrent
}
