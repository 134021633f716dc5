package server

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestSpans: one server span a call under the caller's trace, one client span an
// attempt, redirects counted as resends.
func TestSpans(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	tracer := provider.Tracer("test")
	snapshot, err := policy.Parse("test", []byte("upstreams: [{name: local, hosts: [\"127.0.0.1:*\"], schemes: [http], unsafe_allow_addresses: [127.0.0.1]}]"), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pools := egress.NewPools(egress.Config{})
	defer pools.Close()
	engine := fetch.New(fetch.Config{Pools: pools, UserAgent: "test"})
	engine.Use(snapshot)
	shared, err := newInterceptors(Config{Tracer: tracer})
	if err != nil {
		t.Fatal(err)
	}
	svc := &fetchService{engine: engine, tracer: tracer}
	call := func(url string) {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
		_, _ = shared.unary(ctx, &fetchsvcv1.FetchRequest{Url: url}, &grpc.UnaryServerInfo{FullMethod: "/fetchsvc.v1.FetchService/Fetch"},
			func(ctx context.Context, req any) (any, error) { return svc.Fetch(ctx, req.(*fetchsvcv1.FetchRequest)) })
	}
	call(testpeer.Raw(t, testpeer.RedirectChain(302, 1)).URL + "/?token=s3cr3t")
	spans := recorder.Ended()
	if len(spans) != 3 {
		t.Fatalf("got %d spans, want 3", len(spans))
	}
	first, second, server := spans[0], spans[1], spans[2]
	if server.SpanKind() != trace.SpanKindServer || server.Parent().TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("the server span is %v under %v", server.SpanKind(), server.Parent())
	}
	for i, s := range []sdktrace.ReadOnlySpan{first, second} {
		if s.Name() != "GET" || s.SpanKind() != trace.SpanKindClient || s.Parent().SpanID() != server.SpanContext().SpanID() {
			t.Errorf("attempt %d is %s, %v, under %v", i, s.Name(), s.SpanKind(), s.Parent().SpanID())
		}
		if !s.EndTime().After(s.StartTime()) {
			t.Errorf("attempt %d took no time", i)
		}
	}
	if v, ok := attr(first, "http.request.resend_count"); ok {
		t.Errorf("the first attempt has a resend count of %v", v.AsInt64())
	}
	if v, _ := attr(second, "http.request.resend_count"); v.AsInt64() != 1 {
		t.Errorf("the second attempt's resend count is %v", v.AsInt64())
	}
	if v, _ := attr(first, "url.full"); v.AsString() == "" || strings.Contains(v.AsString(), "s3cr3t") {
		t.Errorf("url.full is %q", v.AsString())
	}
	recorder.Reset()
	call("http://" + testpeer.ClosedPort(t) + "/")
	spans = recorder.Ended()
	if len(spans) != 2 || spans[0].Status().Code != otelcodes.Error || spans[1].Status().Code != otelcodes.Error {
		t.Errorf("a refused call gives %v", spans)
	}
	if v, _ := attr(spans[0], "error.type"); v.AsString() != "CONNECTION_REFUSED" {
		t.Errorf("error.type is %q", v.AsString())
	}
}

func attr(s sdktrace.ReadOnlySpan, key attribute.Key) (attribute.Value, bool) {
	for _, kv := range s.Attributes() {
		if kv.Key == key {
			return kv.Value, true
		}
	}
	return attribute.Value{}, false
}
