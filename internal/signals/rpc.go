package signals

import (
	"context"
	"net"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// RPC is one on its way. One goroutine at a time has it.
type RPC struct {
	// Trace is where its calls belong.
	Trace *telemetry.Trace

	signals *Signals
	start   time.Time
	begin   Begin
	// Caller is who called, once that is known.
	Caller string

	sampled bool
	made    *made // what is known of its one call; nil: it made none, or many
}

// made is what an RPC's span says of its call.
type made struct {
	upstream   string
	generation int64
	events     []telemetry.Event
}

// Begin is what is known of an RPC when it begins.
type Begin struct {
	// Method is its full name, without the slash before it; Known says that there is
	// such a one.
	Method string
	Known  bool
	// Door is `grpc` or `rest`.
	Door string
	// Peer is where it came from; nil: not known.
	Peer net.Addr
	// Call: it makes one call, which counts as such also where it never begins.
	Call bool
	// Header gives the values of a header that it came with.
	Header func(name string) []string
}

// End is how an RPC ended.
type End struct {
	// Code is the name of its gRPC status, and Broken says that it is one by which the
	// conventions hold the service at fault.
	Code   string
	Broken bool
	// Err is why it failed, and Source on whose side; nil: it did not.
	Err    *fault.Error
	Source string
}

type rpcKey struct{}

// Begin begins an RPC. The context is for what it does. Nil Signals draw ids all the
// same: callers and logs go by them.
func (s *Signals) Begin(ctx context.Context, b Begin) (context.Context, *RPC) {
	var sample telemetry.Sampler
	if s != nil {
		sample = s.sink.Sample
	}
	r := &RPC{signals: s, start: time.Now(), begin: b, Trace: telemetry.Extract(b.Header, sample)}
	r.sampled = r.Trace.Sampled
	ctx = telemetry.WithTrace(ctx, r.Trace)
	if s == nil {
		return ctx, r
	}
	return context.WithValue(ctx, rpcKey{}, r), r
}

func rpcFrom(ctx context.Context) *RPC {
	r, _ := ctx.Value(rpcKey{}).(*RPC)
	return r
}

// call notes what the RPC's one call was. Policy may have decided otherwise about its
// trace.
func (r *RPC) call(f *fetch.Finished) {
	r.sampled = f.Sampled
	if r.made == nil {
		r.made = &made{}
	}
	r.made.upstream, r.made.generation = f.Upstream, f.Generation
}

// End ends it.
func (r *RPC) End(e End) {
	if r.signals == nil {
		return
	}
	now := time.Now()
	r.signals.meters.rpc(r, e, now.Sub(r.start))
	if r.made == nil && e.Err != nil { // no call was made of it
		r.signals.meters.refusal(e.Err, "")
		if r.begin.Call {
			r.signals.meters.outcome(r.Caller, "", string(e.Err.Kind))
		}
	}
	switch {
	case !r.signals.tracing:
		return
	case r.Trace.Kept(), r.sampled:
	case r.made == nil && e.Err != nil && e.Err.Kind != fault.Cancelled && r.signals.late(keptFailed, refused(e.Err.Kind)) != "":
	default:
		return
	}
	r.signals.sink.Emit(r.span(e, now))
}

// Refused tells of an item of a batch that never came to the engine. ctx has its
// Trace.
func (s *Signals) Refused(ctx context.Context, caller string, item int, start time.Time, err *fault.Error) {
	if s == nil {
		return
	}
	s.meters.refusal(err, "")
	s.meters.outcome(caller, "", string(err.Kind))
	if t := telemetry.TraceFrom(ctx); s.tracing && t.Sampled {
		t.Keep()
		s.sink.Emit(callSpan(&fetch.Finished{
			Request: &fetch.Request{Caller: caller, Item: item}, Response: &fetch.Response{Elapsed: time.Since(start)},
			Err: err, Start: start, Trace: t,
		}))
	}
}

// span is the RPC's own.
func (r *RPC) span(e End, now time.Time) telemetry.Span {
	t := r.Trace
	out := telemetry.Span{
		Trace: t.ID, ID: t.Span, Parent: t.Parent, Remote: t.Remote, State: t.State,
		Name: r.method(), Kind: trace.SpanKindServer, Start: r.start, End: now,
	}
	if !r.begin.Known {
		out.Name = "grpc" // as the conventions want it: rpc.system.name
	}
	a := append(make([]attribute.KeyValue, 0, 16),
		telemetry.RPCSystemName.String("grpc"), telemetry.RPCMethod.String(r.method()),
		telemetry.RPCStatusCode.String(e.Code), telemetry.Door.String(r.begin.Door),
		telemetry.Outcome.String(outcome(e.Err)),
	)
	if !r.begin.Known {
		a = append(a, telemetry.RPCMethodOriginal.String(clip(r.begin.Method)))
	}
	a = appendPeer(a, r.begin.Peer)
	a = appendNonEmpty(a, telemetry.Caller, r.Caller)
	if m := r.made; m != nil {
		a = appendNonEmpty(a, telemetry.Upstream, m.upstream)
		a = append(a, telemetry.PolicyGeneration.Int64(m.generation))
		out.Events = m.events
	}
	if e.Err != nil {
		a = append(a, telemetry.Source.String(e.Source))
		a = appendNonEmpty(a, telemetry.Rule, e.Err.RefusedBy())
		a = append(a, telemetry.Reason.String(words(e.Err)))
	}
	if e.Broken {
		a = append(a, telemetry.ErrorType.String(e.Code)) // the kind is the outcome
		out.Status, out.Description = codes.Error, words(e.Err)
	}
	out.Attributes = a
	return out
}

// method is its name, or a word for all that there is none of.
func (r *RPC) method() string {
	if r.begin.Known {
		return r.begin.Method
	}
	return telemetry.Other
}

func appendPeer(a []attribute.KeyValue, peer net.Addr) []attribute.KeyValue {
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return a
	}
	at := tcp.AddrPort().Addr().Unmap().String()
	return append(a, telemetry.ClientAddress.String(at), telemetry.NetworkPeerAddress.String(at), telemetry.NetworkPeerPort.Int(tcp.Port))
}

func appendNonEmpty(a []attribute.KeyValue, key attribute.Key, value string) []attribute.KeyValue {
	if value == "" {
		return a
	}
	return append(a, key.String(value))
}
