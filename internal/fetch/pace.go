package fetch

import (
	"net/http"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// pace is how fast attempts may follow each other: retries and resumptions alike.
type pace struct {
	policy *policy.Retry
	random func() float64
	// retry counts those before, prev is the wait before the last.
	retry int
	prev  time.Duration
	// asked is what upstreams asked for so far, least what is asked for beside the
	// answer.
	asked *time.Duration
	least time.Duration
}

// before gives the wait before another attempt, which res, or nil where nothing
// answered, is the reason for: the backoff's, and never less than the upstream
// asks for. It must end before the deadline; zero: there is none.
func (p *pace) before(res *http.Response, why string, deadline time.Time) verdict {
	r := p.policy
	throttled := res != nil && (res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable)
	b := backoff{base: r.Backoff.Base, max: r.Backoff.Max, jitter: jitters[r.Backoff.Jitter]}
	v := verdict{again: true, pause: pause{wait: b.wait(p.retry, p.prev, throttled, p.random), why: why}}
	if asked, by := p.wish(res); by != "" {
		if asked > r.RetryAfterMax-*p.asked {
			v = stop("RETRY_AFTER", "%s asks for a wait of %s, and calls wait %s for that at most", by, asked.Round(time.Millisecond), r.RetryAfterMax)
			v.wait = asked
			return v
		}
		*p.asked += asked
		v.why += ", " + by
		v.wait = max(v.wait, asked+time.Duration(p.random()*float64(min(asked/10, b.base))))
	}
	if deadline.IsZero() {
		return v
	}
	if left := time.Until(deadline); v.wait >= left {
		wait := v.wait
		v = stop("DEADLINE", "the wait of %s does not fit into the %s that the call has left", wait.Round(time.Millisecond), max(left, 0).Round(time.Millisecond))
		v.wait = wait
	}
	return v
}

// wish is the wait that the upstream asks for, and by what; empty: nothing.
func (p *pace) wish(res *http.Response) (asked time.Duration, by string) {
	if p.policy.IgnoreRetryAfter {
		return 0, ""
	}
	if p.least > 0 {
		asked, by = p.least, "the stream's retry"
	}
	if res == nil {
		return asked, by
	}
	if d, header, ok := retryAfter(res.StatusCode, res.Header, time.Now()); ok && d >= asked {
		return d, header
	}
	return asked, by
}
