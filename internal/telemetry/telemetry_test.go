package telemetry

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

func TestTracesWanted(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want bool
		fail bool
	}{
		"nothing asked":   {},
		"endpoint":        {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, want: true},
		"traces endpoint": {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"}, want: true},
		"exporter":        {env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, want: true},
		"none wins":       {env: map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}},
		"disabled wins":   {env: map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}},
		"unknown":         {env: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, fail: true},
	} {
		got, err := tracesWanted(func(key string) string { return c.env[key] })
		if got != c.want || (err != nil) != c.fail {
			t.Errorf("%s: %v, %v; want %v, an error %v", name, got, err, c.want, c.fail)
		}
	}
}

func TestSetupOff(t *testing.T) {
	t.Setenv("OTEL_SDK_DISABLED", "true")
	tel, err := Setup(t.Context(), "v", slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil || tel.Tracer() != nil {
		t.Errorf("Setup gives tracer %v, %v; want none", tel.Tracer(), err)
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSetupRefusesAnUnknownProtocol(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
	if _, err := Setup(t.Context(), "v", slog.New(slog.NewTextHandler(io.Discard, nil))); err == nil {
		t.Error("Setup accepts http/json")
	}
}

// sink is a collector that keeps what it is sent.
type sink struct {
	collectorv1.UnimplementedTraceServiceServer
	got chan *collectorv1.ExportTraceServiceRequest
}

func (s *sink) Export(_ context.Context, in *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	s.got <- in
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

func TestSpansReachACollector(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{got: make(chan *collectorv1.ExportTraceServiceRequest, 1)}
	srv := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(srv, s)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	defer func() { srv.Stop(); <-served }()

	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+lis.Addr().String())
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	tel, err := Setup(t.Context(), "v1", slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, span := tel.Tracer().Start(t.Context(), "GET")
	span.End()
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	in := <-s.got
	res := in.GetResourceSpans()[0]
	if name := res.GetScopeSpans()[0].GetSpans()[0].GetName(); name != "GET" {
		t.Errorf("the span is %q, want GET", name)
	}
	for _, want := range []string{"service.name", "service.version", "deployment.environment.name"} {
		found := false
		for _, kv := range res.GetResource().GetAttributes() {
			found = found || kv.GetKey() == want
		}
		if !found {
			t.Errorf("the resource has no %s", want)
		}
	}
}
