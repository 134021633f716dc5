package fetch

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// counter is what a retry is charged to, as in urllib3's Retry.
type counter uint8

const (
	connects counter = iota // nothing was sent
	reads                   // something was
	statuses
	others
	counters
)

var counterNames = [counters]string{"CONNECT", "READ", "STATUS", "OTHER"}

// verdict is what becomes of a call after an attempt.
type verdict struct {
	pause
	again bool
	// stop is why there is no other attempt, where one would have been due: a word
	// and a sentence.
	stop string
}

func stop(word, format string, args ...any) verdict {
	return verdict{stop: word + ": " + fmt.Sprintf(format, args...)}
}

// judge decides whether another attempt is made, and when. Exactly one of res and
// err is set. What it grants, it charges.
func (t *tries) judge(ctx context.Context, c *Call, res *http.Response, err error) verdict {
	p := c.hop.retry
	if p.MaxAttempts.Default <= 1 {
		return verdict{}
	}
	charge, why, v := c.worth(res, err)
	if why == "" {
		return v
	}
	retries := t.retries()
	switch most := bound(p, charge); {
	case retries+1 >= p.MaxAttempts.Default:
		return stop("MAX_ATTEMPTS", "%d attempts were made", retries+1)
	case most >= 0 && t.spent[charge] >= most:
		return stop(counterNames[charge], "%d retries were made for this, which is their bound", t.spent[charge])
	case c.hop.body != nil && !c.hop.body.Replayable():
		return stop("BODY_SPENT", "the upload cannot be sent again; policy keeps %s of one (retry.spool)", policy.FormatSize(p.Spool))
	}
	v = t.plan(ctx, c, t.head, why) // what asks for a wait is the head, whatever became of the body
	if !v.again {
		return v
	}
	if b := c.hop.chain.budget; b != nil && !b.take(time.Now()) {
		return stop("RETRY_BUDGET_EXHAUSTED", "the upstream's retry budget is spent; other calls are being retried too")
	}
	t.spent[charge]++
	return v
}

// retries are those made so far, over all hops.
func (t *tries) retries() (n int) {
	for _, s := range t.spent {
		n += s
	}
	return n
}

// worth says whether the outcome is one that policy tries again: what to charge
// and why. Without a why, it is not.
func (c *Call) worth(res *http.Response, err error) (charge counter, why string, v verdict) {
	p := c.hop.retry
	repeats := p.Repeats(c.hop.method) || c.hop.keyed()
	if err == nil {
		if !slices.Contains(p.Statuses, res.StatusCode) && !comesBack(p, res) {
			return 0, "", verdict{}
		}
		if !repeats && res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusRequestEntityTooLarge {
			return 0, "", stop("NOT_REPEATABLE", "%s may have had an effect, and there is no idempotency key", c.hop.method)
		}
		return statuses, "status " + strconv.Itoa(res.StatusCode), verdict{}
	}
	f := fault.From(err)
	tried := f.Kind.OfAttempt() && f.Kind.MayPass()
	if p.Kinds != nil {
		tried = slices.Contains(p.Kinds, f.Kind)
	}
	switch {
	case f.Kind == fault.Cancelled || f.Kind == fault.TotalTimeout:
		return 0, "", verdict{}
	case f.Kind == fault.ResponseTooLarge && repeats && slices.Contains(p.Statuses, c.tries.attempts[len(c.tries.attempts)-1].Status):
		return statuses, "status " + strconv.Itoa(c.tries.attempts[len(c.tries.attempts)-1].Status), verdict{} // its page is too large, and nobody wants it
	case !tried:
		return 0, "", stop("NOT_RETRIED", "policy does not try again after %s", f.Kind)
	case c.tries.attempts[len(c.tries.attempts)-1].Wire == fault.Unsent: // f's is the whole call's
		return connects, string(f.Kind), verdict{}
	case !repeats:
		return 0, "", stop("NOT_REPEATABLE", "%s may have had an effect, and there is no idempotency key", c.hop.method)
	case f.Kind == fault.BadResponse:
		return others, string(f.Kind), verdict{}
	default:
		return reads, string(f.Kind), verdict{}
	}
}

// comesBack: a 413 that says when to come back is about the moment, not the
// request (RFC 9110 section 15.5.14).
func comesBack(p *policy.Retry, res *http.Response) bool {
	return res.StatusCode == http.StatusRequestEntityTooLarge && !p.IgnoreRetryAfter && len(res.Header["Retry-After"]) > 0
}

// plan finds the wait, which must fit the call's clocks and what policy lets an
// upstream ask for.
func (t *tries) plan(ctx context.Context, c *Call, res *http.Response, why string) verdict {
	deadline := t.deadline
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	p := pace{policy: c.hop.retry, random: c.engine.random, retry: t.retries(), prev: t.prev, asked: &t.asked}
	return p.before(res, why, deadline)
}

var jitters = map[string]jitter{
	"auto": jitterAuto, "full": jitterFull, "equal": jitterEqual, "decorrelated": jitterDecorrelated, "none": jitterNone,
}

// bound is the most retries that a counter allows; negative: any number.
func bound(p *policy.Retry, by counter) int {
	return [counters]int{p.Connect, p.Read, p.Status, p.Other}[by]
}
