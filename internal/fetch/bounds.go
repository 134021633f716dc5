package fetch

import (
	"fmt"
	"math"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// limits are the effective bounds of a call on one route; zero clocks are off.
type limits struct {
	total, attempt, connect, firstByte, idle, streamTotal, pool time.Duration

	maxBytes, maxDecoded, ratio, minRate int64

	redirects    policy.RedirectMode
	maxRedirects int
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
	b.fail(field, fmt.Sprintf("%v is over the bound of %v that policy sets for upstream %q: ask for that much or less, or leave it out",
		wish, bound, b.upstream))
}

func (b *bounder) fail(field, reason string) {
	b.problems = append(b.problems, fault.Violation{Field: field, Reason: reason})
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

func (b *bounder) limits(req *Request, r *policy.Route) limits {
	wish, t := req.Timeouts, &r.Timeouts
	l := limits{
		total:     b.clock("timeouts.total", wish.Total, t.Total),
		attempt:   b.clock("timeouts.attempt", wish.Attempt, optional(t.Attempt, t.Total)),
		connect:   b.clock("timeouts.connect", wish.Connect, t.Connect),
		firstByte: b.clock("timeouts.first_byte", wish.FirstByte, optional(t.FirstByte, t.Total)),
		idle:      b.clock("timeouts.idle", wish.Idle, b.idle(t.Idle, t.Total)),
		ratio:     r.Sizes.Ratio,

		streamTotal: t.StreamTotal, pool: t.Pool, minRate: r.MinRate,
	}
	b.sizes(&l, req, &r.Sizes)
	b.redirects(&l, req.Redirects, &r.Redirects)
	return l
}

func (b *bounder) sizes(l *limits, req *Request, s *policy.Sizes) {
	l.maxBytes, l.maxDecoded = s.Response.Default, s.Decoded
	switch {
	case b.streamed:
		l.maxBytes = req.MaxResponseBytes
	case req.MaxResponseBytes > 0:
		l.maxBytes = min(req.MaxResponseBytes, s.Response.Max)
	}
	switch {
	case s.Decoded == 0 && b.streamed:
		l.maxDecoded = math.MaxInt64
	case s.Decoded == 0:
		l.maxDecoded = l.maxBytes
	}
	if req.MaxResponseBytes > s.Response.Max && !b.streamed {
		b.over("max_response_bytes", policy.FormatSize(req.MaxResponseBytes), policy.FormatSize(s.Response.Max))
		b.problems[len(b.problems)-1].Reason += "; Stream takes a body of any size"
	}
}

func (b *bounder) redirects(l *limits, wish Redirects, r *policy.Redirects) {
	l.redirects, l.maxRedirects = r.Mode.Default, r.Limit.Default
	if wish.Mode != nil {
		if l.redirects = *wish.Mode; *wish.Mode > r.Mode.Max {
			b.over("redirects.mode", wish.Mode, r.Mode.Max)
			l.redirects = r.Mode.Max
		}
	}
	if wish.Limit != nil {
		if l.maxRedirects = *wish.Limit; *wish.Limit > r.Limit.Max {
			b.over("redirects.max", *wish.Limit, r.Limit.Max)
			l.maxRedirects = r.Limit.Max
		}
	}
}

// retry gives the route's own where the caller asks for nothing, else a copy.
func (b *bounder) retry(wish *Retry, r *policy.Retry) *policy.Retry {
	if wish == nil {
		return r
	}
	out := *r
	if n := wish.MaxAttempts; n != nil {
		if out.MaxAttempts.Default = *n; *n > r.MaxAttempts.Max {
			b.over("retry.max_attempts", *n, r.MaxAttempts.Max)
			out.MaxAttempts.Default = r.MaxAttempts.Max
		}
	}
	if d := wish.RetryAfterMax; d != nil {
		if out.RetryAfterMax = *d; *d > r.RetryAfterMax {
			b.over("retry.retry_after_max", *d, r.RetryAfterMax)
			out.RetryAfterMax = r.RetryAfterMax
		}
	}
	for _, c := range []struct {
		field     string
		wish, out *int
	}{
		{"retry.connect", wish.Connect, &out.Connect}, {"retry.read", wish.Read, &out.Read},
		{"retry.status", wish.Status, &out.Status}, {"retry.other", wish.Other, &out.Other},
	} {
		switch most := *c.out; { // negative: max_attempts is the bound
		case c.wish == nil:
		case most >= 0 && *c.wish > most:
			b.over(c.field, *c.wish, most)
		default:
			*c.out = *c.wish
		}
	}
	if len(wish.Statuses) > 0 {
		out.Statuses = wish.Statuses
	}
	if len(wish.Methods) > 0 {
		if err := out.SetMethods(wish.Methods); err != nil {
			b.fail("retry.methods", err.Error())
		}
	}
	out.IgnoreRetryAfter = out.IgnoreRetryAfter || wish.IgnoreRetryAfter
	b.backoff(wish, &out.Backoff)
	return &out
}

func (b *bounder) backoff(wish *Retry, out *policy.Backoff) {
	if wish.Base != nil {
		out.Base = *wish.Base
		out.Max = max(out.Max, out.Base)
	}
	if wish.Max != nil {
		out.Max = *wish.Max
		if wish.Base != nil && *wish.Base > *wish.Max {
			b.fail("retry.backoff.base", fmt.Sprintf("the first wait %s is over the longest, %s: lower it", *wish.Base, *wish.Max))
		}
	}
	if wish.Jitter != "" {
		out.Jitter = wish.Jitter
	}
}

// checkRequest holds the bounds of what is sent.
func checkRequest(req *Request, b Body, r *policy.Route) error {
	size := int64(len(req.URL.Path) + len(req.URL.Query))
	for name, values := range req.Header {
		for _, v := range values {
			size += int64(len(name) + len(v) + len(": \r\n"))
		}
	}
	if size > r.Sizes.RequestHeader {
		return fault.Newf(fault.RequestTooLarge, "the URL and the headers together are %d bytes, over the %s that upstream %q takes: send fewer or shorter ones",
			size, policy.FormatSize(r.Sizes.RequestHeader), r.Upstream.Name)
	}
	return checkBody(b, r)
}

// checkBody holds the route's request size, on every hop that has the body. An
// upload is not held in memory and has none.
func checkBody(b Body, r *policy.Route) error {
	if _, streamed := b.(Upload); streamed || b == nil {
		return nil
	}
	if b.Size() > r.Sizes.Request {
		return fault.Newf(fault.RequestTooLarge, "the request body of %d bytes is over the %s that upstream %q takes",
			b.Size(), policy.FormatSize(r.Sizes.Request), r.Upstream.Name)
	}
	return nil
}

// granted refuses what policy must grant by name and does not.
func granted(req *Request, r *policy.Route) error {
	g := r.Upstream.Grants
	refuse := func(field, grant string) error {
		return fault.Newf(fault.NotGranted, "%s: policy does not grant this to calls of upstream %q; leave it out, or have %s added to its grants", field, r.Upstream.Name, grant)
	}
	if req.Credential != "" {
		cred := chosen(req, r)
		if cred == nil || cred.Name != req.Credential {
			return fault.Newf(fault.NotGranted, "credential: policy does not let calls of upstream %q choose %q; leave it out, or have it added to credentials", r.Upstream.Name, req.Credential)
		}
		if !cred.GoesWith(req.Header, req.Method, req.URL) {
			return fault.Newf(fault.NotGranted, "credential: %q is not bound to %s %s://%s%s, so the call would go without it; leave it out, or have its bind, methods and paths changed", req.Credential, req.Method, req.URL.Scheme, req.URL.HostPort(), req.URL.Path)
		}
	}
	if req.Host != "" && !g.Host {
		return refuse("request_host", "unsafe_request_host")
	}
	o := req.Connection
	switch {
	case o == nil:
		return confided(req, r)
	case o.Proxy != nil && !g.Proxy:
		return refuse("proxy", "request_proxy")
	case len(o.CAPEM) > 0 && !g.CA:
		return refuse("ca_pem", "request_ca")
	case (len(o.CertPEM) > 0 || !o.KeyPEM.IsZero()) && !g.ClientCert:
		return refuse("client_cert", "request_client_cert")
	case o.SkipVerify && !g.SkipVerify:
		return refuse("skip_verify", "unsafe_skip_verify")
	default:
		if err := o.Check(); err != nil { // before anything is tried
			return err
		}
	}
	return confided(req, r)
}

// bindsHost says that cred may go to the Host that req asks for, too.
func bindsHost(req *Request, cred *policy.Credential) bool {
	u, err := target.Parse(req.URL.Scheme + "://" + req.Host + req.URL.Target())
	return err == nil && cred.GoesTo(req.Method, u)
}

// confided refuses a call whose own way to connect would show the credential to
// whoever the caller likes: policy's secrets are not for callers.
func confided(req *Request, r *policy.Route) error {
	cred, o, t := chosen(req, r), req.Connection, &r.Upstream.TLS
	if cred == nil || !cred.GoesWith(req.Header, req.Method, req.URL) {
		return nil
	}
	if req.Host != "" && !bindsHost(req, cred) {
		return fault.Newf(fault.NotGranted, "request_host: the call carries credential %q, which is not bound to that host, and many a server hands requests on by it; leave it out, or have the host added to bind", cred.Name)
	}
	if o == nil || o.Proxy == nil && !o.SkipVerify {
		return nil
	}
	verified := req.URL.Scheme == "https" && (len(t.Pins) > 0 || len(o.CAPEM) == 0 && !o.SkipVerify && !t.SkipVerify)
	if verified {
		return nil
	}
	field := "proxy"
	if o.Proxy == nil {
		field = "skip_verify"
	}
	return fault.Newf(fault.NotGranted, "%s: the call carries credential %q, which could be read on that way; leave it out, or call by https with the authorities that policy trusts", field, cred.Name)
}
