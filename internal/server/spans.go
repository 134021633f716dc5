package server

import (
	"context"
	"net/netip"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// startSpan begins the server span of an RPC, under the caller's trace context.
func startSpan(ctx context.Context, tracer trace.Tracer, fullMethod string) (context.Context, trace.Span) {
	md, _ := metadata.FromIncomingContext(ctx)
	ctx = telemetry.Propagator().Extract(ctx, carrier(md))
	name := clip(strings.TrimPrefix(fullMethod, "/"), 128) // unknown ones are what callers make up
	door := "grpc"
	if doorOf(ctx) == restDoor {
		door = "rest"
	}
	return tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		telemetry.RPCSystemName.String("grpc"), telemetry.RPCMethod.String(name),
		telemetry.Door.String(door)))
}

// endSpan ends it. By the RPC conventions only what is the server's own fault
// makes a server span an error.
func endSpan(span trace.Span, err error) {
	code := "OK"
	if err != nil {
		f := asFailure(err).fault
		code = codeNames[codeOf(f)]
		span.SetAttributes(telemetry.ErrorType.String(string(f.Kind)))
		switch codeOf(f) {
		case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
			span.SetStatus(otelcodes.Error, f.Message)
		}
	}
	span.SetAttributes(telemetry.RPCStatusCode.String(code))
	span.End()
}

// attemptSpans writes one client span for each line of the ledger, after the
// fact: an unsampled call pays nothing for them.
func attemptSpans(ctx context.Context, tracer trace.Tracer, res *fetch.Response) {
	if tracer == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	for i, a := range res.Attempts {
		attrs := attemptAttributes(a)
		if i > 0 {
			attrs = append(attrs, telemetry.HTTPResendCount.Int(i))
		}
		name := a.Method
		if !telemetry.KnownMethod(name) {
			name = "HTTP"
		}
		_, span := tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient),
			trace.WithTimestamp(a.Start), trace.WithAttributes(attrs...))
		switch {
		case a.Err != nil:
			span.SetAttributes(telemetry.ErrorType.String(string(a.Err.Kind)))
			if a.Err.Kind != fault.Cancelled {
				span.SetStatus(otelcodes.Error, a.Err.Message)
			}
		case a.Status >= 400:
			span.SetAttributes(telemetry.ErrorType.Int(a.Status))
			span.SetStatus(otelcodes.Error, "")
		}
		span.End(trace.WithTimestamp(a.Start.Add(a.Timings.Total)))
	}
}

// spanURL is where an attempt went. A query that an upstream's redirect made may have
// in it what the caller had confided to that upstream, under any name.
func spanURL(a *fetch.Attempt) string {
	if a.Hop > 0 {
		return a.URL.Place()
	}
	return a.URL.Redacted()
}

func attemptAttributes(a *fetch.Attempt) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		telemetry.URLFull.String(spanURL(a)),
		telemetry.ServerAddress.String(a.URL.Host.Name), telemetry.ServerPort.Int(int(a.URL.Port)),
		telemetry.Upstream.String(a.Upstream), telemetry.AttemptHop.Int(a.Hop),
		telemetry.AttemptReason.String(strings.ToLower(reasons[a.Reason].String())), telemetry.AttemptWire.String(a.Wire.String()),
	}
	if telemetry.KnownMethod(a.Method) {
		attrs = append(attrs, telemetry.HTTPRequestMethod.String(a.Method))
	} else {
		attrs = append(attrs, telemetry.HTTPRequestMethod.String(telemetry.MethodOther), telemetry.HTTPRequestMethodOriginal.String(a.Method))
	}
	if a.Status != 0 {
		attrs = append(attrs, telemetry.HTTPResponseStatusCode.Int(a.Status))
	}
	if a.Proto != "" {
		attrs = append(attrs, telemetry.NetworkProtocolVersion.String(a.Proto))
	}
	if peer, err := netip.ParseAddrPort(a.Address); err == nil {
		attrs = append(attrs, telemetry.NetworkPeerAddress.String(peer.Addr().String()), telemetry.NetworkPeerPort.Int(int(peer.Port())))
	}
	return attrs
}

// carrier reads trace context from gRPC metadata, where the REST door put it too.
type carrier metadata.MD

func (c carrier) Get(key string) string {
	if v := metadata.MD(c).Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

// Set is never called: this side only reads.
func (carrier) Set(string, string) {}

func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	return keys
}
