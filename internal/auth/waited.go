package auth

import (
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Waited says for how long a Sign waited for what a credential fetches.
type Waited struct {
	Start time.Time
	Took  time.Duration
	// Fetch is the span of the request that brought it, or did not, which is of another
	// trace; of several the last. Zero: unknown.
	Fetch trace.SpanContext
}

// waits notes that Sign begins to wait. One that has waited before, for another
// member of a pool, goes on.
func (o *Outgoing) waits(now time.Time) *Waited {
	if o.Waited == nil {
		o.Waited = &Waited{Start: now}
	}
	return o.Waited
}

// end notes that the wait is over.
func (w *Waited) end(now func() time.Time) { w.Took = now().Sub(w.Start) }
