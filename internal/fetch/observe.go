package fetch

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/fetchsvc/fetchsvc/internal/auth"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// Finished is a call that is over, as observers see it. It is theirs to read
// during the observation only.
type Finished struct {
	Request *Request
	// Response has the ledger; on failure little else.
	Response *Response
	// Err is why there is no usable response; nil: there is one.
	Err *fault.Error
	// Upstream and Route are policy's names for the last hop, or of the upstream whose
	// rules refused the first; empty: there was none.
	Upstream, Route string
	// Reported is what a rule in report mode would have refused, and ReportedRule which;
	// empty: nothing.
	Reported, ReportedRule string
	// Generation is that of the policy that the call lived under.
	Generation int64
	// Streamed: the body was handed on as it came.
	Streamed bool

	// Start is when it began, and Head when its answer's head had come; zero: it never
	// did.
	Start, Head time.Time
	// Trace is what it belongs to. Sampled says that it is to be written, and Tracing
	// what policy says of it if it is not.
	Trace   *telemetry.Trace
	Sampled bool
	Tracing policy.Tracing
	// Waits are those that are not in the ledger.
	Waits []Wait
	// System: it is a call of our own.
	System bool
}

// Wait is time that a call spent neither on the wire nor between attempts.
type Wait struct {
	// For is telemetry.WaitQueue or telemetry.WaitCredential.
	For   string
	Start time.Time
	Took  time.Duration
	// Credential is what it was for, and Fetch the span of the request for its token;
	// zero: it was for something else.
	Credential string
	Fetch      trace.SpanContext
	// Err is how it ended; nil: well.
	Err *fault.Error
}

// waitedFor notes that a try waited for what cred is made of.
func (c *Call) waitedFor(w *auth.Waited, cred string, err error) {
	if w == nil {
		return
	}
	c.waits = append(c.waits, Wait{
		For: telemetry.WaitCredential, Start: w.Start, Took: w.Took, Credential: cred, Fetch: w.Fetch, Err: faultOf(err),
	})
}

// faultOf is fault.From where there may be none.
func faultOf(err error) *fault.Error {
	if err == nil {
		return nil
	}
	return fault.From(err)
}

// count counts the call as under way, and asks policy whether it is traced.
func (c *Call) count() {
	c.usage = c.hop.chain.usage
	c.usage.calls.Add(1)
	if share := c.hop.upstream.Trace.Sample; share >= 0 {
		c.sampled = telemetry.Share(c.trace.ID, share)
	}
}

// over says that the call is under way no more.
func (c *Call) over() {
	if c.usage != nil {
		c.usage.calls.Add(-1)
		c.usage = nil
	}
}

// observe tells the observer, if there is one, that the call is over.
func (c *Call) observe(ctx context.Context, out *Response, err error) {
	c.over()
	if c.engine.observer == nil {
		return
	}
	c.finished = Finished{
		Request: c.req, Response: out, Reported: c.reported, ReportedRule: c.reportedRule,
		Generation: c.gen.snapshot.Generation, Streamed: !c.buffered,
		Start: c.tries.started, Head: c.tries.headAt, Trace: c.trace, Sampled: c.sampled, Tracing: c.gen.snapshot.Trace,
		Waits: c.waits, System: c.system != "",
	}
	f := &c.finished
	if err != nil {
		f.Err = fault.From(err)
	}
	switch {
	case c.hop != nil:
		f.Upstream, f.Route, f.Tracing = c.hop.upstream.Name, c.hop.route.Name, c.hop.upstream.Trace
	case c.refusedBy != nil:
		f.Upstream, f.Tracing = c.refusedBy.Name, c.refusedBy.Trace
	}
	c.engine.observer(ctx, f)
}
