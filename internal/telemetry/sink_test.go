package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	logsv1 "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricsv1 "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// sink is a collector that keeps what it is sent.
type sink struct {
	url string
	tls *tls.Config // nil: plaintext

	// before is called for each export, which fails with what it gives; nil: none does.
	before func(ctx context.Context) error
	// rejected is how many items of each export it says it does not want.
	rejected int64

	mu      sync.Mutex
	headers http.Header // of the last export
	traces  []*trace.ResourceSpans
	metrics []*metrics.ResourceMetrics
	logs    []*logs.ResourceLogs
}

func (s *sink) take(ctx context.Context, header http.Header, keep func()) error {
	if s.before != nil {
		if err := s.before(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.headers = header
	keep()
	return nil
}

func (s *sink) takeTraces(ctx context.Context, h http.Header, in *tracev1.ExportTraceServiceRequest) (*tracev1.ExportTraceServiceResponse, error) {
	err := s.take(ctx, h, func() { s.traces = append(s.traces, in.GetResourceSpans()...) })
	out := &tracev1.ExportTraceServiceResponse{}
	if s.rejected > 0 {
		out.PartialSuccess = &tracev1.ExportTracePartialSuccess{RejectedSpans: s.rejected, ErrorMessage: "some were odd"}
	}
	return out, err
}

func (s *sink) takeMetrics(ctx context.Context, h http.Header, in *metricsv1.ExportMetricsServiceRequest) (*metricsv1.ExportMetricsServiceResponse, error) {
	return &metricsv1.ExportMetricsServiceResponse{}, s.take(ctx, h, func() { s.metrics = append(s.metrics, in.GetResourceMetrics()...) })
}

func (s *sink) takeLogs(ctx context.Context, h http.Header, in *logsv1.ExportLogsServiceRequest) (*logsv1.ExportLogsServiceResponse, error) {
	return &logsv1.ExportLogsServiceResponse{}, s.take(ctx, h, func() { s.logs = append(s.logs, in.GetResourceLogs()...) })
}

// spans are all that came.
func (s *sink) spans() (all []*trace.Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.traces {
		for _, scope := range r.GetScopeSpans() {
			all = append(all, scope.GetSpans()...)
		}
	}
	return all
}

// records are all log records that came.
func (s *sink) records() (all []*logs.LogRecord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.logs {
		for _, scope := range r.GetScopeLogs() {
			all = append(all, scope.GetLogRecords()...)
		}
	}
	return all
}

// metric is the one of that name in what came last; nil: there is none.
func (s *sink) metric(name string) (found *metrics.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.metrics {
		for _, scope := range r.GetScopeMetrics() {
			for _, m := range scope.GetMetrics() {
				if m.GetName() == name {
					found = m
				}
			}
		}
	}
	return found
}

// The three services of OTLP, of which each has a method Export.
type (
	traceService struct {
		tracev1.UnimplementedTraceServiceServer
		*sink
	}
	metricsService struct {
		metricsv1.UnimplementedMetricsServiceServer
		*sink
	}
	logsService struct {
		logsv1.UnimplementedLogsServiceServer
		*sink
	}
)

func (s traceService) Export(ctx context.Context, in *tracev1.ExportTraceServiceRequest) (*tracev1.ExportTraceServiceResponse, error) {
	return s.takeTraces(ctx, grpcHeader(ctx), in)
}

func (s metricsService) Export(ctx context.Context, in *metricsv1.ExportMetricsServiceRequest) (*metricsv1.ExportMetricsServiceResponse, error) {
	return s.takeMetrics(ctx, grpcHeader(ctx), in)
}

func (s logsService) Export(ctx context.Context, in *logsv1.ExportLogsServiceRequest) (*logsv1.ExportLogsServiceResponse, error) {
	return s.takeLogs(ctx, grpcHeader(ctx), in)
}

func grpcHeader(ctx context.Context) http.Header {
	h := http.Header{}
	md, _ := metadata.FromIncomingContext(ctx)
	for k, values := range md {
		for _, v := range values {
			h.Add(k, v)
		}
	}
	return h
}

// serve starts s for a protocol of OTEL_EXPORTER_OTLP_PROTOCOL.
func (s *sink) serve(t testing.TB, protocol string) *sink {
	t.Helper()
	if protocol == "http/protobuf" {
		srv := httptest.NewUnstartedServer(s.mux())
		t.Cleanup(srv.Close)
		srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		if srv.TLS = s.tls; s.tls != nil {
			srv.StartTLS()
		} else {
			srv.Start()
		}
		s.url = srv.URL
		return s
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var options []grpc.ServerOption
	s.url = "http://" + lis.Addr().String()
	if s.tls != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(s.tls)))
		s.url = "https://" + lis.Addr().String()
	}
	srv := grpc.NewServer(options...)
	tracev1.RegisterTraceServiceServer(srv, traceService{sink: s})
	metricsv1.RegisterMetricsServiceServer(srv, metricsService{sink: s})
	logsv1.RegisterLogsServiceServer(srv, logsService{sink: s})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	t.Cleanup(func() { srv.Stop(); <-served })
	return s
}

func (s *sink) mux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", answer(&tracev1.ExportTraceServiceRequest{}, s.takeTraces))
	mux.HandleFunc("POST /v1/metrics", answer(&metricsv1.ExportMetricsServiceRequest{}, s.takeMetrics))
	mux.HandleFunc("POST /v1/logs", answer(&logsv1.ExportLogsServiceRequest{}, s.takeLogs))
	return mux
}

func answer[In, Out proto.Message](kind In, take func(context.Context, http.Header, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		in := proto.Clone(kind).(In)
		if err := read(r, in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out, err := take(r.Context(), r.Header, in)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
		b, _ := proto.Marshal(out)
		_, _ = w.Write(b)
	}
}

func read(r *http.Request, into proto.Message) error {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		plain, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = plain
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	return proto.Unmarshal(b, into)
}

// lines is a log that tests read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *lines) count(words string) int { return bytes.Count([]byte(l.String()), []byte(words)) }

// setup is Setup with these variables in the process, as the exporters need them. The
// test shuts it down, or its end does.
func setup(t testing.TB, variables map[string]string) (*Telemetry, *lines) {
	t.Helper()
	for name, value := range variables {
		t.(interface{ Setenv(string, string) }).Setenv(name, value)
	}
	said := &lines{}
	tel, err := Setup(t.Context(), Config{Version: "v1", Log: slog.New(slog.NewTextHandler(said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = tel.Shutdown(ctx)
	})
	return tel, said
}
