package fetch

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// Reason says why a request was put on the wire.
type Reason uint8

// The reasons. Hedges have their own when they come.
const (
	// First is the hop's first.
	First Reason = iota + 1
	// Again is a retry after one that failed.
	Again
	// Resend is the transport's own: it lost its connection before an answer.
	Resend
	// Challenge is once more with a fresh proof, after the upstream refused the one
	// before. It is no retry of the policy's.
	Challenge
	// Resume continues a body that broke off.
	Resume
)

// String is the word that telemetry has for it.
func (r Reason) String() string {
	return [...]string{"", "first", "retry", "resend", "challenge", "resume"}[r]
}

// tries is what a call knows across its attempts: the clock, the counters, the
// ledger.
type tries struct {
	started  time.Time
	runs     time.Time // since when the total clock does
	total    time.Duration
	deadline time.Time
	attempts []*Attempt

	// spent are the retries by what they were for, over all hops.
	spent [counters]int
	// prev is the wait before the last attempt, asked what upstreams asked for in
	// sum.
	prev, asked time.Duration
	// before is what the next attempt waited, and why.
	before pause
	// head is what answered the last attempt, also if its body failed; nil: nothing.
	// headAt is when.
	head   *http.Response
	headAt time.Time
}

// pause is a wait between attempts.
type pause struct {
	wait time.Duration
	why  string
}

// limit sets the total clock, which runs from start.
func (t *tries) limit(start time.Time, total time.Duration) {
	t.runs, t.total = start, total
	t.deadline = start.Add(total)
}

// reached says that an attempt before the last left something behind already. One
// that was answered 429 or 413 was refused.
func (t *tries) reached() bool {
	for _, a := range t.attempts[:max(len(t.attempts)-1, 0)] {
		if a.Wire != fault.Unsent && a.Status != http.StatusTooManyRequests && a.Status != http.StatusRequestEntityTooLarge {
			return true
		}
	}
	return false
}

// next puts one request on the wire. There is no other way to.
func (t *tries) next(ctx context.Context, c *Call, reason Reason) (*http.Response, error) {
	if !time.Now().Before(t.deadline) {
		return nil, t.timedOut()
	}
	try := &Try{}
	if len(t.attempts) == 0 {
		try = &c.first.try
	}
	try.call, try.hop = c, c.hop
	try.open(reason)
	try.entry.Wait, try.entry.WaitReason = t.before.wait, t.before.why
	t.before, t.head = pause{}, nil
	return c.hop.chain.try(ctx, try)
}

func (t *tries) timedOut() *fault.Error {
	return fault.New(fault.TotalTimeout, "the call took longer than its total clock of "+t.total.String())
}

// retry is the innermost of the call ring, and the one retry loop.
func retry(ctx context.Context, c *Call) (*http.Response, error) {
	t := &c.tries
	if b := c.hop.chain.budget; b != nil {
		b.note(time.Now())
	}
	if err := c.digestible(ctx); err != nil {
		return nil, err
	}
	for reason := First; ; {
		res, err := t.next(ctx, c, reason)
		reason = Again
		if why := c.hop.challenged(); why != "" && err == nil {
			discard(res.Body)
			t.before, reason = pause{why: why}, Challenge
			continue
		}
		if err != nil && t.stale(fault.From(err), c.hop.body) {
			t.before = pause{why: "an idle connection was found dead"}
			continue
		}
		v := t.judge(ctx, c, res, err)
		if !v.again {
			return res, t.stopped(v, err)
		}
		if res != nil {
			discard(res.Body)
		}
		t.before, t.prev = v.pause, v.wait
		if err := sleep(ctx, v.wait); err != nil {
			return nil, err
		}
	}
}

// stopped writes down why there is no further attempt. A failure that ends
// because of a wait says how long that would have been.
func (t *tries) stopped(v verdict, err error) error {
	if v.stop == "" {
		return err
	}
	t.attempts[len(t.attempts)-1].Stopped = v.stop
	if err == nil {
		return nil
	}
	f := fault.From(err)
	if v.wait > 0 {
		f.RetryAfter = v.wait
	}
	return f
}

// sleep waits, unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

// staleMost bounds how many dead idle connections one call may find in a row.
const staleMost = 3

// stale says whether the last attempt met an idle connection that the upstream
// had closed already. It took nothing of the request, so the request goes out
// again at once, on another connection; that is no retry of the policy's. A stream
// that an HTTP/2 upstream refuses is none: its connection lives, and it is busy.
func (t *tries) stale(f *fault.Error, body Body) bool {
	run := 0
	for i := len(t.attempts) - 1; i >= 0 && t.attempts[i].Reused && t.attempts[i].Status == 0; i-- {
		run++
	}
	if f.Kind != fault.ConnectionReset || run == 0 || run >= staleMost || strings.Contains(f.Error(), "REFUSED_STREAM") {
		return false
	}
	return t.attempts[len(t.attempts)-1].Wire == fault.Unsent && (body == nil || body.Replayable())
}
