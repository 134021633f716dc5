package fetch

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/auth"
	"github.com/fetchsvc/fetchsvc/internal/content"
	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// Config is what an Engine is made of.
type Config struct {
	// Pools reach the network. Required.
	Pools *egress.Pools
	// UserAgent is sent where the caller gives none. Required.
	UserAgent string
	// Keep makes what proves who we are; nil: no call carries a credential.
	Keep *auth.Keep
	// Reported is told of each hop that a rule in report mode would have refused;
	// nil: nobody is.
	Reported func(ctx context.Context, r Report)
	// Sample decides which calls of our own are traced; nil: none are.
	Sample telemetry.Sampler
	// Finished observes each call once it is over, before its answer goes back;
	// nil: nobody does.
	Finished func(ctx context.Context, f *Finished)
	// RateWindow is how much waiting policy's min_rate is measured over. Default
	// 10 s, which is what the policy's documentation says.
	RateWindow time.Duration
}

// Engine makes calls. Safe for concurrent use.
type Engine struct {
	pools *egress.Pools
	// The values of headers that are sent unasked, shared by all requests.
	userAgent, acceptEncoding []string
	rateWindow                time.Duration
	keep                      *auth.Keep
	reported                  func(context.Context, Report)
	observer                  func(context.Context, *Finished)
	sample                    telemetry.Sampler
	// What outlives a snapshot, by upstream.
	budgets budgets
	spooled atomic.Int64 // bytes that uploads keep to be sent again
	// scrubbers are shared by calls with the same secrets.
	scrubbers scrubbers
	// random draws from [0, 1).
	random func() float64
	slots  slotsOf
	usages usages

	using   sync.Mutex // held by Use
	current atomic.Pointer[generation]
}

// Report is a hop that was made although a rule in report mode refuses it.
type Report struct {
	Caller, Method, Upstream, Reason string
	// Place is the URL without its query.
	Place string
}

// generation is one snapshot with the chains compiled from it.
type generation struct {
	snapshot *policy.Snapshot
	chains   map[*policy.Route]*chain
}

// New makes an Engine that denies everything until Use gives it a policy.
func New(cfg Config) *Engine {
	e := &Engine{
		pools:          cfg.Pools,
		userAgent:      []string{cfg.UserAgent},
		acceptEncoding: []string{content.AcceptEncoding()},
		rateWindow:     cmp.Or(cfg.RateWindow, rateWindow),
		keep:           cfg.Keep,
		reported:       cfg.Reported,
		observer:       cfg.Finished,
		sample:         cfg.Sample,
		random:         rand.Float64,
	}
	e.Use(policy.DenyAll())
	return e
}

// Use puts a snapshot in force for the calls that begin from now on. Those in
// flight end under the one that they began with. What upstreams have in common
// with the snapshot before, such as warm connections and spent budgets, stays.
func (e *Engine) Use(s *policy.Snapshot) {
	e.using.Lock()
	defer e.using.Unlock()
	g := &generation{snapshot: s, chains: make(map[*policy.Route]*chain, len(s.Upstreams))}
	keep := make(map[string]bool, len(s.Upstreams))
	upstreams := slices.Concat(s.Upstreams, s.System())
	for _, up := range upstreams {
		keep[up.Name] = true
		shared := e.share(up)
		g.chains[up.Base] = e.compile(up.Base, shared)
		for _, r := range up.Routes {
			g.chains[r] = e.compile(r, shared)
		}
	}
	e.current.Store(g)
	e.budgets.prune(keep)
	e.slots.prune(keep)
	e.usages.prune(keep)
	e.pools.Prune(upstreams)
}

// Forget ends what is kept for credentials that the policy in force does not have,
// and waits for it: a refresh token that is being spent has its time. So call it
// last, once everything else has heard of the policy.
func (e *Engine) Forget() {
	if e.keep != nil {
		e.keep.Prune(e.Snapshot().Credentials())
	}
}

// Snapshot gives the policy in force.
func (e *Engine) Snapshot() *policy.Snapshot { return e.current.Load().snapshot }

// Do makes one call and reads the whole response. The Response is never nil: on
// failure it says what was tried. The error is a *fault.Error.
func (e *Engine) Do(ctx context.Context, req *Request) (*Response, error) {
	return e.newCall(ctx, req, true).do(ctx)
}

func (c *Call) do(ctx context.Context) (*Response, error) {
	defer c.over() // also when a defect panics
	res, err := c.run(ctx)
	out := &Response{}
	if err == nil {
		err = c.finish(res, out)
	}
	c.account(out)
	c.observe(ctx, out, err)
	if err != nil {
		return out, fault.From(err)
	}
	return out, nil
}

func (e *Engine) newCall(ctx context.Context, req *Request, buffered bool) *Call {
	c := &Call{req: req, gen: e.current.Load(), buffered: buffered, rateWindow: e.rateWindow, engine: e, key: req.IdempotencyKey}
	c.tries.started = time.Now()
	if c.trace = telemetry.TraceFrom(ctx); c.trace == nil {
		c.trace = telemetry.NewTrace()
	}
	c.sampled = c.trace.Sampled
	return c
}

// account writes down what the call took so far.
func (c *Call) account(out *Response) {
	out.Attempts, out.History = c.tries.attempts, c.history
	out.Elapsed = time.Since(c.tries.started)
	out.BytesSent, out.BytesReceived = 0, 0
	for _, a := range out.Attempts {
		out.BytesSent += a.BytesSent
		out.BytesReceived += a.BytesReceived
	}
}

// run walks the hops to the response that answers the call.
func (c *Call) run(ctx context.Context) (*http.Response, error) {
	if err := c.begin(ctx); err != nil {
		return nil, err
	}
	for {
		res, err := c.hop.chain.call(ctx, c)
		if err != nil {
			return nil, err
		}
		plan := c.redirect(ctx, res)
		if plan.err != nil {
			discard(res.Body)
			return nil, plan.err
		}
		if plan.next == nil {
			return res, nil
		}
		c.history = append(c.history, Hop{
			Method: c.hop.method, URL: c.hop.url, Status: res.StatusCode,
			Location: res.Header.Get("Location"), Header: res.Header, Dropped: plan.dropped,
		})
		discard(res.Body)
		c.hop = plan.next
		if total := c.hop.limits.total; total < c.tries.total {
			c.tries.limit(c.tries.runs, total)
		}
	}
}

// begin enters the first hop.
func (c *Call) begin(ctx context.Context) error {
	d, err := c.decide(ctx, c.req.Method, c.req.URL)
	if err != nil {
		if d.Route != nil {
			c.refusedBy = d.Route.Upstream
		}
		return err
	}
	err = c.enter(d)
	c.count()
	return err
}

// enter makes the first hop, of d's route, and holds the request to what the route
// lets it ask for. Explain asks the same.
func (c *Call) enter(d policy.Decision) error {
	route := d.Route
	b := bounder{upstream: route.Upstream.Name, streamed: !c.buffered}
	lim, again := b.limits(c.req, route), b.retry(c.req.Retry, &route.Retry)
	c.hop = &c.first.hop
	*c.hop = hop{
		url: c.req.URL, method: c.req.Method, header: c.req.Header, body: c.req.Body,
		route: route, template: d.Template, upstream: route.Upstream, chain: c.gen.chains[route], limits: lim, retry: again,
	}
	c.tries.limit(c.tries.started, lim.total)
	c.placeKey(c.hop)
	if len(b.problems) > 0 {
		return fault.InvalidAll(b.problems)
	}
	if err := c.overridden(c.req.Header, c.req.URL); err != nil {
		return err
	}
	if err := granted(c.req, route); err != nil {
		return err
	}
	if err := c.mayProve(c.hop); err != nil {
		return err
	}
	return checkRequest(c.req, c.req.Body, route)
}

// overridden refuses a method in a header that policy would refuse as the method.
func (c *Call) overridden(header http.Header, u target.URL) error {
	for name, method := range policy.AskedMethods(header) {
		q := policy.Query{Caller: c.req.Caller, Claims: c.req.Claims, Method: method, URL: u}
		if _, err := c.matched(q); err != nil {
			why := fault.From(err)
			f := fault.Newf(fault.PolicyDenied, "%s asks for another method: %s", name, why.Message)
			f.Rule = why.Rule
			return f
		}
	}
	return nil
}

// decide asks policy about one hop.
func (c *Call) decide(ctx context.Context, method string, u target.URL) (policy.Decision, error) {
	q := policy.Query{Caller: c.req.Caller, Claims: c.req.Claims, Method: method, URL: u}
	d, err := c.matched(q)
	if err != nil {
		return d, err
	}
	if d.Reported != "" && c.reported == "" {
		c.reported, c.reportedRule = d.Reported, d.ReportedRule
	}
	if d.Reported != "" && c.engine.reported != nil {
		c.engine.reported(ctx, Report{
			Caller: q.Caller, Method: method, Upstream: d.Route.Upstream.Name, Reason: d.Reported, Place: u.Place(),
		})
	}
	return d, nil
}
