package telemetry

import (
	"context"
	"io"
	"log/slog"
	"slices"
)

// The keys by which a line of the log names its trace.
const (
	LogTraceID = "trace_id"
	LogSpanID  = "span_id"
)

// NewLogHandler writes lines of JSON that name the trace which the context of the call
// belongs to. The level may change at any time.
func NewLogHandler(w io.Writer, level *slog.LevelVar) slog.Handler {
	return Traced(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// Traced has lines that go to next name their trace too.
func Traced(next slog.Handler) slog.Handler { return traced{root: next} }

// traced adds the ids of the trace at the top of a line, outside any group.
type traced struct {
	root slog.Handler
	// inside are the steps since the first group was opened.
	inside []func(slog.Handler) slog.Handler
	// whole is root with them; nil: there are none.
	whole slog.Handler
}

func (h traced) Enabled(ctx context.Context, level slog.Level) bool {
	return h.root.Enabled(ctx, level)
}

func (h traced) Handle(ctx context.Context, r slog.Record) error {
	t := TraceFrom(ctx)
	switch {
	case t == nil && h.whole != nil:
		return h.whole.Handle(ctx, r)
	case t == nil:
		return h.root.Handle(ctx, r)
	}
	ids := []slog.Attr{slog.String(LogTraceID, t.ID.String()), slog.String(LogSpanID, t.Span.String())}
	if h.whole == nil {
		r = r.Clone()
		r.AddAttrs(ids...)
		return h.root.Handle(ctx, r)
	}
	next := h.root.WithAttrs(ids)
	for _, step := range h.inside {
		next = step(next)
	}
	return next.Handle(ctx, r)
}

func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler {
	if h.whole == nil {
		return traced{root: h.root.WithAttrs(attrs)}
	}
	return h.with(func(next slog.Handler) slog.Handler { return next.WithAttrs(attrs) })
}

func (h traced) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.with(func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}

func (h traced) with(step func(slog.Handler) slog.Handler) slog.Handler {
	whole := h.whole
	if whole == nil {
		whole = h.root
	}
	return traced{h.root, append(slices.Clip(h.inside), step), step(whole)}
}
