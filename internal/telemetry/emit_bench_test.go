package telemetry

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// BenchmarkEmit is what a span costs the call: written to a collector that takes all,
// dropped since nobody takes any, and where no traces are exported.
func BenchmarkEmit(b *testing.B) {
	now := time.Now()
	s := Span{
		Trace: newTraceID(), ID: NewSpanID(), Parent: NewSpanID(), Name: "GET", Kind: trace.SpanKindClient, Start: now, End: now,
		Attributes: []attribute.KeyValue{
			HTTPRequestMethod.String("GET"), URLFull.String("https://api.example.com/v1/things"), ServerAddress.String("api.example.com"),
			ServerPort.Int(443), HTTPResponseStatusCode.Int(200), NetworkProtocolVersion.String("2"), Upstream.String("api"), AttemptNumber.Int(1),
		},
	}
	run := func(b *testing.B, tel *Telemetry) {
		b.ReportAllocs()
		for b.Loop() {
			tel.Emit(s)
		}
	}
	b.Run("written", func(b *testing.B) { run(b, discarding(1<<40)) })
	b.Run("full", func(b *testing.B) { run(b, discarding(0)) })
	b.Run("off", func(b *testing.B) { run(b, &Telemetry{}) })
}

// discarding writes spans to a processor that forgets them.
func discarding(room int64) *Telemetry {
	out := &outlet{most: room}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(forgetful{}),
		sdktrace.WithSampler(sdktrace.AlwaysSample()), sdktrace.WithIDGenerator(givenIDs{}))
	return &Telemetry{traces: &tracePipe{out: out, provider: provider, tracer: provider.Tracer(Scope)}}
}

type forgetful struct{ sdktrace.SpanProcessor }

func (forgetful) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (forgetful) OnEnd(sdktrace.ReadOnlySpan)                     {}
