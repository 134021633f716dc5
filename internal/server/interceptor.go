package server

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"

	"buf.build/go/protovalidate"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/identity"
	"github.com/fetchsvc/fetchsvc/internal/signals"
)

// interceptors are what every RPC runs through, whichever door it came by,
// outermost first: take the proof away, trace, recover, give errors their kind,
// find out who calls, hold the caller to its limits, check the message.
type interceptors struct {
	log       *slog.Logger
	signals   *signals.Signals // nil: nobody is told
	methods   map[string]bool  // what there is, with the slash before it
	verifier  Verifier         // nil: everyone is anonymous
	tls       *TLS             // nil: there are no client certificates
	engine    *fetch.Engine
	validator protovalidate.Validator
	loopToken string // empty: nothing comes back
	refused   refusals
	limits    *callerLimits // nil: there are none
}

func newInterceptors(cfg Config) (*interceptors, error) {
	v, err := protovalidate.New(protovalidate.WithMessages(
		&fetchsvcv1.FetchRequest{}, &fetchsvcv1.StreamRequest{}, &fetchsvcv1.FetchBatchRequest{},
		&fetchsvcv1.ExplainRequest{}, &fetchsvcv1.ListUpstreamsRequest{}, &fetchsvcv1.GetSnapshotRequest{},
	))
	if err != nil {
		return nil, err
	}
	i := &interceptors{log: cfg.Log, signals: cfg.Signals, verifier: cfg.Verifier, tls: cfg.TLS, engine: cfg.Engine, refused: cfg.Refused, loopToken: cfg.LoopToken, validator: v}
	if cfg.Engine != nil {
		i.limits = newCallerLimits(cfg.Engine.Snapshot)
	}
	return i, nil
}

// unary runs one unary RPC.
func (i *interceptors) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (res any, err error) {
	err = i.around(ctx, info.FullMethod, func(ctx context.Context) (err error) {
		if err := i.check(req); err != nil {
			return err
		}
		res, err = handler(ctx, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

// stream runs one streaming RPC; every message it receives is checked.
func (i *interceptors) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return i.around(ss.Context(), info.FullMethod, func(ctx context.Context) error {
		return handler(srv, checkedStream{ss, i, ctx})
	})
}

// around is what both have in common.
func (i *interceptors) around(ctx context.Context, method string, run func(context.Context) error) (err error) {
	ctx, given := takeMetadata(ctx)
	var rpc *signals.RPC
	if !open(method) { // a load balancer's question is no news
		ctx, rpc = i.begin(ctx, method)
		defer func() { end(rpc, err) }()
	}
	defer func() {
		if p := recover(); p != nil {
			err = i.panicked(ctx, method, p)
			i.refused.tell(ctx, method, err)
		}
	}()
	if i.loopsBack(ctx) {
		return i.leave(ctx, method, errLoop)
	}
	if open(method) {
		ctx = withCaller(ctx, identity.Identity{Caller: anonymous})
	} else if ctx, err = i.identify(ctx, given); err != nil {
		return i.leave(ctx, method, err)
	}
	callerOf(ctx).rpc = method[1:]
	if !open(method) {
		rpc.Caller = callerOf(ctx).name
		seat, err := i.limits.enter(callerOf(ctx), method)
		if err != nil {
			return i.leave(ctx, method, err)
		}
		defer seat.leave()
	}
	if err := run(ctx); err != nil {
		return i.leave(ctx, method, err)
	}
	return nil
}

type checkedStream struct {
	grpc.ServerStream
	i   *interceptors
	ctx context.Context
}

func (s checkedStream) Context() context.Context { return s.ctx }

func (s checkedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return s.i.check(m)
}

// leave gives an error its kind on its way out, and logs defects: the caller is
// told of them without their cause.
func (i *interceptors) leave(ctx context.Context, method string, err error) error {
	f := asFailure(err).in(ctx)
	i.refused.tell(ctx, method, f)
	if f.fault.Kind == fault.Internal {
		i.log.ErrorContext(ctx, "internal error", "rpc.method", method, "error", f.Error())
	}
	return f
}

// panicked turns a panic into one answer and one log line.
func (i *interceptors) panicked(ctx context.Context, method string, p any) error {
	i.log.ErrorContext(ctx, "panic", "rpc.method", method, "panic", p, "stack", string(debug.Stack()))
	return asFailure(fault.New(fault.Internal, "an unexpected failure inside fetchsvc; the log has the details"))
}

// check holds the constraints that the API's messages state.
func (i *interceptors) check(req any) error {
	msg, ok := req.(proto.Message)
	if !ok {
		return nil
	}
	err := i.validator.Validate(msg)
	var invalid *protovalidate.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	violations := make([]fault.Violation, len(invalid.Violations))
	for n, v := range invalid.Violations {
		violations[n] = fault.Violation{
			Field:  protovalidate.FieldPathString(v.Proto.GetField()),
			Reason: v.Proto.GetMessage(),
		}
		if violations[n].Field == "" {
			violations[n].Field = string(msg.ProtoReflect().Descriptor().Name())
		}
	}
	return fault.InvalidAll(violations)
}
