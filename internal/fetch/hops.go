package fetch

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// redirectPlan is what a response means for the redirect chain. All zero: it is
// the answer.
type redirectPlan struct {
	of *http.Response
	// next is the hop to go to.
	next *hop
	// dropped are the request headers that next does not get.
	dropped []string
	// stopped says why a redirect is itself the answer.
	stopped string
	// err ends the call.
	err error
}

// redirect judges res once; the buffering stage asks before the loop does.
func (c *Call) redirect(ctx context.Context, res *http.Response) redirectPlan {
	switch res.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return redirectPlan{}
	}
	if c.plan.of != res {
		c.plan = c.planRedirect(ctx, res)
		c.plan.of = res
	}
	return c.plan
}

func (c *Call) planRedirect(ctx context.Context, res *http.Response) redirectPlan {
	locations := res.Header["Location"]
	if len(locations) == 0 {
		return redirectPlan{} // RFC 9110 section 15.4: without it there is nothing to follow
	}
	if c.hop.limits.redirects == policy.RedirectNone {
		return redirectPlan{stopped: "mode"}
	}
	for _, l := range locations[1:] {
		if l != locations[0] {
			return redirectPlan{err: fault.New(fault.BadRedirect, "the redirect has several Location headers that differ")}
		}
	}
	to, err := c.hop.url.Resolve(locations[0])
	if err != nil {
		return redirectPlan{err: fault.Newf(fault.BadRedirect, "the redirect cannot be followed: %v", err)}
	}
	if c.hop.limits.redirects == policy.RedirectSameOrigin && !to.SameOrigin(c.hop.url) {
		return redirectPlan{stopped: "mode"}
	}
	return c.planHop(ctx, res.StatusCode, to)
}

// planHop makes the hop that a redirect leads to, matched against policy anew.
func (c *Call) planHop(ctx context.Context, status int, to target.URL) redirectPlan {
	if c.hop.limits.redirects == policy.RedirectSameUpstream {
		if up, err := c.gen.snapshot.Match(to); err != nil || up != c.hop.upstream {
			return redirectPlan{stopped: "mode"}
		}
	}
	if most := c.hop.limits.maxRedirects; len(c.history) >= most {
		return redirectPlan{err: fault.Newf(fault.TooManyRedirects,
			"%d redirects were followed and another came, to %s; raise redirects.max if the chain is meant", len(c.history), to.Place())}
	}
	next := &hop{index: c.hop.index + 1, url: to, method: c.hop.method, body: c.hop.body}
	if changesToGet(status, c.hop.method) {
		next.method, next.body = http.MethodGet, nil
	}
	d, err := c.decide(ctx, next.method, to)
	if err != nil {
		return redirectPlan{err: refusedRedirect(err)}
	}
	route := d.Route
	next.route, next.template, next.upstream, next.chain = route, d.Template, route.Upstream, c.gen.chains[route]
	if next.body != nil && !next.body.Replayable() {
		return redirectPlan{stopped: "one-shot body"}
	}
	if err := checkBody(next.body, route); err != nil {
		return redirectPlan{err: err}
	}
	plan := redirectPlan{next: next}
	bodyDropped := next.method != c.hop.method // a body that is not there too: what describes it goes
	next.header, plan.dropped = c.carryOver(to.SameOrigin(c.hop.url), bodyDropped)
	if err := c.overridden(next.header, to); err != nil {
		return redirectPlan{err: refusedRedirect(err)}
	}
	b := bounder{upstream: route.Upstream.Name, streamed: !c.buffered}
	next.limits, next.retry = b.limits(c.req, route), b.retry(c.req.Retry, &route.Retry)
	if !bodyDropped {
		c.placeKey(next)
	}
	if err := c.mayProve(next); err != nil {
		return redirectPlan{err: refusedRedirect(err)}
	}
	return plan
}

// refusedRedirect is policy's refusal of a hop that the caller did not ask for.
func refusedRedirect(err error) *fault.Error {
	why := fault.From(err)
	f := fault.Newf(fault.PolicyDenied, "a redirect was refused: %s", why.Message)
	f.Rule = why.Rule
	return f
}

// changesToGet is RFC 9110 section 15.4 as browsers live it: 303 always, 301
// and 302 for POST only.
func changesToGet(status int, method string) bool {
	switch status {
	case http.StatusSeeOther:
		return method != http.MethodHead && method != http.MethodGet
	case http.StatusMovedPermanently, http.StatusFound:
		return method == http.MethodPost
	}
	return false
}

// crossOrigin are the request headers that may go to another origin. Everything
// else stays behind: a header's name does not tell whether it is a secret.
var crossOrigin = map[string]bool{
	"Accept": true, "Accept-Encoding": true, "Accept-Language": true, "Cache-Control": true,
	"If-Match": true, "If-Modified-Since": true, "If-None-Match": true, "If-Range": true, "If-Unmodified-Since": true,
	"Prefer": true, "Range": true, "Te": true, "User-Agent": true,
	"Content-Type": true, "Content-Encoding": true, "Content-Language": true, "Idempotency-Key": true,
}

// carryOver gives the headers for the next hop and the names that were dropped.
func (c *Call) carryOver(sameOrigin, bodyDropped bool) (http.Header, []string) {
	h := c.hop.header
	next := make(http.Header, len(h))
	var dropped []string
	keeps := func(name string) bool {
		return sameOrigin || crossOrigin[name] || slices.Contains(c.hop.route.Redirects.KeepHeaders, name)
	}
	for name, values := range h {
		if !keeps(name) || bodyDropped && (aboutBody(name) || name == c.hop.retry.IdempotencyHeader) {
			dropped = append(dropped, name)
			continue
		}
		next[name] = values
	}
	sort.Strings(dropped)
	return next, dropped
}

// aboutBody: the header means nothing without the body that was dropped.
func aboutBody(name string) bool {
	return strings.HasPrefix(name, "Content-") || name == "Expect" || name == "Idempotency-Key"
}

// drainLimit is how much of an unwanted body is read to keep its connection.
const drainLimit = 16 << 10

// drainTime is how long that may take.
const drainTime = 50 * time.Millisecond

// discard ends a body that nobody wants. A short one that is there is read to its
// end, so that the connection can serve again; nobody waits for one that is not.
func discard(body io.ReadCloser) {
	if b, ok := body.(*receivedBody); ok {
		defer time.AfterFunc(drainTime, func() { b.try.cancel(context.Canceled) }).Stop()
	}
	_, _ = io.CopyN(io.Discard, body, drainLimit)
	_ = body.Close()
}
