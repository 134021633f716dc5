package fetch

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// DoSystem is Do for a call of our own to a system upstream of the policy, such as
// an issuer's keys: guarded, clocked, retried and written down as any other. The
// caller is policy.System, whatever req says.
func (e *Engine) DoSystem(ctx context.Context, upstream string, req *Request) (*Response, error) {
	own := *req
	own.Caller, own.Claims = policy.System, nil
	c := e.newCall(telemetry.WithTrace(ctx, e.ownTrace(ctx)), &own, true)
	c.system = upstream
	return c.do(ctx)
}

// ownTrace is the trace of a call of our own: that of the work which it is for, where
// there is such, else a new one.
func (e *Engine) ownTrace(ctx context.Context) *telemetry.Trace {
	work := telemetry.TraceFrom(ctx)
	if work == nil {
		work = telemetry.NewTrace()
	}
	t := work.Begin()
	if t == work && len(t.Links) == 0 && e.sample != nil {
		t.Sampled = e.sample(t.ID, false, false)
	}
	return t
}

// Document gives the body of what u has, of a system upstream, and how long it may
// be kept; 0: it does not say. Any status but 200 is an error.
func (e *Engine) Document(ctx context.Context, upstream string, u target.URL) ([]byte, time.Duration, error) {
	res, err := e.DoSystem(ctx, upstream, &Request{Method: http.MethodGet, URL: u, Header: http.Header{"Accept": {"application/json"}}})
	switch {
	case err != nil:
		return nil, 0, err
	case res.Status != http.StatusOK:
		f := fault.Newf(fault.UpstreamStatus, "%s answered %d", u.Place(), res.Status)
		f.Wire, f.UpstreamStatus = fault.Answered, res.Status
		return nil, 0, f
	}
	return res.Body, freshFor(res.Header), nil
}

// freshFor is what is left of max-age (RFC 9111 section 4.2), as far as one who
// keeps a single document needs it.
func freshFor(h http.Header) time.Duration {
	directives := map[string]string{}
	for _, line := range h["Cache-Control"] {
		for d := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(d), "=")
			directives[strings.ToLower(name)] = strings.Trim(value, `"`)
		}
	}
	seconds, err := strconv.ParseUint(directives["max-age"], 10, 31)
	if err != nil {
		return 0
	}
	age, _ := strconv.ParseUint(h.Get("Age"), 10, 31)
	return time.Duration(seconds-min(age, seconds)) * time.Second
}

// matched asks policy which route a hop belongs to.
func (c *Call) matched(q policy.Query) (policy.Decision, error) {
	if c.system != "" {
		return c.gen.snapshot.DecideSystem(c.system, q)
	}
	return c.gen.snapshot.Decide(q)
}
