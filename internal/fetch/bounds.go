package fetch

import (
	"fmt"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// limits are the effective bounds of a call on one upstream; zero clocks are off.
type limits struct {
	total, attempt, connect, firstByte, idle, streamTotal time.Duration

	maxBytes, minRate int64
}

// bounder lays what a caller asks for over what policy sets. On the first hop a
// wish over its bound is an error and no silent cut, because the caller would
// count on more than it gets; on a redirect to another upstream, which the
// caller did not choose, it is cut.
type bounder struct {
	upstream string
	// streamed: the response is handed on as it comes, so its size costs nothing.
	streamed bool
	problems []fault.Violation
}

func (b *bounder) over(field string, wish, bound any) {
	b.problems = append(b.problems, fault.Violation{Field: field, Reason: fmt.Sprintf(
		"%v is over the bound of %v that policy sets for upstream %q: ask for that much or less, or leave it out",
		wish, bound, b.upstream)})
}

func (b *bounder) clock(field string, wish time.Duration, c policy.Clock) time.Duration {
	switch {
	case wish == 0:
		return c.Default
	case wish > c.Max:
		b.over(field, wish, c.Max)
		return c.Max
	default:
		return wish
	}
}

// idle is optional too, but on a stream it is never off.
func (b *bounder) idle(c, total policy.Clock) policy.Clock {
	if c.Max == 0 && b.streamed {
		c.Max = max(total.Max, streamIdle)
	}
	return optional(c, total)
}

// optional is a clock that is off by default; a caller may set it up to total.
func optional(c, total policy.Clock) policy.Clock {
	if c.Max == 0 {
		c.Max = total.Max
	}
	return c
}

func (b *bounder) limits(req *Request, up *policy.Upstream) limits {
	wish, t := req.Timeouts, &up.Timeouts
	l := limits{
		total:     b.clock("timeouts.total", wish.Total, t.Total),
		attempt:   b.clock("timeouts.attempt", wish.Attempt, optional(t.Attempt, t.Total)),
		connect:   b.clock("timeouts.connect", wish.Connect, t.Connect),
		firstByte: b.clock("timeouts.first_byte", wish.FirstByte, optional(t.FirstByte, t.Total)),
		idle:      b.clock("timeouts.idle", wish.Idle, b.idle(t.Idle, t.Total)),
		maxBytes:  up.Sizes.Response,

		streamTotal: t.StreamTotal, minRate: up.MinRate,
	}
	switch {
	case b.streamed:
		l.maxBytes = req.MaxResponseBytes
	case req.MaxResponseBytes > 0:
		l.maxBytes = min(req.MaxResponseBytes, up.Sizes.ResponseMax)
	}
	if req.MaxResponseBytes > up.Sizes.ResponseMax && !b.streamed {
		b.over("max_response_bytes", policy.FormatSize(req.MaxResponseBytes), policy.FormatSize(up.Sizes.ResponseMax))
		b.problems[len(b.problems)-1].Reason += "; Stream takes a body of any size"
	}
	if req.MaxAttempts > 1 {
		b.problems = append(b.problems, fault.Violation{Field: "retry.max_attempts",
			Reason: "no policy can grant retries yet: leave it out, or ask for 1"})
	}
	return l
}

// checkBody holds the upstream's request size, on every hop that has the body.
// An upload is not held in memory and has none.
func checkBody(b Body, up *policy.Upstream) error {
	if _, streamed := b.(Upload); streamed || b == nil {
		return nil
	}
	if b.Size() > up.Sizes.Request {
		return fault.Newf(fault.RequestTooLarge, "the request body of %d bytes is over the %s that upstream %q takes",
			b.Size(), policy.FormatSize(up.Sizes.Request), up.Name)
	}
	return nil
}
