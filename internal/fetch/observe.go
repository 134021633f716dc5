package fetch

import (
	"context"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// Finished is a call that is over, as observers see it. It is theirs to read
// during the observation only.
type Finished struct {
	Request *Request
	// Response has the ledger; on failure little else.
	Response *Response
	// Err is why there is no usable response; nil: there is one.
	Err *fault.Error
	// Upstream and Route are policy's names for the last hop; empty: none was
	// entered.
	Upstream, Route string
	// Reported is what a rule in report mode would have refused; empty: nothing.
	Reported string
	// Generation is that of the policy that the call lived under.
	Generation int64
	// Streamed: the body was handed on as it came.
	Streamed bool
}

// observe tells the observer, if there is one, that the call is over.
func (c *Call) observe(ctx context.Context, out *Response, err error) {
	if c.engine.observer == nil {
		return
	}
	f := Finished{
		Request: c.req, Response: out, Reported: c.reported,
		Generation: c.gen.snapshot.Generation, Streamed: !c.buffered,
	}
	if err != nil {
		f.Err = fault.From(err)
	}
	if c.hop != nil {
		f.Upstream, f.Route = c.hop.upstream.Name, c.hop.route.Name
	}
	c.engine.observer(ctx, &f)
}
