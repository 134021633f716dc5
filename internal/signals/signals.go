// Package signals tells telemetry of what happened: finished calls and RPCs become
// spans and metrics here.
//
// Spans are built once a call is over, from its ledger, and only if they are kept: a
// call that nobody will look at pays for ids alone. Metrics have the words of policy as
// labels; of what callers and upstreams can invent, such as ports and statuses, they have
// a bounded number.
package signals

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// Sink is where spans go. *telemetry.Telemetry is one.
type Sink interface {
	// Tracing says whether spans go anywhere.
	Tracing() bool
	// Emit takes a span that is over.
	Emit(telemetry.Span)
	// Sample decides about a trace that begins.
	Sample(id trace.TraceID, parent, sampled bool) bool
}

// Config is what Signals are made of.
type Config struct {
	// Sink gets the spans. Required.
	Sink Sink
	// Meter makes the instruments. Required; it may be one that does nothing.
	Meter metric.Meter
	// Tracing is what policy says at the moment of calls that no upstream has; nil:
	// failed ones are kept.
	Tracing func() policy.Tracing
	// Now is the clock that bounds how many traces are kept. Default: time.Now.
	Now func() time.Time
}

// Signals tells telemetry of calls and RPCs. Safe for concurrent use. The nil one
// tells nobody.
type Signals struct {
	sink    Sink
	meters  *meters
	tail    tail
	tracing bool
	sample  telemetry.Sampler
	// tracingOf calls that no upstream has.
	tracingOf func() policy.Tracing
}

// New makes Signals.
func New(cfg Config) (*Signals, error) {
	m, err := newMeters(cfg.Meter)
	if err != nil {
		return nil, err
	}
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	if cfg.Tracing == nil {
		cfg.Tracing = func() policy.Tracing { return policy.Tracing{KeepFailed: true} }
	}
	return &Signals{sink: cfg.Sink, meters: m, tail: newTail(now), tracing: cfg.Sink.Tracing(), sample: cfg.Sink.Sample, tracingOf: cfg.Tracing}, nil
}

// Finished observes a call that is over.
func (s *Signals) Finished(_ context.Context, f *fetch.Finished) {
	if s == nil {
		return
	}
	rpc, _ := f.Trace.Owner.(*RPC) // an item of a batch has none: it has a span of its own
	kept := s.keeps(f)
	if kept != "" {
		s.write(f, rpc, kept)
		s.meters.kept(kept)
	}
	if rpc != nil {
		rpc.call(f)
	}
	s.meters.call(f, kept != "")
}

// Use says which policy is in force: what was counted of upstreams that it does not have
// is forgotten.
func (s *Signals) Use(p *policy.Snapshot) {
	keep := map[string]bool{}
	for _, up := range slices.Concat(p.Upstreams, p.System()) {
		keep[up.Name] = true
	}
	s.meters.calls.prune(keep)
	s.meters.attempts.prune(keep)
	s.meters.uses.prune(keep)
}

// keeps says why the spans of a call are written; empty: they are not.
func (s *Signals) keeps(f *fetch.Finished) string {
	switch {
	case !s.tracing:
		return ""
	case f.Sampled:
		return keptSampled
	case f.Tracing.KeepFailed && failed(f):
		return s.late(keptFailed, f.Err != nil && refused(f.Err.Kind))
	case f.Tracing.KeepSlower > 0 && headTime(f) > f.Tracing.KeepSlower:
		return s.late(keptSlow, false)
	}
	return ""
}

// late is the decision to keep what was not sampled, within its bounds.
func (s *Signals) late(why string, refusal bool) string {
	if !s.tail.admit(refusal) {
		s.meters.dropped()
		return ""
	}
	return why
}

// Why a trace is kept.
const (
	keptSampled = "sampled"
	keptFailed  = "failed"
	keptSlow    = "slow"
)

// failed says that a call came to nothing, for which its caller is not to blame.
func failed(f *fetch.Finished) bool {
	if f.Err != nil {
		return f.Err.Kind != fault.Cancelled
	}
	return f.Response.Status >= 500
}

// headTime is how long the caller waited for something to come.
func headTime(f *fetch.Finished) time.Duration {
	if f.Streamed && !f.Head.IsZero() {
		return f.Head.Sub(f.Start)
	}
	return f.Response.Elapsed
}

// refused says that a failure of kind k is a refusal: those who bring it about can do
// so as often as they like.
func refused(k fault.Kind) bool {
	switch k {
	case fault.InvalidRequest, fault.RequestTooLarge, fault.NotFound, fault.MethodNotAllowed, fault.Unimplemented:
		return true
	}
	return k.Denial()
}

// outcome is a word for how a call ended.
func outcome(err *fault.Error) string {
	if err == nil {
		return telemetry.Answered
	}
	return string(err.Kind)
}
