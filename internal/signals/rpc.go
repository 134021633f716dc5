package signals

import (
	"context"
	"net"
	"strconv"
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
	ctx     context.Context // that it began in
	start   time.Time
	begin   Begin
	// Caller is who called, once that is known.
	Caller string

	trace   telemetry.Trace // what Trace points to
	sampled bool
	called  bool // made is of its one call; else it made none, or many
	made    made
}

// made is what an RPC's span says of its call, where that is written.
type made struct {
	attributes []attribute.KeyValue
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
	// Authority gives the host and port that it asked for, from its context; nil: not
	// known.
	Authority func(ctx context.Context) string
	// Call: it makes one call, which counts as such also where it never begins.
	Call bool
	// Header gives the values of a header that it came with, from its context.
	Header func(ctx context.Context, name string) []string
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

// Begin begins an RPC. The context is for what it does. Nil Signals draw ids all the
// same: callers and logs go by them.
func (s *Signals) Begin(ctx context.Context, b Begin) (context.Context, *RPC) {
	var sample telemetry.Sampler
	if s != nil {
		sample = s.sample
	}
	r := &RPC{signals: s, start: time.Now(), begin: b, ctx: ctx}
	r.Trace = &r.trace
	r.Trace.Extract(ctx, b.Header, sample)
	r.Trace.Owner = r
	r.sampled = r.Trace.Sampled
	return telemetry.WithTrace(ctx, r.Trace), r
}

// call notes what the RPC's one call was. Policy may have decided otherwise about its
// trace.
func (r *RPC) call(f *fetch.Finished) {
	r.sampled, r.called = f.Sampled, true
}

// End ends it.
func (r *RPC) End(e End) {
	if r.signals == nil {
		return
	}
	now := time.Now()
	r.signals.meters.rpc(r, e, now.Sub(r.start))
	if !r.called && e.Err != nil { // no call was made of it
		r.signals.meters.refusal(e.Err, "")
		if r.begin.Call {
			r.signals.meters.outcome(r.Caller, "", string(e.Err.Kind))
		}
	}
	why := ""
	switch {
	case !r.signals.tracing:
		return
	case r.Trace.Kept(): // its calls were counted, and say why
	case r.sampled:
		why = keptSampled
	case !r.called && e.Err != nil && e.Err.Kind != fault.Cancelled && r.signals.tracingOf().KeepFailed:
		why = r.signals.late(keptFailed, refused(e.Err.Kind))
	}
	if why == "" && !r.Trace.Kept() {
		return
	}
	if why != "" {
		r.signals.meters.kept(why)
	}
	r.signals.sink.Emit(r.span(e, now, why))
}

// Refused tells of an item of a batch that never came to the engine. ctx has its
// Trace.
func (s *Signals) Refused(ctx context.Context, caller string, item int, start time.Time, err *fault.Error) {
	if s == nil {
		return
	}
	s.meters.refusal(err, "")
	s.meters.outcome(caller, "", string(err.Kind))
	f := &fetch.Finished{
		Request: &fetch.Request{Caller: caller, Item: item}, Response: &fetch.Response{Elapsed: time.Since(start)},
		Err: err, Start: start, Trace: telemetry.TraceFrom(ctx), Tracing: s.tracingOf(),
	}
	f.Sampled = f.Trace.Sampled
	if why := s.keeps(f); why != "" {
		s.write(f, nil, why)
		s.meters.kept(why)
	}
}

// span is the RPC's own; kept is why, empty where its call says it.
func (r *RPC) span(e End, now time.Time, kept string) telemetry.Span {
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
	if r.begin.Authority != nil {
		a = appendAuthority(a, r.begin.Authority(r.ctx))
	}
	a = appendNonEmpty(a, telemetry.Caller, r.Caller)
	a = append(appendNonEmpty(a, telemetry.Kept, kept), r.made.attributes...)
	out.Events = r.made.events
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

// appendAuthority tells the server's address as the client has it.
func appendAuthority(a []attribute.KeyValue, authority string) []attribute.KeyValue {
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		return appendNonEmpty(a, telemetry.ServerAddress, clip(authority))
	}
	a = appendNonEmpty(a, telemetry.ServerAddress, clip(host))
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		a = append(a, telemetry.ServerPort.Int(int(n)))
	}
	return a
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
