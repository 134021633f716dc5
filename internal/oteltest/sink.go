package oteltest

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	collectorlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // as OTEL_EXPORTER_OTLP_COMPRESSION may have it
)

// Sink is a collector that keeps what it is sent. It speaks OTLP over gRPC, without
// TLS, until the test ends. Safe for concurrent use.
type Sink struct {
	// URL is for OTEL_EXPORTER_OTLP_ENDPOINT.
	URL string

	mu        sync.Mutex
	resources []*resource.Resource
	spans     []*trace.Span
	metrics   map[string]*metrics.Metric // as each came last
	records   []*logs.LogRecord
}

// NewSink starts one.
func NewSink(t testing.TB) *Sink {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("oteltest: listen: %v", err)
	}
	s := &Sink{URL: "http://" + lis.Addr().String(), metrics: map[string]*metrics.Metric{}}
	srv := grpc.NewServer()
	collectortrace.RegisterTraceServiceServer(srv, traceService{sink: s})
	collectormetrics.RegisterMetricsServiceServer(srv, metricsService{sink: s})
	collectorlogs.RegisterLogsServiceServer(srv, logsService{sink: s})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	t.Cleanup(func() {
		srv.Stop()
		<-served
	})
	return s
}

// Spans are all that came.
func (s *Sink) Spans() []*trace.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.spans)
}

// Metrics are those that came, each as it came last, by name. They count from the start
// of the service.
func (s *Sink) Metrics() []*metrics.Metric {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.metrics), func(a, b *metrics.Metric) int { return strings.Compare(a.GetName(), b.GetName()) })
}

// Records are all log records that came.
func (s *Sink) Records() []*logs.LogRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

// Resources are what the exports said of their sender, one for each.
func (s *Sink) Resources() []*resource.Resource {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.resources)
}

// The three services of OTLP, of which each has a method Export.
type (
	traceService struct {
		collectortrace.UnimplementedTraceServiceServer
		sink *Sink
	}
	metricsService struct {
		collectormetrics.UnimplementedMetricsServiceServer
		sink *Sink
	}
	logsService struct {
		collectorlogs.UnimplementedLogsServiceServer
		sink *Sink
	}
)

// Export implements collectortrace.TraceServiceServer.
func (s traceService) Export(_ context.Context, in *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	for _, of := range in.GetResourceSpans() {
		s.sink.resources = append(s.sink.resources, of.GetResource())
		for _, scope := range of.GetScopeSpans() {
			s.sink.spans = append(s.sink.spans, scope.GetSpans()...)
		}
	}
	return &collectortrace.ExportTraceServiceResponse{}, nil
}

// Export implements collectormetrics.MetricsServiceServer.
func (s metricsService) Export(_ context.Context, in *collectormetrics.ExportMetricsServiceRequest) (*collectormetrics.ExportMetricsServiceResponse, error) {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	for _, of := range in.GetResourceMetrics() {
		s.sink.resources = append(s.sink.resources, of.GetResource())
		for _, scope := range of.GetScopeMetrics() {
			for _, m := range scope.GetMetrics() {
				s.sink.metrics[m.GetName()] = m
			}
		}
	}
	return &collectormetrics.ExportMetricsServiceResponse{}, nil
}

// Export implements collectorlogs.LogsServiceServer.
func (s logsService) Export(_ context.Context, in *collectorlogs.ExportLogsServiceRequest) (*collectorlogs.ExportLogsServiceResponse, error) {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	for _, of := range in.GetResourceLogs() {
		s.sink.resources = append(s.sink.resources, of.GetResource())
		for _, scope := range of.GetScopeLogs() {
			s.sink.records = append(s.sink.records, scope.GetLogRecords()...)
		}
	}
	return &collectorlogs.ExportLogsServiceResponse{}, nil
}
