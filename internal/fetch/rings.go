package fetch

import (
	"context"
	"net/http"
	"sync"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// CallFunc runs once a hop.
type CallFunc func(context.Context, *Call) (*http.Response, error)

// TryFunc runs once for every request on the wire.
type TryFunc func(context.Context, *Try) (*http.Response, error)

// tryStage is one behaviour of the try ring. wrap gives next itself where the
// upstream has no use for the stage, which then costs nothing.
type tryStage struct {
	name string
	wrap func(up *policy.Upstream, next TryFunc) TryFunc
}

// callRing is, outermost first, what happens to a hop. Quotas, the cache and
// sessions will stand before the retry loop.
func (e *Engine) callRing() CallFunc { return retry }

// tryRing is, outermost first, what happens to each request on the wire. On the
// way back the order is the reverse: the answer's head is read, its body
// buffered while the clocks still run, then the clocks stop and the ledger's
// line is closed.
func (e *Engine) tryRing() []tryStage {
	return []tryStage{
		{"ledger", ledger},
		{"clocks", attemptClocks},
		{"buffer", buffer},
		{"headers", e.headers},
		{"send", e.send},
	}
}

// chain is both rings, compiled for one upstream of one snapshot.
type chain struct {
	call CallFunc
	try  TryFunc
}

func (e *Engine) compile(up *policy.Upstream) *chain {
	var try TryFunc
	ring := e.tryRing()
	for i := len(ring) - 1; i >= 0; i-- {
		try = ring[i].wrap(up, try)
	}
	return &chain{call: e.callRing(), try: try}
}

// send is the innermost: it hands the request to the upstream's pool, which is
// opened by the first call that needs it.
func (e *Engine) send(up *policy.Upstream, _ TryFunc) TryFunc {
	transport := sync.OnceValue(func() http.RoundTripper { return e.pools.For(up) })
	return func(ctx context.Context, t *Try) (*http.Response, error) {
		return t.roundTrip(ctx, transport())
	}
}
