package server

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// testBatch is a batch of a caller, that was let in.
type testBatch struct {
	*batchSeats
	door  seat
	begun atomic.Int64
	most  atomic.Int64 // in flight at once
	now   atomic.Int64
}

func (l *limited) batch(t *testing.T, name string) *testBatch {
	t.Helper()
	c := &caller{name: name}
	door, err := l.enter(c, fetchsvcv1.FetchService_FetchBatch_FullMethodName)
	if err != nil {
		t.Fatalf("the batch is refused: %v", err)
	}
	return &testBatch{batchSeats: newBatchSeats(c), door: door}
}

// run makes items of a duration by workers, as a batch does, and gives how many
// were begun before ctx ended.
func (b *testBatch) run(ctx context.Context, workers, items int, each time.Duration) {
	var left atomic.Int64
	left.Store(int64(items))
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				leave, err := b.begin(ctx, func(string) error { return ctx.Err() })
				if err != nil {
					continue
				}
				b.begun.Add(1)
				if n := b.now.Add(1); n > b.most.Load() {
					b.most.Store(n)
				}
				time.Sleep(each)
				b.now.Add(-1)
				leave()
			}
		})
	}
	all.Wait()
	b.door.leave()
}

func (l *limited) inFlight(name string) int64 { return l.find(name).inFlight.Load() }

// TestBatchKeepsToThePlaces: with one place its items go one by one, with more
// they take what there is, and single calls what is left.
func TestBatchKeepsToThePlaces(t *testing.T) {
	for concurrent, took := range map[int]time.Duration{1: 20 * time.Second, 4: 5 * time.Second, 100: 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			l := underLimits(t, fmt.Sprintf("caller_limits: {concurrent: %d}", concurrent))
			b, start := l.batch(t, "a"), time.Now()
			b.run(t.Context(), 10, 20, time.Second)
			if got := time.Since(start); got != took || b.begun.Load() != 20 || b.most.Load() > int64(concurrent) {
				t.Errorf("%d items of 1 s by %d places take %s, %d at once; want 20, %s", b.begun.Load(), concurrent, got, b.most.Load(), took)
			}
			if n := l.inFlight("a"); n != 0 {
				t.Errorf("%d places are held after the batch", n)
			}
		})
	}
}

// TestBatchGrowsAsPlacesComeFree: items that wait get the places of calls that end,
// at once and all of them.
func TestBatchGrowsAsPlacesComeFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := underLimits(t, "caller_limits: {concurrent: 5}")
		calls, _ := l.begin("a", 4)
		b := l.batch(t, "a")
		go b.run(t.Context(), 5, 100, time.Minute)
		synctest.Wait()
		if n := b.now.Load(); n != 1 {
			t.Errorf("with no place but its own the batch has %d in flight, want 1", n)
		}
		_, err := l.call("a")
		expectRefusal(t, err, fault.TooManyCalls, time.Second)
		leaveAll(calls)
		synctest.Wait()
		if n := b.now.Load(); n != 5 {
			t.Errorf("after 4 calls have ended the batch has %d in flight, want 5", n)
		}
		synctest.Wait()
		time.Sleep(time.Hour)
		if b.begun.Load() != 100 || l.inFlight("a") != 0 {
			t.Errorf("%d items were begun and %d places are held, want 100 and none", b.begun.Load(), l.inFlight("a"))
		}
	})
}

// TestBatchKeepsToTheRate: its items come as the rate allows, the first with what
// the batch was let in by; one that waits for the rate holds no more than one place.
func TestBatchKeepsToTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := underLimits(t, "caller_limits: {per_second: 2, burst: 3, concurrent: 20}")
		b, start := l.batch(t, "a"), time.Now()
		go b.run(t.Context(), 10, 13, time.Microsecond)
		time.Sleep(time.Second + 100*time.Millisecond)
		if n := b.begun.Load(); n != 5 {
			t.Errorf("%d items are begun after 1.1 s, want a burst of 3 and 2", n)
		}
		if n := l.inFlight("a"); n > 2 {
			t.Errorf("%d places are held while the items wait for the rate, want 2 at most", n)
		}
		_, err := l.call("a") // one is spoken for
		expectRefusal(t, err, fault.RateLimited, 900*time.Millisecond)
		for b.begun.Load() < 13 {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(start).Round(10 * time.Millisecond); took != 5*time.Second {
			t.Errorf("13 items at 2 a second and a burst of 3 take %s, want 5s", took)
		}
		time.Sleep(time.Second) // until all have left
	})
}

// TestBatchesTakeTurns: the small batch that comes later is not behind the large.
func TestBatchesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := underLimits(t, "caller_limits: {per_second: 10, burst: 2}")
		large, small := l.batch(t, "a"), l.batch(t, "a")
		ctx, cancel := context.WithCancel(t.Context())
		go large.run(ctx, 16, 1000, 0)
		start := time.Now()
		small.run(ctx, 16, 11, 0)
		if took := time.Since(start); took > 3*time.Second || large.begun.Load() < 5 {
			t.Errorf("11 items beside 1000, at 10 a second, take %s, and %d of the others were begun; want 2 s, and as many", took, large.begun.Load())
		}
		cancel()
		synctest.Wait()
		if n := l.inFlight("a"); n != 0 {
			t.Errorf("%d places are held after the end", n)
		}
	})
}

// TestReloadReachesWhoWaits: within a second, for places and for the rate.
func TestReloadReachesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := underLimits(t, "caller_limits: {concurrent: 1}")
		places := l.batch(t, "a")
		go places.run(t.Context(), 8, 8, time.Hour)
		time.Sleep(10 * time.Minute)
		l.use(t, "caller_limits: {concurrent: 8}")
		time.Sleep(lookAgain + time.Millisecond)
		if n := places.now.Load(); n != 8 {
			t.Errorf("a second after the limit was raised to 8, %d items are in flight", n)
		}
		time.Sleep(2 * time.Hour)
	})
	synctest.Test(t, func(t *testing.T) {
		l := underLimits(t, "caller_limits: {per_second: 1}")
		var batches []*testBatch
		for range 100 { // each waits for its turn, a hundred seconds in all
			time.Sleep(time.Second)
			batches = append(batches, l.batch(t, "a"))
		}
		for _, b := range batches {
			go b.run(t.Context(), 1, 2, 0)
		}
		time.Sleep(10 * time.Second)
		l.use(t, "caller_limits: {per_second: 1000}")
		time.Sleep(lookAgain + time.Second)
		for i, b := range batches {
			if n := b.begun.Load(); n != 2 {
				t.Errorf("batch %d has begun %d of 2 items 2 s after the rate was raised", i, n)
			}
		}
	})
}

// TestBatchThatEndsWhileItWaits gives back what it took.
func TestBatchThatEndsWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := underLimits(t, "caller_limits: {per_second: 1, concurrent: 3}")
		for range 50 {
			b := l.batch(t, "a")
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			b.run(ctx, 10, 100, 0)
			cancel()
			if b.begun.Load() != 1 || l.inFlight("a") != 0 {
				t.Fatalf("%d items were begun and %d places are held; want 1, and none", b.begun.Load(), l.inFlight("a"))
			}
			time.Sleep(900 * time.Millisecond) // or the rate would not let the next one in
		}
	})
}

// TestManyBatchesAndCalls: however they mix, the places are kept to and come back.
func TestManyBatchesAndCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := underLimits(t, "caller_limits: {concurrent: 7}")
		var inside, most, single atomic.Int64
		enter := func() {
			if n := inside.Add(1); n > most.Load() {
				most.Store(n)
			}
		}
		var batches []*testBatch
		for range 5 { // each is let in before the items of others have all places
			batches = append(batches, l.batch(t, "a"))
		}
		var all sync.WaitGroup
		for i, b := range batches {
			all.Go(func() {
				var workers sync.WaitGroup
				for range 4 {
					workers.Go(func() {
						for j := range 50 {
							leave, err := b.begin(t.Context(), func(string) error { return nil })
							if err != nil {
								t.Error(err)
								return
							}
							enter()
							time.Sleep(time.Duration(i+j%7) * time.Millisecond)
							inside.Add(-1)
							leave()
						}
					})
				}
				workers.Wait()
				b.door.leave()
			})
		}
		for i := range 3 {
			all.Go(func() {
				for range 500 {
					if s, err := l.call("a"); err == nil {
						enter()
						single.Add(1)
						time.Sleep(time.Duration(i) * time.Millisecond)
						inside.Add(-1)
						s.leave()
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		all.Wait()
		if most.Load() != 7 || l.inFlight("a") != 0 || single.Load() == 0 {
			t.Errorf("%d were in flight at once, %d places are left, %d single calls got one; want 7, none and some", most.Load(), l.inFlight("a"), single.Load())
		}
	})
}
