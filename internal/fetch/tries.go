package fetch

import (
	"context"
	"net/http"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// Reason says why a request was put on the wire.
type Reason uint8

// The reasons. Retries that policy asks for, hedges, challenges and resumptions
// have their own when they come.
const (
	// First is the hop's first.
	First Reason = iota + 1
	// Retry is another after a failure that left nothing behind.
	Retry
	// Resend is the transport's own: it lost its connection before an answer.
	Resend
)

// tries is what a call knows across its attempts: the clock, the counters, the
// ledger.
type tries struct {
	started  time.Time
	runs     time.Time // since when the total clock does
	total    time.Duration
	deadline time.Time
	attempts []*Attempt
}

// limit sets the total clock, which runs from start.
func (t *tries) limit(start time.Time, total time.Duration) {
	t.runs, t.total = start, total
	t.deadline = start.Add(total)
}

// reached says that an attempt before the last left something behind already.
func (t *tries) reached() bool {
	for _, a := range t.attempts[:max(len(t.attempts)-1, 0)] {
		if a.Wire != fault.Unsent {
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
	return c.hop.chain.try(ctx, try)
}

func (t *tries) timedOut() *fault.Error {
	return fault.New(fault.TotalTimeout, "the call took longer than its total clock of "+t.total.String())
}

// retry is the innermost of the call ring, and the one retry loop. For now it
// knows one case: an idle connection that the upstream had closed already took
// nothing of the request, so the request goes out again, on another connection.
func retry(ctx context.Context, c *Call) (*http.Response, error) {
	reason := First
	for {
		res, err := c.tries.next(ctx, c, reason)
		if err == nil || !c.tries.stale(fault.From(err), c.hop.body) {
			return res, err
		}
		reason = Retry
	}
}

// staleMost bounds how many dead idle connections one call may find in a row.
const staleMost = 3

// stale says whether the last attempt met a dead idle connection.
func (t *tries) stale(f *fault.Error, body Body) bool {
	run := 0
	for i := len(t.attempts) - 1; i >= 0 && t.attempts[i].Reused && t.attempts[i].Status == 0; i-- {
		run++
	}
	return f.Kind == fault.ConnectionReset && f.Wire == fault.Unsent && run > 0 && run < staleMost &&
		(body == nil || body.Replayable())
}
