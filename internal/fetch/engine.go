package fetch

import (
	"cmp"
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/content"
	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// Config is what an Engine is made of.
type Config struct {
	// Pools reach the network. Required.
	Pools *egress.Pools
	// UserAgent is sent where the caller gives none. Required.
	UserAgent string
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

	current atomic.Pointer[generation]
}

// generation is one snapshot with the chains compiled from it.
type generation struct {
	snapshot *policy.Snapshot
	chains   map[*policy.Upstream]*chain
}

// New makes an Engine that denies everything until Use gives it a policy.
func New(cfg Config) *Engine {
	e := &Engine{
		pools:          cfg.Pools,
		userAgent:      []string{cfg.UserAgent},
		acceptEncoding: []string{content.AcceptEncoding()},
		rateWindow:     cmp.Or(cfg.RateWindow, rateWindow),
	}
	e.Use(policy.DenyAll())
	return e
}

// Use puts a snapshot in force for the calls that begin from now on.
func (e *Engine) Use(s *policy.Snapshot) {
	g := &generation{snapshot: s, chains: make(map[*policy.Upstream]*chain, len(s.Upstreams))}
	for _, up := range s.Upstreams {
		g.chains[up] = e.compile(up)
	}
	e.current.Store(g)
}

// Snapshot gives the policy in force.
func (e *Engine) Snapshot() *policy.Snapshot { return e.current.Load().snapshot }

// Do makes one call and reads the whole response. The Response is never nil: on
// failure it says what was tried. The error is a *fault.Error.
func (e *Engine) Do(ctx context.Context, req *Request) (*Response, error) {
	c := e.newCall(req, true)
	res, err := c.run(ctx)
	out := &Response{}
	if err == nil {
		err = c.finish(res, out)
	}
	c.account(out)
	if err != nil {
		return out, fault.From(err)
	}
	return out, nil
}

func (e *Engine) newCall(req *Request, buffered bool) *Call {
	c := &Call{req: req, gen: e.current.Load(), buffered: buffered, rateWindow: e.rateWindow}
	c.tries.started = time.Now()
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
	if err := c.begin(); err != nil {
		return nil, err
	}
	for {
		res, err := c.hop.chain.call(ctx, c)
		if err != nil {
			return nil, err
		}
		plan := c.redirect(res)
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
func (c *Call) begin() error {
	up, err := c.gen.snapshot.Match(c.req.URL)
	if err != nil {
		return err
	}
	b := bounder{upstream: up.Name, streamed: !c.buffered}
	lim := b.limits(c.req, up)
	if len(b.problems) > 0 {
		return fault.InvalidAll(b.problems)
	}
	if err := checkBody(c.req.Body, up); err != nil {
		return err
	}
	c.tries.limit(c.tries.started, lim.total)
	c.hop = &c.first.hop
	*c.hop = hop{
		url: c.req.URL, method: c.req.Method, header: c.req.Header, body: c.req.Body,
		upstream: up, chain: c.gen.chains[up], limits: lim,
	}
	return nil
}
