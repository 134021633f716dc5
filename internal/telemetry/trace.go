package telemetry

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Trace is where an RPC, an item of a batch or a call of our own stands in a trace
// (W3C Trace Context). Every one has a Trace, also where nothing is exported: the
// ids go into the audit line, and to upstreams where policy says so. Its span is
// written when it is over, if it is kept. Safe for concurrent use.
type Trace struct {
	// ID is the caller's, else one of our own.
	ID trace.TraceID
	// Span is the one that spans begun under the Trace are children of.
	Span trace.SpanID
	// Parent is what Span is a child of; zero: it is a root. Remote says that another
	// process has it.
	Parent trace.SpanID
	Remote bool
	// State is the caller's tracestate, and Baggage its baggage, as they came.
	State, Baggage string
	// Sampled is the decision made when the Trace began.
	Sampled bool
	// Links are what caused it without being its parent.
	Links []trace.Link
	// Owner is whose Trace it is, for whoever made it to find again; nil: nobody's. A
	// child has none.
	Owner any

	above *Trace      // whose Child it is; nil: nobody's
	begun atomic.Bool // its own span was taken by a call: see Begin
	kept  atomic.Bool
}

// NewTrace begins a trace of our own.
func NewTrace() *Trace { return &Trace{ID: newTraceID(), Span: NewSpanID()} }

// Child gives the Trace of a part of t: the same trace, another span.
func (t *Trace) Child() *Trace {
	return &Trace{above: t, ID: t.ID, Span: NewSpanID(), Parent: t.Span, State: t.State, Baggage: t.Baggage, Sampled: t.Sampled}
}

// Begin says that the work which t was made for begins: the first to ask has t
// itself, each other one a child of it.
func (t *Trace) Begin() *Trace {
	if t.begun.CompareAndSwap(false, true) {
		return t
	}
	return t.Child()
}

// Keep says that spans of t are written, so that those above them have to be too.
func (t *Trace) Keep() {
	for ; t != nil; t = t.above {
		t.kept.Store(true)
	}
}

// Kept says whether any are.
func (t *Trace) Kept() bool { return t.kept.Load() }

// Context is t's span as OpenTelemetry's API has it; invalid if t is nil.
func (t *Trace) Context() trace.SpanContext {
	if t == nil {
		return trace.SpanContext{}
	}
	var flags trace.TraceFlags
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: t.ID, SpanID: t.Span, TraceFlags: flags.WithSampled(t.Sampled || t.Kept())})
}

type traceKey struct{}

// WithTrace gives a context whose calls belong to t.
func WithTrace(ctx context.Context, t *Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, t)
}

// TraceFrom gives the Trace that ctx belongs to; nil: none.
func TraceFrom(ctx context.Context) *Trace {
	t, _ := ctx.Value(traceKey{}).(*Trace)
	return t
}

// Detached begins a trace for work that outlives the call it began in, such as a
// token request that others wait for too: a link leads from it to cause, nil where
// no call did. The SpanContext is the span of the work, for those who wait for it to
// link to.
func Detached(ctx context.Context, cause *Trace) (context.Context, trace.SpanContext) {
	t := NewTrace()
	if cause != nil {
		t.Sampled = cause.Sampled
		t.Links = []trace.Link{{SpanContext: cause.Context()}}
	}
	return WithTrace(ctx, t), t.Context()
}

// NewSpanID draws an id, never zero.
func NewSpanID() (id trace.SpanID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}

func newTraceID() (id trace.TraceID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:8], rand.Uint64())
		binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id
}

// Span is one that is over. See Telemetry.Emit.
type Span struct {
	Trace trace.TraceID
	ID    trace.SpanID
	// Parent is zero for a root; Remote says that another process has it.
	Parent     trace.SpanID
	Remote     bool
	State      string // tracestate
	Name       string
	Kind       trace.SpanKind
	Start, End time.Time
	Attributes []attribute.KeyValue
	Events     []Event
	Links      []trace.Link
	// Status is codes.Error with a Description, or codes.Unset.
	Status      codes.Code
	Description string
}

// Event is something that happened within a Span.
type Event struct {
	Name       string
	Time       time.Time
	Attributes []attribute.KeyValue
}
