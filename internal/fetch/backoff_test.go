package fetch

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// always is a die that shows one side.
func always(f float64) func() float64 { return func() float64 { return f } }

func TestBackoffWait(t *testing.T) {
	const ms = time.Millisecond
	below := math.Nextafter(1, 0)
	for name, tc := range map[string]struct {
		b         backoff
		n         int
		prev      time.Duration
		throttled bool
		rnd       float64
		want      time.Duration
	}{
		"first, least":            {b: backoff{100 * ms, 5000 * ms, jitterAuto}, want: 0},
		"first, middle":           {b: backoff{100 * ms, 5000 * ms, jitterAuto}, rnd: 0.5, want: 50 * ms},
		"second doubles":          {b: backoff{100 * ms, 5000 * ms, jitterAuto}, n: 1, rnd: 0.5, want: 100 * ms},
		"sixth is capped":         {b: backoff{100 * ms, 5000 * ms, jitterAuto}, n: 6, rnd: 0.5, want: 2500 * ms},
		"fifth is not yet":        {b: backoff{100 * ms, 5000 * ms, jitterAuto}, n: 5, rnd: 0.5, want: 1600 * ms},
		"throttled, least":        {b: backoff{100 * ms, 5000 * ms, jitterAuto}, throttled: true, want: 50 * ms},
		"throttled, middle":       {b: backoff{100 * ms, 5000 * ms, jitterAuto}, throttled: true, rnd: 0.5, want: 75 * ms},
		"full stays full":         {b: backoff{100 * ms, 5000 * ms, jitterFull}, throttled: true, want: 0},
		"equal":                   {b: backoff{100 * ms, 5000 * ms, jitterEqual}, want: 50 * ms},
		"equal, odd":              {b: backoff{5, 5, jitterEqual}, want: 3},
		"equal, most":             {b: backoff{100 * ms, 5000 * ms, jitterEqual}, rnd: 1, want: 100 * ms},
		"none":                    {b: backoff{100 * ms, 5000 * ms, jitterNone}, n: 3, want: 800 * ms},
		"none, capped":            {b: backoff{100 * ms, 150 * ms, jitterNone}, n: 3, want: 150 * ms},
		"decorrelated, first":     {b: backoff{100 * ms, 5000 * ms, jitterDecorrelated}, want: 100 * ms},
		"decorrelated, middle":    {b: backoff{100 * ms, 5000 * ms, jitterDecorrelated}, rnd: 0.5, want: 200 * ms},
		"decorrelated, follows":   {b: backoff{100 * ms, 5000 * ms, jitterDecorrelated}, prev: 700 * ms, rnd: 0.5, want: 1100 * ms},
		"decorrelated, capped":    {b: backoff{100 * ms, 900 * ms, jitterDecorrelated}, prev: 700 * ms, rnd: 0.5, want: 500 * ms},
		"decorrelated, prev huge": {b: backoff{100 * ms, 900 * ms, jitterDecorrelated}, prev: math.MaxInt64, rnd: 1, want: 900 * ms},
		"max below base":          {b: backoff{100 * ms, 10 * ms, jitterNone}, want: 10 * ms},
		"decorrelated, max below": {b: backoff{100 * ms, 10 * ms, jitterDecorrelated}, rnd: 0.5, want: 10 * ms},
		"no base":                 {b: backoff{0, 5000 * ms, jitterEqual}, n: 9, rnd: 0.5, want: 0},
		"no base, decorrelated":   {b: backoff{0, 5000 * ms, jitterDecorrelated}, prev: 700 * ms, rnd: 0.5, want: 0},
		"no max":                  {b: backoff{100 * ms, 0, jitterNone}, want: 0},
		"negative base":           {b: backoff{-1, 5000 * ms, jitterNone}, want: 0},
		"negative n":              {b: backoff{100 * ms, 5000 * ms, jitterNone}, n: -1, want: 100 * ms},
		"n 62":                    {b: backoff{1, math.MaxInt64, jitterNone}, n: 62, want: 1 << 62},
		"n 63":                    {b: backoff{1, math.MaxInt64, jitterNone}, n: 63, want: math.MaxInt64},
		"n without end":           {b: backoff{100 * ms, 5000 * ms, jitterNone}, n: math.MaxInt, want: 5000 * ms},
		"all of the largest":      {b: backoff{math.MaxInt64, math.MaxInt64, jitterFull}, n: math.MaxInt, rnd: 1, want: math.MaxInt64},
		"one below the largest":   {b: backoff{math.MaxInt64, math.MaxInt64, jitterFull}, rnd: below, want: math.MaxInt64 - 1023},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.b.wait(tc.n, tc.prev, tc.throttled, always(tc.rnd)); got != tc.want {
				t.Errorf("wait = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestBackoffLongest(t *testing.T) {
	for name, tc := range map[string]struct {
		b    backoff
		n    int
		want time.Duration
	}{
		"first":                     {backoff{100, 5000, jitterAuto}, 0, 100},
		"fourth":                    {backoff{100, 5000, jitterFull}, 3, 800},
		"capped":                    {backoff{100, 5000, jitterEqual}, 6, 5000},
		"decorrelated, first":       {backoff{100, 5000, jitterDecorrelated}, 0, 300},
		"decorrelated, third":       {backoff{100, 5000, jitterDecorrelated}, 2, 2700},
		"decorrelated, capped":      {backoff{100, 5000, jitterDecorrelated}, 3, 5000},
		"decorrelated, without end": {backoff{1, math.MaxInt64, jitterDecorrelated}, math.MaxInt, math.MaxInt64},
		"decorrelated, no base":     {backoff{0, 5000, jitterDecorrelated}, 3, 0},
		"no base":                   {backoff{0, 5000, jitterNone}, 3, 0},
	} {
		if got := tc.b.longest(tc.n); got != tc.want {
			t.Errorf("%s: longest = %d, want %d", name, got, tc.want)
		}
	}
}

// TestBackoffBounds: whatever the numbers, a wait lies between its bounds, and the
// largest draw reaches the longest.
func TestBackoffBounds(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		b := backoff{
			base:   time.Duration(rnd.Uint64() >> (1 + rnd.IntN(63))),
			max:    time.Duration(rnd.Uint64() >> (1 + rnd.IntN(63))),
			jitter: jitter(rnd.IntN(5)),
		}
		throttled := rnd.IntN(2) == 0
		var prev, most time.Duration
		for n := range 70 {
			longest := b.longest(n)
			got := b.wait(n, prev, throttled, rnd.Float64)
			most = b.wait(n, most, throttled, always(1))
			var least time.Duration
			switch b.draw(throttled) {
			case jitterEqual:
				least = longest / 2
			case jitterDecorrelated:
				least = b.bound(0)
			case jitterNone:
				least = longest
			}
			if longest < 0 || longest > max(b.max, 0) || got < least || got > longest || most != longest {
				t.Fatalf("%+v, retry %d after %v, throttled %v: wait %v, most %v; want %v to %v", b, n, prev, throttled, got, most, least, longest)
			}
			prev = got
		}
	}
}

// TestBackoffMean: the draws are spread evenly over their range. The seed is
// fixed, and the tolerance is six standard errors of an even spread.
func TestBackoffMean(t *testing.T) {
	const draws = 20_000
	for name, tc := range map[string]struct {
		j         jitter
		throttled bool
		least     time.Duration
		most      time.Duration
	}{
		"transient":    {jitterAuto, false, 0, 800 * time.Millisecond},
		"throttled":    {jitterAuto, true, 400 * time.Millisecond, 800 * time.Millisecond},
		"decorrelated": {jitterDecorrelated, false, 100 * time.Millisecond, 600 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(3, 4))
			b := backoff{100 * time.Millisecond, 5 * time.Second, tc.j}
			var sum float64
			for range draws {
				sum += float64(b.wait(3, 200*time.Millisecond, tc.throttled, rnd.Float64))
			}
			got, want := sum/draws, float64(tc.least+tc.most)/2
			tolerance := 6 * float64(tc.most-tc.least) / math.Sqrt(12*draws)
			if math.Abs(got-want) > tolerance {
				t.Errorf("the mean is %v, want %v", time.Duration(got), time.Duration(want))
			}
		})
	}
}

func TestBackoffAllocatesNothing(t *testing.T) {
	b := backoff{time.Millisecond, time.Second, jitterAuto}
	if n := testing.AllocsPerRun(100, func() { b.wait(3, 0, true, rand.Float64) }); n != 0 {
		t.Errorf("wait makes %v allocations", n)
	}
}
