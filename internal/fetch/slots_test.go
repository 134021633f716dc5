package fetch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// wantLoad says what should be in flight and waiting, and that nothing else is
// kept.
func wantLoad(t *testing.T, s *slots, inFlight, waiting int) {
	t.Helper()
	if f, w := s.load(); f != inFlight || w != waiting {
		t.Errorf("%d are in flight and %d wait, want %d and %d", f, w, inFlight, waiting)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := 0
	for _, l := range s.lines {
		calls += l.calls.Len()
	}
	if calls != waiting || len(s.lines) != s.turns.Len() || len(s.lines) > waiting {
		t.Errorf("%d calls stand in %d lines with %d turns, want %d calls", calls, len(s.lines), s.turns.Len(), waiting)
	}
}

// hold takes n places, which must be free.
func hold(t *testing.T, s *slots, n int) {
	t.Helper()
	for range n {
		if waited, err := s.acquire(t.Context(), "holder", time.Hour); err != nil || waited != 0 {
			t.Fatalf("acquire = %v, %v; want a place at once", waited, err)
		}
	}
}

func TestSlotsFull(t *testing.T) {
	for name, tc := range map[string]struct{ concurrent, queue int }{
		"one":      {1, 0},
		"several":  {3, 0},
		"no queue": {2, -1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSlots(tc.concurrent, tc.queue)
			hold(t, s, tc.concurrent)
			_, err := s.acquire(t.Context(), "a", time.Hour)
			f := fault.From(err)
			if f.Kind != fault.PoolFull || f.RetryAfter != time.Second || f.Wire != fault.Unsent {
				t.Errorf("acquire = %v with a wait of %v, want POOL_FULL with 1s", err, f.RetryAfter)
			}
			if want := fmt.Sprintf("%d calls in flight and 0 waiting", tc.concurrent); !strings.Contains(f.Message, want) {
				t.Errorf("the message is %q, want it to say %q", f.Message, want)
			}
			s.release()
			hold(t, s, 1)
			wantLoad(t, s, tc.concurrent, 0)
		})
	}
}

func TestSlotsWithoutLimit(t *testing.T) {
	s := newSlots(0, 0)
	hold(t, s, 1000)
	wantLoad(t, s, 1000, 0)
}

func TestSlotsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1, 1)
		hold(t, s, 1)
		var done sync.WaitGroup
		done.Go(func() {
			waited, err := s.acquire(t.Context(), "a", time.Minute)
			if err != nil || waited != 7*time.Second {
				t.Errorf("acquire = %v, %v; want a place after 7s", waited, err)
			}
		})
		synctest.Wait()
		wantLoad(t, s, 1, 1)
		if _, err := s.acquire(t.Context(), "b", time.Minute); !errors.Is(err, fault.PoolFull) {
			t.Errorf("with a full queue acquire = %v, want POOL_FULL", err)
		}
		time.Sleep(7 * time.Second)
		s.release()
		done.Wait()
		wantLoad(t, s, 1, 0)
		if got := s.soon(); got != 2*time.Second {
			t.Errorf("after a wait of 7s the estimate is %v, want a quarter of it in whole seconds: 2s", got)
		}
	})
}

// TestSlotsGiveUp: a call that gives up says why, and leaves nothing behind.
func TestSlotsGiveUp(t *testing.T) {
	stopped := fault.New(fault.ShuttingDown, "stopping")
	for name, tc := range map[string]struct {
		ctx    func(ctx context.Context) (context.Context, context.CancelFunc)
		most   time.Duration
		kind   fault.Kind
		waited time.Duration
	}{
		"pool clock": {context.WithCancel, 3 * time.Second, fault.PoolTimeout, 3 * time.Second},
		"no time":    {context.WithCancel, 0, fault.PoolTimeout, 0},
		"less":       {context.WithCancel, -1, fault.PoolTimeout, 0},
		"deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 2*time.Second)
		}, time.Minute, fault.TotalTimeout, 2 * time.Second},
		"cancelled": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, time.Minute, fault.Cancelled, time.Second},
		"cause": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Second, stopped)
		}, time.Minute, fault.ShuttingDown, time.Second},
		"over before": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}, time.Minute, fault.Cancelled, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSlots(1, 3)
				hold(t, s, 1)
				ctx, cancel := tc.ctx(t.Context())
				defer cancel()
				waited, err := s.acquire(ctx, "a", tc.most)
				f := fault.From(err)
				if f.Kind != tc.kind || waited != tc.waited {
					t.Errorf("acquire = %v, %v; want %s after %v", waited, err, tc.kind, tc.waited)
				}
				if tc.kind == fault.PoolTimeout && f.RetryAfter != time.Second {
					t.Errorf("the estimate is %v, want 1s", f.RetryAfter)
				}
				wantLoad(t, s, 1, 0)
				s.release()
				wantLoad(t, s, 0, 0)
			})
		})
	}
}

// TestSlotsOver: a context that ended takes no place, even a free one.
func TestSlotsOver(t *testing.T) {
	s := newSlots(1, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.acquire(ctx, "a", time.Hour); !errors.Is(err, fault.Cancelled) {
		t.Errorf("acquire = %v, want CANCELLED", err)
	}
	wantLoad(t, s, 0, 0)
}

// queueUp lets callers wait one after the other, so that their order is known. Each
// notes its name in served and then waits to be told to release.
func queueUp(t *testing.T, s *slots, done *sync.WaitGroup, served *[]string, callers ...string) {
	t.Helper()
	for _, c := range callers {
		done.Go(func() {
			if _, err := s.acquire(t.Context(), strings.TrimRight(c, "0123456789"), time.Hour); err != nil {
				t.Errorf("acquire for %s: %v", c, err)
				return
			}
			*served = append(*served, c) // there is one place: no two at once
		})
		synctest.Wait()
	}
}

// TestSlotsFair: callers take turns, and each one's calls keep their order.
func TestSlotsFair(t *testing.T) {
	for name, tc := range map[string]struct{ queue, want string }{
		"one caller":         {"a1 a2 a3", "a1 a2 a3"},
		"one behind another": {"a1 a2 a3 b1", "a1 b1 a2 a3"},
		"three":              {"a1 a2 a3 b1 b2 c1", "a1 b1 c1 a2 b2 a3"},
		"each its own":       {"a1 b1 c1", "a1 b1 c1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSlots(1, 100)
				hold(t, s, 1)
				var done sync.WaitGroup
				var served []string
				callers := strings.Fields(tc.queue)
				queueUp(t, s, &done, &served, callers...)
				for range callers {
					s.release()
					synctest.Wait()
				}
				done.Wait()
				if got := strings.Join(served, " "); got != tc.want {
					t.Errorf("served %s, want %s", got, tc.want)
				}
				wantLoad(t, s, 1, 0)
			})
		})
	}
}

// TestSlotsStarveNobody: with a hundred calls of one caller before it, another's
// only call is served second, and each further one after one of the hundred.
func TestSlotsStarveNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1, 200)
		hold(t, s, 1)
		var done sync.WaitGroup
		var served []string
		for i := range 100 {
			queueUp(t, s, &done, &served, fmt.Sprintf("many%d", i))
		}
		for i := range 3 {
			queueUp(t, s, &done, &served, fmt.Sprintf("few%d", i))
		}
		for range 103 {
			s.release()
			synctest.Wait()
		}
		done.Wait()
		if got := strings.Join(served[:7], " "); got != "many0 few0 many1 few1 many2 few2 many3" {
			t.Errorf("served %s first", got)
		}
		if len(served) != 103 || served[102] != "many99" {
			t.Errorf("%d were served, the last being %s; want 103 and many99", len(served), served[len(served)-1])
		}
	})
}

// TestSlotsGiveUpInTheMiddle: whoever gives up takes no turn.
func TestSlotsGiveUpInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1, 100)
		hold(t, s, 1)
		var done sync.WaitGroup
		var served []string
		queueUp(t, s, &done, &served, "a1")
		done.Go(func() {
			if _, err := s.acquire(t.Context(), "a", time.Second); !errors.Is(err, fault.PoolTimeout) {
				t.Errorf("acquire = %v, want POOL_TIMEOUT", err)
			}
		})
		done.Go(func() {
			if _, err := s.acquire(t.Context(), "b", time.Second); !errors.Is(err, fault.PoolTimeout) {
				t.Errorf("acquire = %v, want POOL_TIMEOUT", err)
			}
		})
		synctest.Wait()
		queueUp(t, s, &done, &served, "a3", "c1")
		wantLoad(t, s, 1, 5)
		time.Sleep(2 * time.Second)
		wantLoad(t, s, 1, 3)
		for range 3 {
			s.release()
			synctest.Wait()
		}
		done.Wait()
		if got := strings.Join(served, " "); got != "a1 c1 a3" {
			t.Errorf("served %s, want a1 c1 a3", got)
		}
	})
}

// TestSlotsServedAtTheEnd: a place that comes together with the end of the call's
// context or clock is not lost.
func TestSlotsServedAtTheEnd(t *testing.T) {
	s := newSlots(1, 1)
	hold(t, s, 1)
	s.mu.Lock()
	w := s.join("a")
	s.mu.Unlock()
	s.release()
	w.ready = nil // the select does not see it
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.await(ctx, "a", w, 0); err != nil {
		t.Errorf("a place that came just in time: %v", err)
	}
	wantLoad(t, s, 1, 0)
	cancel()
	if err := s.await(ctx, "a", w, time.Hour); !errors.Is(err, fault.Cancelled) {
		t.Errorf("await = %v, want CANCELLED", err)
	}
	wantLoad(t, s, 0, 0)
}

func TestSlotsResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(2, 5)
		hold(t, s, 2)
		var done sync.WaitGroup
		for range 5 {
			done.Go(func() {
				if _, err := s.acquire(t.Context(), "a", time.Hour); err != nil {
					t.Errorf("acquire: %v", err)
				}
			})
		}
		synctest.Wait()
		s.resize(1, 2) // too many of both now
		wantLoad(t, s, 2, 5)
		if _, err := s.acquire(t.Context(), "b", time.Hour); !errors.Is(err, fault.PoolFull) {
			t.Errorf("acquire = %v, want POOL_FULL", err)
		}
		s.release()
		wantLoad(t, s, 1, 5)
		s.release()
		wantLoad(t, s, 1, 4)
		s.resize(3, 2)
		wantLoad(t, s, 3, 2)
		s.resize(0, 2)
		wantLoad(t, s, 5, 0)
		done.Wait()
	})
}

func TestSlotsReleaseTooMuch(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a release without a place went unnoticed")
		}
	}()
	newSlots(1, 1).release()
}

// TestSlotsRace: under a crowd that comes, waits and gives up as it likes, there
// are never too many in flight nor waiting, and nothing is left in the end.
func TestSlotsRace(t *testing.T) {
	const concurrent, queue = 4, 30
	s := newSlots(concurrent, queue)
	var inFlight, most, served, full, late atomic.Int64
	var done sync.WaitGroup
	for i := range 60 {
		done.Go(func() {
			rnd := rand.New(rand.NewPCG(7, uint64(i)))
			for range 100 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(2000))*time.Microsecond)
				_, err := s.acquire(ctx, fmt.Sprintf("caller%d", i%7), time.Duration(rnd.IntN(2000))*time.Microsecond)
				switch {
				case err == nil:
					served.Add(1)
					n := inFlight.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					time.Sleep(time.Duration(rnd.IntN(100)) * time.Microsecond)
					inFlight.Add(-1)
					s.release()
				case errors.Is(err, fault.PoolFull):
					full.Add(1)
				case errors.Is(err, fault.PoolTimeout), errors.Is(err, fault.TotalTimeout):
					late.Add(1)
				default:
					t.Errorf("acquire: %v", err)
				}
				if _, w := s.load(); w > queue {
					t.Errorf("%d wait, want no more than %d", w, queue)
				}
				cancel()
			}
		})
	}
	done.Wait()
	if most.Load() > concurrent {
		t.Errorf("%d were in flight at once, want no more than %d", most.Load(), concurrent)
	}
	if served.Load()+full.Load()+late.Load() != 6000 || served.Load() == 0 {
		t.Errorf("%d served, %d refused, %d late: want 6000 in all", served.Load(), full.Load(), late.Load())
	}
	wantLoad(t, s, 0, 0)
}

func TestSlotsAllocateNothing(t *testing.T) {
	s, ctx := newSlots(1, 1), t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.acquire(ctx, "a", time.Hour); err != nil {
			t.Fatal(err)
		}
		s.release()
	}); n != 0 {
		t.Errorf("a free place costs %v allocations", n)
	}
}

func TestSlotsOf(t *testing.T) {
	var all slotsOf
	a := all.get("a", 1, 0)
	hold(t, a, 1)
	if all.get("a", 2, 0) != a {
		t.Error("a reload makes new slots: calls in flight no longer count")
	}
	hold(t, a, 1) // by the new bounds
	if all.get("b", 1, 0) == a {
		t.Error("two upstreams share slots")
	}
	all.prune(map[string]bool{"b": true})
	if len(all.by) != 1 || all.get("a", 1, 0) == a {
		t.Error("an upstream that is gone is kept")
	}
	a.release() // by a call that was in flight
}

func BenchmarkSlots(b *testing.B) {
	s := newSlots(1000, 0)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.acquire(b.Context(), "a", time.Hour); err != nil {
				b.Error(err)
				return
			}
			s.release()
		}
	})
}

// load gives how many calls are in flight and how many wait.
func (s *slots) load() (inFlight, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held, s.waiting
}
