package fetch

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// spend takes retries until there are none.
func spend(b *budget, now time.Time) int {
	n := 0
	for b.take(now) {
		n++
	}
	return n
}

func TestBudget(t *testing.T) {
	for name, tc := range map[string]struct {
		ratio  float64
		min    int
		firsts int
		want   int
	}{
		"nothing asked":        {0.2, 10, 0, 10},
		"below the floor":      {0.2, 10, 49, 10},
		"the floor":            {0.2, 10, 50, 10},
		"above the floor":      {0.2, 10, 55, 11},
		"fractions round down": {0.2, 0, 9, 1},
		"binary fractions":     {0.29, 0, 100, 29},
		"several for each":     {3, 0, 7, 21},
		"only a floor":         {0, 3, 1000, 3},
		"none":                 {0, 0, 1000, 0},
		"negative floor":       {0, -1, 1000, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBudget(tc.ratio, tc.min, 10*time.Second)
			for range tc.firsts {
				b.note(here)
			}
			if got := b.left(here); got != tc.want {
				t.Errorf("left = %d, want %d", got, tc.want)
			}
			if got := spend(b, here); got != tc.want {
				t.Errorf("%d retries pass, want %d", got, tc.want)
			}
			if got := b.left(here); got != 0 {
				t.Errorf("left = %d after the last, want 0", got)
			}
		})
	}
}

func TestBudgetSlides(t *testing.T) {
	b := newBudget(0.5, 2, 10*time.Second)
	at := func(seconds float64) time.Time { return here.Add(time.Duration(seconds * float64(time.Second))) }
	for range 20 {
		b.note(at(0))
	}
	for _, step := range []struct {
		at   float64
		left int
		take int
	}{
		{0, 10, 4},
		{5, 6, 6},
		{9.9, 0, 0},
		{10.9, 0, 0},  // the oldest part is kept a little longer than the window
		{11, 0, 0},    // the first attempts are gone, and 4 retries with them: 6 of 2 are taken
		{15.9, 0, 0},  // those of second 5 still count
		{16, 2, 1},    // all gone but the floor
		{15, 1, 1},    // a clock that was read earlier counts as now
		{1e6, 2, 2},   // after a long silence
		{1e9, 2, 0},   // and a longer one
		{-1e9, 2, 0},  // the clock went back
		{1.1e9, 2, 2}, // and forth
	} {
		if got := b.left(at(step.at)); got != step.left {
			t.Errorf("at %vs %d are left, want %d", step.at, got, step.left)
		}
		for range step.take {
			if !b.take(at(step.at)) {
				t.Errorf("at %vs a retry is refused", step.at)
			}
		}
		if step.take == step.left && b.take(at(step.at)) {
			t.Errorf("at %vs there is one retry too many", step.at)
		}
	}
}

// TestBudgetNeverExceeded: at any time, the retries of the last window are no more
// than the floor, or than the share of the first attempts that are no older than
// the window and the part of it that is on its way out. And where the budget
// refuses, the retries of that longer time had reached the share of this window.
func TestBudgetNeverExceeded(t *testing.T) {
	type event struct {
		at    time.Time
		retry bool
	}
	count := func(events []event, since time.Time, retry bool) float64 {
		n := 0.0
		for _, e := range events {
			if e.retry == retry && e.at.After(since) {
				n++
			}
		}
		return n
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	passed, refused := 0, 0
	for range 60 {
		ratio, floor := rnd.Float64(), rnd.IntN(5)
		window := time.Duration(1+rnd.IntN(10)) * time.Second
		longer := window + window/budgetParts
		b := newBudget(ratio, floor, window)
		var events []event
		now := here
		for range 400 {
			now = now.Add(time.Duration(rnd.ExpFloat64() * float64(window) / 30))
			if rnd.IntN(2) == 0 {
				b.note(now)
				events = append(events, event{now, false})
				continue
			}
			left, ok := b.left(now), b.take(now)
			if ok != (left > 0) {
				t.Fatalf("take = %v with %d left", ok, left)
			}
			if !ok {
				refused++
				if r, f := count(events, now.Add(-longer), true), count(events, now.Add(-window), false); r+1 <= max(float64(floor), ratio*f) {
					t.Fatalf("refused after %v retries for %v first attempts, with a ratio of %v and a floor of %d", r, f, ratio, floor)
				}
				continue
			}
			passed++
			events = append(events, event{now, true})
			if r, f := count(events, now.Add(-window), true), count(events, now.Add(-longer), false); r > max(float64(floor), ratio*f)+1e-6 {
				t.Fatalf("%v retries for %v first attempts, with a ratio of %v and a floor of %d", r, f, ratio, floor)
			}
		}
	}
	if passed < 1000 || refused < 1000 {
		t.Errorf("%d passed and %d were refused: the test tries too little", passed, refused)
	}
}

// TestBudgetAtOnce: of a thousand that fail together, those pass that may, not one
// more.
func TestBudgetAtOnce(t *testing.T) {
	b := newBudget(0.02, 3, time.Minute)
	var passed atomic.Int64
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for range 1000 {
		ready.Add(1)
		done.Go(func() {
			b.note(here)
			ready.Done()
			<-start
			if b.take(here) {
				passed.Add(1)
			}
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	if got := passed.Load(); got != 20 {
		t.Errorf("%d of 1000 pass, want 20", got)
	}
}

func TestBudgetAllocatesNothing(t *testing.T) {
	b := newBudget(0.2, 3, time.Second)
	now := here
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(70 * time.Millisecond)
		b.note(now)
		b.take(now)
		b.left(now)
	}); n != 0 {
		t.Errorf("a call makes %v allocations", n)
	}
}

func TestBudgets(t *testing.T) {
	var all budgets
	a := all.get("a", 0.2, 3, time.Second)
	a.take(here)
	if all.get("a", 0.2, 3, time.Second) != a {
		t.Error("the same parameters make another budget")
	}
	if all.get("b", 0.2, 3, time.Second) == a {
		t.Error("two keys share a budget")
	}
	for name, other := range map[string]*budget{
		"ratio":  all.get("a", 0.3, 3, time.Second),
		"min":    all.get("a", 0.3, 4, time.Second),
		"window": all.get("a", 0.3, 4, time.Minute),
	} {
		if other == a || spend(other, here) != other.min {
			t.Errorf("another %s does not make a new budget", name)
		}
	}
	b := all.get("b", 0.2, 3, time.Second)
	all.prune(map[string]bool{"b": true})
	if all.get("b", 0.2, 3, time.Second) != b {
		t.Error("a key that is kept lost its budget")
	}
	if got := len(all.by); got != 1 {
		t.Errorf("%d budgets are kept, want 1", got)
	}
}

func BenchmarkBudget(b *testing.B) {
	budget := newBudget(0.2, 3, 10*time.Second)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			budget.note(time.Now())
		}
	})
}

// TestAnEditIsNoNewBudget: what was spent counts under other parameters too.
func TestAnEditIsNoNewBudget(t *testing.T) {
	var all budgets
	for b := all.get("a", 0, 2, time.Minute); b.take(time.Now()); {
	}
	if b := all.get("a", 0, 2, 2*time.Minute); b.take(time.Now()) {
		t.Error("an edit of the window gave the retries back")
	}
	if b := all.get("a", 0, 3, 2*time.Minute); !b.take(time.Now()) || b.take(time.Now()) {
		t.Error("one more is one more")
	}
}

// left gives how many retries are left.
func (b *budget) left(now time.Time) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slide(now)
	return int(min(max(b.rest(), 0), math.MaxInt32))
}
