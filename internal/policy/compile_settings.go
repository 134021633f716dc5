package policy

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// settled are the messages that have settings: Defaults, Upstream and Route.
type settled interface {
	GetTimeouts() *policyv1.Timeouts
	GetSizes() *policyv1.Sizes
	GetRetry() *policyv1.Retry
	GetRedirects() *policyv1.Redirects
	GetResume() *policyv1.Resume
}

// settings lays in over base.
func (c *compiler) settings(path string, base Settings, in settled) Settings {
	out := base
	out.Timeouts = c.timeouts(path+".timeouts.", base.Timeouts, in.GetTimeouts())
	out.Sizes = c.sizes(path+".sizes.", base.Sizes, in.GetSizes())
	out.Retry = c.retry(path+".retry.", base.Retry, in.GetRetry())
	out.Redirects = c.redirects(path+".redirects.", base.Redirects, in.GetRedirects())
	if r := in.GetResume(); r != nil {
		out.Resume.Downloads = override(base.Resume.Downloads, number(r.Downloads))
		out.Resume.Events = override(base.Resume.Events, number(r.Events))
	}
	c.checkFit(path, in, &out)
	return out
}

// checkFit warns of clocks that cannot all run to their end.
func (c *compiler) checkFit(path string, in settled, s *Settings) {
	if in.GetTimeouts() == nil && in.GetRetry() == nil {
		return
	}
	n := s.Retry.MaxAttempts.Default
	if r := in.GetRetry(); r != nil && s.Retry.MaxAttempts.Max <= 1 && r.MaxAttempts == nil && r.GetBudget() == nil && r.GetIdempotencyKey() == nil {
		c.warn(path+".retry", "nothing is tried again, because max_attempts is 1: set it to 2 or more")
	}
	at := path + ".timeouts"
	if in.GetTimeouts() == nil {
		at = path + ".retry"
	}
	total, attempt := s.Timeouts.Total.Default, s.Timeouts.Attempt.Default
	if attempt > total && in.GetTimeouts() != nil {
		c.warn(at, "the attempt clock of %s never runs out, because the total is %s", attempt, total)
	}
	if n > 1 && attempt > 0 {
		need := time.Duration(n)*attempt + s.Retry.longest(n-1)
		if need > total {
			c.warn(at, "%d attempts of %s and the waits between them can take %s, and the total is %s: the last ones may never be made", n, attempt, need, total)
		}
	}
}

// longest is the most that n waits of the backoff take together.
func (r *Retry) longest(n int) time.Duration {
	var sum time.Duration
	for i, wait := 0, r.Backoff.Base; i < n; i++ {
		sum += min(wait, r.Backoff.Max)
		wait = min(2*wait, r.Backoff.Max)
	}
	return sum
}

// timeouts lays in over base.
func (c *compiler) timeouts(path string, base Timeouts, in *policyv1.Timeouts) Timeouts {
	if in == nil {
		return base
	}
	m := in.GetMax()
	clock := func(name string, base Clock, value, ceiling *durationpb.Duration) Clock {
		return layer(c, path, name, base, duration(value), duration(ceiling))
	}
	return Timeouts{
		Total:       clock("total", base.Total, in.GetTotal(), m.GetTotal()),
		Attempt:     clock("attempt", base.Attempt, in.GetAttempt(), m.GetAttempt()),
		Connect:     clock("connect", base.Connect, in.GetConnect(), m.GetConnect()),
		FirstByte:   clock("first_byte", base.FirstByte, in.GetFirstByte(), m.GetFirstByte()),
		Idle:        clock("idle", base.Idle, in.GetIdle(), m.GetIdle()),
		TLS:         override(base.TLS, duration(in.GetTls())),
		DNS:         override(base.DNS, duration(in.GetDns())),
		Pool:        override(base.Pool, duration(in.GetPool())),
		StreamTotal: override(base.StreamTotal, duration(in.GetStreamTotal())),
	}
}

func (c *compiler) sizes(path string, base Sizes, in *policyv1.Sizes) Sizes {
	if in == nil {
		return base
	}
	out := base
	out.Request = c.size(path+"request", in.GetRequest(), base.Request, defaultRequest)
	out.RequestHeader = c.size(path+"request_header", in.GetRequestHeader(), base.RequestHeader, defaultRequestHeader)
	out.ResponseHeader = c.size(path+"response_header", in.GetResponseHeader(), base.ResponseHeader, maxResponseHeader)
	out.Decoded = c.size(path+"decoded", in.GetDecoded(), base.Decoded, maxDecoded)
	out.Ratio = override(base.Ratio, widen(in.Ratio))
	bytes := func(at, text string) *int64 {
		if text == "" {
			return nil
		}
		n := c.size(path+at, text, 0, defaultResponseMax)
		return &n
	}
	out.Response = layerAs(c, path, "response", base.Response, bytes("response", in.GetResponse()), bytes("max.response", in.GetMax().GetResponse()), FormatSize)
	return out
}

func (c *compiler) size(path, text string, base, ceiling int64) int64 {
	if text == "" {
		return base
	}
	n, err := parseSize(text)
	if err == nil && n > ceiling {
		err = fmt.Errorf("%s is over what fetchsvc takes, %s", text, FormatSize(ceiling))
	}
	if err != nil {
		c.fail(path, err)
		return base
	}
	return n
}

func (c *compiler) retry(path string, base Retry, in *policyv1.Retry) Retry {
	if in == nil {
		return base
	}
	out := base
	out.MaxAttempts = layer(c, path, "max_attempts", base.MaxAttempts, number(in.MaxAttempts), number(mostAttempts(in.GetMax())))
	if b := in.GetBackoff(); b != nil {
		out.Backoff = Backoff{
			Base: override(base.Backoff.Base, duration(b.GetBase())), Max: override(base.Backoff.Max, duration(b.GetMax())),
			Jitter: cmp.Or(b.GetJitter(), base.Backoff.Jitter),
		}
		if out.Backoff.Base > out.Backoff.Max {
			c.failf(path+"backoff.base", "the first wait %s is over the longest, %s", out.Backoff.Base, out.Backoff.Max)
		}
	}
	out.Connect, out.Read = override(base.Connect, number(in.Connect)), override(base.Read, number(in.Read))
	out.Status, out.Other = override(base.Status, number(in.Status)), override(base.Other, number(in.Other))
	if len(in.GetStatuses()) > 0 {
		out.Statuses = nil
		for _, s := range in.GetStatuses() {
			out.Statuses = append(out.Statuses, int(s))
		}
	}
	out.methods = c.methods(path+"methods", base.methods, in.GetMethods())
	out.Kinds = c.kinds(path+"kinds", base.Kinds, in.GetKinds())
	if r := in.GetRetryAfter(); r != nil {
		out.IgnoreRetryAfter = override(base.IgnoreRetryAfter, r.Ignore)
		out.RetryAfterMax = override(base.RetryAfterMax, duration(r.GetMax()))
	}
	if k := in.GetIdempotencyKey(); k != nil {
		out.IdempotencyHeader = c.headerName(path+"idempotency_key.header", base.IdempotencyHeader, k.GetHeader())
		if slices.Contains(neverKeys, out.IdempotencyHeader) {
			c.failf(path+"idempotency_key.header", "%s has a meaning of its own, so the key would be lost on the way and a repeated request be two: name the header that the upstream reads, such as Idempotency-Key", out.IdempotencyHeader)
		}
		out.GenerateKey = override(base.GenerateKey, k.Generate)
		out.keyMethods = c.methods(path+"idempotency_key.methods", base.keyMethods, k.GetMethods())
	}
	out.Spool = c.size(path+"spool", in.GetSpool(), base.Spool, maxSpool)
	return out
}

// kinds are failures that an attempt can end with.
func (c *compiler) kinds(path string, base []fault.Kind, in []string) []fault.Kind {
	if len(in) == 0 {
		return base
	}
	var known []string
	for _, k := range fault.Kinds() {
		if k.OfAttempt() {
			known = append(known, string(k))
		}
	}
	var out []fault.Kind
	for i, name := range in {
		if !slices.Contains(known, name) {
			c.failf(fmt.Sprintf("%s[%d]", path, i), "%q is no failure of an attempt: those are %s%s", name, strings.Join(known, ", "), didYouMean(name, known))
		}
		out = append(out, fault.Kind(name))
	}
	return out
}

func (c *compiler) methods(path string, base methodSet, in []string) methodSet {
	if len(in) == 0 {
		return base
	}
	set, err := parseMethods(in)
	if err != nil {
		if i := slices.IndexFunc(in, func(name string) bool { return checkMethod(name) != nil }); i >= 0 {
			path = fmt.Sprintf("%s[%d]", path, i)
		}
		c.fail(path, err)
	}
	return set
}

func (c *compiler) headerName(path, base, name string) string {
	switch {
	case name == "":
		return base
	case !httpguts.ValidHeaderFieldName(name):
		c.failf(path, "%q is not a header's name: letters, digits and hyphens", name)
	}
	return http.CanonicalHeaderKey(name)
}

// ofConnections are headers that fetchsvc sets itself or that belong to one
// connection (RFC 9110 section 7.6.1).
var ofConnections = []string{
	"Connection", "Content-Length", "Expect", "Host", "Http2-Settings", "Keep-Alive", "Proxy-Authenticate",
	"Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// neverKeys cannot carry an idempotency key: they do not arrive as they are given,
// or mean something else.
var neverKeys = append([]string{
	"Accept", "Accept-Encoding", "Authorization", "Content-Encoding", "Content-Type", "Cookie", "If-Match",
	"If-None-Match", "If-Range", "Last-Event-Id", "Range", "User-Agent",
}, ofConnections...)

// neverKept are headers that prove who the caller is to one origin.
var neverKept = append([]string{"Authorization", "Cookie"}, ofConnections...)

func (c *compiler) redirects(path string, base Redirects, in *policyv1.Redirects) Redirects {
	if in == nil {
		return base
	}
	out := Redirects{
		Mode:        layer(c, path, "mode", base.Mode, redirectMode(in.GetMode()), redirectMode(in.GetMax().GetMode())),
		Limit:       layer(c, path, "limit", base.Limit, number(in.Limit), number(mostRedirects(in.GetMax()))),
		KeepHeaders: base.KeepHeaders,
	}
	for i, name := range in.GetKeepHeaders() {
		at := fmt.Sprintf("%skeep_headers[%d]", path, i)
		if i == 0 {
			out.KeepHeaders = nil
		}
		name = c.headerName(at, name, name)
		if slices.Contains(neverKept, name) {
			c.failf(at, "%s never goes on to another origin: leave it out; the other upstream may have a credential of its own", name)
		}
		out.KeepHeaders = append(out.KeepHeaders, name)
	}
	return out
}

func redirectMode(word string) *RedirectMode {
	if i := slices.Index(redirectModes, word); i >= 0 {
		m := RedirectMode(i)
		return &m
	}
	return nil
}

func mostAttempts(m *policyv1.RetryMax) *int32 {
	if m == nil {
		return nil
	}
	return m.MaxAttempts
}

func mostRedirects(m *policyv1.RedirectsMax) *int32 {
	if m == nil {
		return nil
	}
	return m.Limit
}

func (c *compiler) limits(path string, base Limits, in *policyv1.Limits) Limits {
	if in == nil {
		return base
	}
	out := Limits{Concurrent: override(base.Concurrent, number(in.Concurrent)), Queue: base.Queue}
	switch {
	case in.Queue != nil:
		out.Queue = int(in.GetQueue())
	case in.Concurrent != nil:
		out.Queue = out.Concurrent
	}
	if out.Concurrent == 0 {
		c.failf(path+".queue", "there is no queue without `concurrent`: set both")
	}
	return out
}

func (c *compiler) budget(path string, base Budget, in *policyv1.RetryBudget) Budget {
	if in == nil {
		return base
	}
	named := in.Ratio != nil || in.Min != nil || in.Window != nil // so there is one again
	out := Budget{
		Ratio: override(base.Ratio, in.Ratio), Min: override(base.Min, number(in.Min)),
		Window: override(base.Window, duration(in.GetWindow())), Unlimited: override(base.Unlimited && !named, in.Unlimited),
	}
	if in.GetUnlimited() && named {
		c.failf(path+".unlimited", "without a budget, ratio, min and window mean nothing: leave them out or `unlimited`")
	}
	return out
}
