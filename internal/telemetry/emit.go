package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// tracePipe writes spans that are over.
type tracePipe struct {
	out      *outlet
	batch    sdktrace.SpanProcessor
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

func (p parts) newTraces(ctx context.Context) (*tracePipe, error) {
	exporter, err := p.env.traceExporter(ctx)
	if err != nil {
		return nil, err
	}
	most := p.env.number(spanQueue+"MAX_QUEUE_SIZE", sdktrace.DefaultMaxQueueSize)
	out := newOutlet("traces", most, p.log, p.scrub)
	// Flushes take places in the queue too: a few at a time.
	batch := sdktrace.NewBatchSpanProcessor(spanExporter{exporter, out}, sdktrace.WithMaxQueueSize(most+16))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(batch),
		sdktrace.WithResource(p.res),
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // whoever emits a span has decided
		sdktrace.WithIDGenerator(givenIDs{}),
	)
	p.exporting("TRACES")
	return &tracePipe{out, batch, provider, provider.Tracer(Scope, trace.WithInstrumentationVersion(p.version))}, nil
}

func (p *tracePipe) outlet() *outlet           { return p.out }
func (p *tracePipe) flush(ctx context.Context) { _ = p.provider.ForceFlush(ctx) }
func (p *tracePipe) shutdown(ctx context.Context) {
	_ = p.provider.Shutdown(ctx)
	_ = p.batch.Shutdown(ctx) // the provider leaves it out if ctx is over
}

// spanExporter is the SDK's with our outlet around it.
type spanExporter struct {
	sdktrace.SpanExporter
	out *outlet
}

func (e spanExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	e.out.send(ctx, len(spans), func(ctx context.Context) error { return e.SpanExporter.ExportSpans(ctx, spans) })
	return nil
}

func (e spanExporter) Shutdown(ctx context.Context) error {
	e.out.shutdown(ctx, e.SpanExporter.Shutdown)
	return nil
}

// Emit writes a span. It costs next to nothing where no traces are exported, and where
// the collector does not take them.
func (t *Telemetry) Emit(s Span) {
	if !t.Tracing() || !t.traces.out.take() {
		return
	}
	kept := s // only what is written goes to the heap
	t.traces.write(&kept)
}

func (p *tracePipe) write(s *Span) {
	var with [3]trace.SpanStartOption
	with[0], with[1] = trace.WithTimestamp(s.Start), trace.WithSpanKind(s.Kind)
	options := with[:2]
	if len(s.Links) > 0 {
		options = append(options, trace.WithLinks(s.Links...))
	}
	_, span := p.tracer.Start(s.context(), s.Name, options...)
	span.SetAttributes(s.Attributes...)
	for _, e := range s.Events {
		span.AddEvent(e.Name, trace.WithTimestamp(e.Time), trace.WithAttributes(e.Attributes...))
	}
	if s.Status != codes.Unset {
		span.SetStatus(s.Status, s.Description)
	}
	span.End(trace.WithTimestamp(s.End))
}

// spanContext is the context that a span is begun in: it has the span's parent, and
// for givenIDs the span.
type spanContext struct {
	context.Context
	span *Span
}

type spanKey struct{}

func (c spanContext) Value(key any) any {
	if key == (spanKey{}) {
		return c.span
	}
	return c.Context.Value(key)
}

// context of a root has no parent: then the SDK asks for both ids.
func (s *Span) context() context.Context {
	ctx := context.Background()
	if s.Parent.IsValid() {
		state, _ := trace.ParseTraceState(s.State) // what cannot be read is left out
		ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: s.Trace, SpanID: s.Parent, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: s.Remote,
		}))
	}
	return spanContext{ctx, s}
}

// givenIDs takes the ids that were drawn when the work began.
type givenIDs struct{}

// NewIDs implements sdktrace.IDGenerator.
func (givenIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if s, ok := ctx.Value(spanKey{}).(*Span); ok {
		return s.Trace, s.ID
	}
	return newTraceID(), NewSpanID()
}

// NewSpanID implements sdktrace.IDGenerator.
func (givenIDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if s, ok := ctx.Value(spanKey{}).(*Span); ok {
		return s.ID
	}
	return NewSpanID()
}
