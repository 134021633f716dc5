package telemetry

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/trace"
)

// ScopeAudit is the instrumentation scope of audit lines among the log records.
const ScopeAudit = Scope + "/audit"

// logPipe sends log records.
type logPipe struct {
	out      *outlet
	batch    *sdklog.BatchProcessor
	provider *sdklog.LoggerProvider
	version  string
}

func (p parts) newLogs(ctx context.Context) (*logPipe, error) {
	exporter, err := p.env.logExporter(ctx)
	if err != nil {
		return nil, err
	}
	out := newOutlet("logs", p.env.number(logQueue+"MAX_QUEUE_SIZE", 2048), p.log, p.scrub)
	batch := sdklog.NewBatchProcessor(logExporter{exporter, out})
	provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(logGate{batch, out}), sdklog.WithResource(p.res))
	p.exporting("LOGS")
	return &logPipe{out, batch, provider, p.version}, nil
}

func (p *logPipe) outlet() *outlet           { return p.out }
func (p *logPipe) flush(ctx context.Context) { _ = p.provider.ForceFlush(ctx) }
func (p *logPipe) shutdown(ctx context.Context) {
	_ = p.provider.Shutdown(ctx)
	_ = p.batch.Shutdown(ctx) // the provider leaves it out if ctx is over
}

// logGate lets in what there is room for.
type logGate struct {
	*sdklog.BatchProcessor
	out *outlet
}

func (g logGate) OnEmit(ctx context.Context, r *sdklog.Record) error {
	if !g.out.take() {
		return nil
	}
	return g.BatchProcessor.OnEmit(ctx, r)
}

// logExporter is the SDK's with our outlet around it.
type logExporter struct {
	sdklog.Exporter
	out *outlet
}

func (e logExporter) Export(ctx context.Context, records []sdklog.Record) error {
	if len(records) == 0 {
		return nil
	}
	e.out.send(ctx, len(records), func(ctx context.Context) error { return e.Exporter.Export(ctx, records) })
	return nil
}

func (e logExporter) Shutdown(ctx context.Context) error {
	e.out.shutdown(ctx, e.Exporter.Shutdown)
	return nil
}

// LogHandler gives one that writes to next and, if OTEL_LOGS_EXPORTER asks for it, by
// OTLP what next takes: the level is next's.
func (t *Telemetry) LogHandler(next slog.Handler) slog.Handler {
	if t == nil || t.logs == nil {
		return next
	}
	return both{next, otelslog.NewHandler(Scope, otelslog.WithLoggerProvider(t.logs.provider), otelslog.WithVersion(t.logs.version))}
}

// AuditLogger sends audit lines by OTLP; nil: log records are not exported. Give it a
// context by SpanContext, for the record to name its trace.
func (t *Telemetry) AuditLogger() log.Logger {
	if t == nil || t.logs == nil {
		return nil
	}
	return t.logs.provider.Logger(ScopeAudit, log.WithInstrumentationVersion(t.logs.version))
}

// SpanContext gives a context from which OpenTelemetry's own API knows the span of t:
// log records and exemplars name it.
func SpanContext(ctx context.Context, t *Trace) context.Context {
	if t == nil {
		return ctx
	}
	return trace.ContextWithSpanContext(ctx, t.Context())
}

// both hands what the first takes to the second too.
type both struct{ first, second slog.Handler }

func (b both) Enabled(ctx context.Context, level slog.Level) bool { return b.first.Enabled(ctx, level) }

func (b both) Handle(ctx context.Context, r slog.Record) error {
	_ = b.second.Handle(SpanContext(ctx, TraceFrom(ctx)), r.Clone()) // it only queues
	return b.first.Handle(ctx, r)
}

func (b both) WithAttrs(attrs []slog.Attr) slog.Handler {
	return both{b.first.WithAttrs(attrs), b.second.WithAttrs(attrs)}
}

func (b both) WithGroup(name string) slog.Handler {
	return both{b.first.WithGroup(name), b.second.WithGroup(name)}
}
