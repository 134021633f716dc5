package fetch

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// Explanation is what Do would do with a request, and why.
type Explanation struct {
	// Fault is what the call would end with before anything is sent; nil: it would
	// be made.
	Fault *fault.Error
	// Reason says why, or why not, in a sentence.
	Reason string
	// Upstream and Route are what policy matched; Route is empty for the upstream
	// itself.
	Upstream, Route string
	// Reported is what would be refused, were its rule not in report mode.
	Reported string
	// Trace is what policy looked at.
	Trace *policy.Trace
	// Settings are what would hold, and where each comes from. None if policy denies
	// the call.
	Settings []Setting
	// Credential is the name of the one that would be applied; empty: none.
	Credential string
	// Schedule are the attempts of the worst case.
	Schedule []Scheduled
	// Addresses are the guard's verdicts, if they were asked for.
	Addresses []egress.Verdict
}

// Explain says what Do would do with req under the policy in force. It decides on
// the way that Do goes, and sends nothing; with resolve it asks the resolver, as
// a call does before it connects.
func (e *Engine) Explain(ctx context.Context, req *Request, resolve bool) *Explanation {
	c := e.newCall(ctx, req, true)
	out := &Explanation{}
	d, tr, err := c.gen.snapshot.Explain(policy.Query{Caller: req.Caller, Claims: req.Claims, Method: req.Method, URL: req.URL})
	out.Trace, out.Reported = tr, d.Reported
	if d.Route != nil {
		out.Upstream, out.Route = d.Route.Upstream.Name, d.Route.Name
	}
	if err != nil {
		out.Route = ""
		return out.deny(err)
	}
	err = c.enter(d)
	out.Settings = c.effective()
	out.Schedule = c.schedule()
	if cred := c.credential(c.hop); cred != nil {
		out.Credential = cred.Name
	}
	if err != nil {
		return out.deny(err)
	}
	out.Reason = c.allowedBecause()
	return e.judgeAddresses(ctx, c, out, resolve)
}

func (x *Explanation) deny(err error) *Explanation {
	x.Fault = fault.From(err)
	x.Reason = x.Fault.Message
	return x
}

// allowedBecause says who takes the call, and what the schedule does not show of
// its retries.
func (c *Call) allowedBecause() string {
	r := c.hop.route
	reason := fmt.Sprintf("upstream %q takes it", r.Upstream.Name)
	if r.Name != "" {
		reason += ", with the settings of " + r.Name
	}
	if c.hop.retry.MaxAttempts.Default > 1 && !c.hop.retry.Repeats(c.hop.method) && !c.hop.keyed() {
		reason += fmt.Sprintf("; %s is no method of retry.methods and there is no idempotency key, so it is tried again only if nothing of it was sent, or after 413 and 429", c.hop.method)
	}
	return reason
}

// judgeAddresses asks the guard about an address, and with resolve about those of
// a name: the proxy's that the call names, and the host's. One that it refuses
// denies the call, unless a proxy resolves the name.
func (e *Engine) judgeAddresses(ctx context.Context, c *Call, out *Explanation, resolve bool) *Explanation {
	if own := c.req.Connection; own != nil && own.Proxy != nil {
		if _, err := e.judgeHost(ctx, c, own.Proxy.Host, resolve); err != nil {
			return out.deny(fault.Newf(err.Kind, "the proxy %s: %s", proxyText(own.Proxy.Scheme, own.Proxy.Host, own.Proxy.Port), err.Message))
		}
	}
	host := c.hop.url.Host
	verdicts, err := e.judgeHost(ctx, c, host.Name, resolve)
	if resolve {
		out.Addresses = verdicts
	}
	if err == nil || c.way().byName && !host.IsAddr() {
		return out
	}
	return out.deny(err)
}

// judgeHost is what the guard says of a host; without resolve, names pass.
func (e *Engine) judgeHost(ctx context.Context, c *Call, host string, resolve bool) ([]egress.Verdict, *fault.Error) {
	_, err := netip.ParseAddr(host)
	literal := err == nil
	if !resolve && !literal {
		return nil, nil
	}
	verdicts, err := e.pools.Judge(ctx, c.hop.upstream, host)
	if err != nil {
		return verdicts, fault.From(err)
	}
	for _, v := range verdicts {
		switch {
		case v.Allowed:
		case literal:
			return verdicts, fault.New(fault.AddressDenied, v.Reason)
		default:
			return verdicts, fault.Newf(fault.AddressDenied, "host %s: %s", host, v.Reason)
		}
	}
	return verdicts, nil
}
