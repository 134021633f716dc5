package telemetry

import (
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TestSampler holds every value of OTEL_TRACES_SAMPLER against the SDK's own.
func TestSampler(t *testing.T) {
	some := sdktrace.TraceIDRatioBased(0.3)
	for name, want := range map[string]sdktrace.Sampler{
		"": sdktrace.ParentBased(sdktrace.AlwaysSample()), "always_on": sdktrace.AlwaysSample(), "Always_Off": sdktrace.NeverSample(),
		"traceidratio": some, "parentbased_always_on": sdktrace.ParentBased(sdktrace.AlwaysSample()),
		"parentbased_always_off": sdktrace.ParentBased(sdktrace.NeverSample()), "parentbased_traceidratio": sdktrace.ParentBased(some),
	} {
		s := newHeadSampler(env(map[string]string{"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": "0.3"}))
		for i := range 600 {
			id, parent, sampled := newTraceID(), i%3 > 0, i%3 > 1
			ctx := t.Context()
			if parent {
				ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
					TraceID: id, SpanID: NewSpanID(), Remote: true, TraceFlags: trace.TraceFlags(0).WithSampled(sampled),
				}))
			}
			decided := want.ShouldSample(sdktrace.SamplingParameters{ParentContext: ctx, TraceID: id}).Decision == sdktrace.RecordAndSample
			if got := s.sample(id, parent, sampled); got != decided {
				t.Fatalf("%q, parent %v, sampled %v: %v, the SDK decides %v", name, parent, sampled, got, decided)
			}
		}
	}
}

func TestSampleWithoutTraces(t *testing.T) {
	var tel *Telemetry
	if id := newTraceID(); tel.Sample(id, false, false) || tel.Sample(id, true, false) || !tel.Sample(id, true, true) {
		t.Error("where no traces are exported the caller's decision does not stand")
	}
}
