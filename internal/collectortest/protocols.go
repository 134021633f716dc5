package collectortest

import (
	"context"
	"io"
	"net/http"
	"strings"

	logsv1 "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricsv1 "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// The three services of OTLP, of which each has a method Export.
type (
	traceService struct {
		tracev1.UnimplementedTraceServiceServer
		*Collector
	}
	metricsService struct {
		metricsv1.UnimplementedMetricsServiceServer
		*Collector
	}
	logsService struct {
		logsv1.UnimplementedLogsServiceServer
		*Collector
	}
)

func (s traceService) Export(ctx context.Context, in *tracev1.ExportTraceServiceRequest) (*tracev1.ExportTraceServiceResponse, error) {
	return &tracev1.ExportTraceServiceResponse{}, unavailable(s.take(ctx, count(in.GetResourceSpans())))
}

func (s metricsService) Export(ctx context.Context, _ *metricsv1.ExportMetricsServiceRequest) (*metricsv1.ExportMetricsServiceResponse, error) {
	return &metricsv1.ExportMetricsServiceResponse{}, unavailable(s.take(ctx, 0))
}

func (s logsService) Export(ctx context.Context, _ *logsv1.ExportLogsServiceRequest) (*logsv1.ExportLogsServiceResponse, error) {
	return &logsv1.ExportLogsServiceResponse{}, unavailable(s.take(ctx, 0))
}

func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return status.Error(codes.Unavailable, err.Error())
}

func count(all []*trace.ResourceSpans) (n int) {
	for _, r := range all {
		for _, s := range r.GetScopeSpans() {
			n += len(s.GetSpans())
		}
	}
	return n
}

func (c *Collector) overHTTP(w http.ResponseWriter, r *http.Request) {
	spans, err := c.read(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := c.take(r.Context(), spans); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf") // and no bytes: all is well
}

// read gives how many spans r has.
func (c *Collector) read(r *http.Request) (spans int, err error) {
	if c.blind || !strings.HasSuffix(r.URL.Path, "/v1/traces") {
		_, err := io.Copy(io.Discard, r.Body)
		return 0, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, err
	}
	var in tracev1.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &in); err != nil {
		return 0, err
	}
	return count(in.GetResourceSpans()), nil
}
