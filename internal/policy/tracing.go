package policy

import (
	"log/slog"
	"slices"
	"time"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// Tracing says which calls are traced, and what upstreams learn of the trace.
type Tracing struct {
	// Sample is the share of calls that are traced, 0 to 1; negative: the service's
	// sampler decides.
	Sample float64
	// Propagate is what of the trace goes to the upstream.
	Propagate Propagate
	// KeepSlower keeps the traces of calls that took longer, of streams until the
	// answer's head, though they are not sampled; 0: none for that. KeepFailed keeps
	// those that failed.
	KeepSlower time.Duration
	KeepFailed bool
}

// Propagate is what of a call's trace goes to its upstream.
type Propagate int

// From nothing upward.
const (
	PropagateNone         Propagate = iota
	PropagateTraceContext           // W3C traceparent and tracestate
	PropagateAll                    // W3C baggage too
)

// propagates are the words of the policy file.
var propagates = []string{"none", "trace_context", "all"}

// String is the policy file's word.
func (p Propagate) String() string { return propagates[p] }

// tracing lays in over base.
func tracing(base Tracing, in *policyv1.Trace) Tracing {
	if in == nil {
		return base
	}
	out := Tracing{
		Sample: override(base.Sample, in.Sample), Propagate: base.Propagate,
		KeepSlower: override(base.KeepSlower, duration(in.GetKeepSlower())),
		KeepFailed: override(base.KeepFailed, in.KeepFailed),
	}
	if i := slices.Index(propagates, in.GetPropagate()); i >= 0 {
		out.Propagate = Propagate(i)
	}
	return out
}

// logLevel is info unless in says otherwise.
func logLevel(in *policyv1.Telemetry) slog.Level {
	switch in.GetLogLevel() {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}
