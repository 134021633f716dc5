package telemetry

import (
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/slogtest"
)

func TestLogNamesItsTrace(t *testing.T) {
	here := &Trace{ID: newTraceID(), Span: NewSpanID()}
	ctx := WithTrace(t.Context(), here)
	for name, c := range map[string]struct {
		write func(*slog.Logger)
		want  string // keys; those of a group in brackets
	}{
		"plain":      {func(l *slog.Logger) { l.InfoContext(ctx, "m", "a", 1) }, "a span_id trace_id"},
		"attributes": {func(l *slog.Logger) { l.With("b", 2).InfoContext(ctx, "m", "a", 1) }, "a b span_id trace_id"},
		"group":      {func(l *slog.Logger) { l.With("b", 2).WithGroup("g").With("c", 3).InfoContext(ctx, "m", "a", 1) }, "b g{a c} span_id trace_id"},
		"two groups": {func(l *slog.Logger) { l.WithGroup("g").With("c", 3).WithGroup("h").InfoContext(ctx, "m", "a", 1) }, "g{c h{a}} span_id trace_id"},
		"no trace":   {func(l *slog.Logger) { l.WithGroup("g").InfoContext(t.Context(), "m", "a", 1) }, "g{a}"},
	} {
		out := &lines{}
		c.write(slog.New(NewLogHandler(out, new(slog.LevelVar))))
		line := map[string]any{}
		if err := json.Unmarshal([]byte(out.String()), &line); err != nil {
			t.Fatalf("%s: %v in %s", name, err, out)
		}
		for _, key := range []string{"time", "level", "msg"} {
			delete(line, key)
		}
		if got := keys(line); got != c.want {
			t.Errorf("%s: the line has %s, want %s", name, got, c.want)
		}
		if id := line[LogTraceID]; id != nil && (id != here.ID.String() || line[LogSpanID] != here.Span.String()) {
			t.Errorf("%s: the line is of %v %v", name, id, line[LogSpanID])
		}
	}
}

func keys(of map[string]any) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(of)) {
		if group, ok := of[key].(map[string]any); ok {
			key += "{" + keys(group) + "}"
		}
		all = append(all, key)
	}
	return strings.Join(all, " ")
}

func TestLogLevelChanges(t *testing.T) {
	out, level := &lines{}, new(slog.LevelVar)
	s := (&sink{}).serve(t, "grpc")
	tel, _ := setup(t, map[string]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": s.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
	log := slog.New(tel.LogHandler(NewLogHandler(out, level))).With("of", "all")
	log.Debug("unseen")
	level.Set(slog.LevelDebug)
	log.Debug("seen")
	level.Set(slog.LevelError)
	log.Warn("unseen")
	tel.Flush(t.Context())
	if got := s.records(); len(got) != 1 || got[0].GetBody().GetStringValue() != "seen" || got[0].GetSeverityText() != "DEBUG" || len(got[0].GetAttributes()) != 1 {
		t.Errorf("the records are %v", got)
	}
	if out.count("seen") != 1 || out.count("unseen") != 0 {
		t.Errorf("the log says %s", out)
	}
}

// TestSlog runs the tests of the standard library for handlers.
func TestSlog(t *testing.T) {
	var out *lines
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out = &lines{}
		return NewLogHandler(out, new(slog.LevelVar))
	}, func(t *testing.T) map[string]any {
		line := map[string]any{}
		if err := json.Unmarshal([]byte(out.String()), &line); err != nil {
			t.Fatal(err)
		}
		return line
	})
}
