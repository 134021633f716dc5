package fetch

import (
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// TestCausing: a token request is traced if the call that it is for is, also where
// policy decided that (trace.sample), and leads to that call's span.
func TestCausing(t *testing.T) {
	for _, sampled := range []bool{true, false} {
		of := telemetry.NewTrace()
		of.Sampled = !sampled
		c := &Call{trace: of, sampled: sampled}
		ctx := c.causing(telemetry.WithTrace(t.Context(), of))
		own, _ := telemetry.Detached(ctx, telemetry.TraceFrom(ctx))
		work := telemetry.TraceFrom(own)
		if work.Sampled != sampled {
			t.Errorf("the call is traced: %v, what it causes: %v", sampled, work.Sampled)
		}
		if to := work.Links[0].SpanContext; to.TraceID() != of.ID || to.SpanID() != of.Span || to.IsSampled() != sampled {
			t.Errorf("it leads to %+v, want the span of %+v, sampled %v", to, of, sampled)
		}
	}
}
