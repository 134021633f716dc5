package server

import (
	"context"
	"time"
)

// batchSeats are the places of one batch's items. The place that the batch was let
// in with is its own until it ends, so that it comes forward whatever else its caller
// does; further ones it takes while there are any. Items wait for their place and for
// the rate: a batch is a queue.
type batchSeats struct {
	quota *quota        // nil: there are no limits
	own   chan struct{} // the batch's own place, while no item has it
	turn  chan struct{} // in it is the item whose turn it is to begin: they keep their order
	paid  bool          // the call that was counted when the batch was let in is an item's
}

// lookAgain is how often those who wait ask for the policy in force: a reload may
// have raised their limits.
const lookAgain = time.Second

func newBatchSeats(c *caller) *batchSeats {
	s := &batchSeats{quota: c.quota, own: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
	s.own <- struct{}{}
	return s
}

// begin waits until one more item may begin. It asks may, before and after, whether
// it still should, which it must not once ctx has ended, and tells it what the item
// waited for. Of the items that wait for the rate, one holds a place, and not all.
func (s *batchSeats) begin(ctx context.Context, may func(waited string) error) (leave func(), err error) {
	if s.quota == nil {
		return func() {}, may("")
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, may("")
	}
	if err := may(""); err != nil {
		return nil, err
	}
	leave = s.place(ctx)
	if leave == nil {
		return nil, may(": it waited for a place (limits.concurrent of its caller)")
	}
	if s.paid {
		s.quota.pace(ctx)
	}
	if err := may(": it waited for its turn (limits.per_second of its caller)"); err != nil {
		leave()
		return nil, err
	}
	s.paid = true
	return leave, nil
}

// place waits for a place, the batch's own or another of its caller's, and gives how
// to leave it; nil: ctx ended first.
func (s *batchSeats) place(ctx context.Context) (leave func()) {
	q := s.quota
	select {
	case <-s.own:
		return s.leaveOwn
	default:
	}
	q.waiting.Add(1)
	defer q.waiting.Add(-1)
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for {
		if q.take(q.bounds.Load()) {
			q.wake() // there may be more than one
			return q.leave
		}
		select {
		case <-s.own:
			return s.leaveOwn
		case <-q.freed:
		case <-look.C:
			q.limits.find(q.caller)
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *batchSeats) leaveOwn() { s.own <- struct{}{} }

// pace waits for the rate, or until ctx ends. Batches of one caller take turns.
func (q *quota) pace(ctx context.Context) {
	b := q.bounds.Load()
	for wait := q.spend(b, true); wait > 0; {
		step := min(wait, lookAgain)
		select {
		case <-time.After(step):
		case <-ctx.Done():
			q.refund(b)
			return
		}
		wait -= step
		q.limits.find(q.caller)
		if now := q.bounds.Load(); now != b {
			wait = time.Duration(float64(wait) / float64(b.interval) * float64(now.interval))
			b = now
		}
	}
}
