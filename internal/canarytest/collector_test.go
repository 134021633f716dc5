package canarytest

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	logsv1 "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricsv1 "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// collector takes what a service sends by OTLP, over gRPC or HTTP.
type collector struct {
	// said gets the messages as they were on the wire; nil: none.
	said *evidence
	// refuse answers an export with an error that has these words; nil: all is well.
	refuse func(signal string, h http.Header) (words string)
	url    string

	traces, metrics, logs atomic.Int64
	// states counts the spans that had a tracestate. It is a field of OTLP's own for
	// what a caller sends as such, where W3C Trace Context (section 7) has callers put
	// nothing of the kind: it is no evidence.
	states  atomic.Int64
	mu      sync.Mutex
	headers http.Header // of the last export
}

// take keeps a message; it gives the words to refuse it with.
func (c *collector) take(signal string, count *atomic.Int64, h http.Header, m proto.Message) (refusal string) {
	count.Add(1)
	c.mu.Lock()
	c.headers = h
	c.mu.Unlock()
	if c.said != nil {
		text, _ := proto.Marshal(m)
		c.said.emit("OTLP "+signal, text)
	}
	if c.refuse == nil {
		return ""
	}
	return c.refuse(signal, h)
}

// got is a header of the last export.
func (c *collector) got(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.headers.Get(name)
}

// The three services of OTLP, of which each has a method Export.
type (
	traceService struct {
		tracev1.UnimplementedTraceServiceServer
		*collector
	}
	metricsService struct {
		metricsv1.UnimplementedMetricsServiceServer
		*collector
	}
	logsService struct {
		logsv1.UnimplementedLogsServiceServer
		*collector
	}
)

func (s traceService) Export(ctx context.Context, in *tracev1.ExportTraceServiceRequest) (*tracev1.ExportTraceServiceResponse, error) {
	for _, r := range in.GetResourceSpans() {
		for _, scope := range r.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				if span.GetTraceState() != "" {
					s.states.Add(1)
				}
				span.TraceState = ""
			}
		}
	}
	return &tracev1.ExportTraceServiceResponse{}, refused(s.take("traces", &s.traces, headerOf(ctx), in))
}

func (s metricsService) Export(ctx context.Context, in *metricsv1.ExportMetricsServiceRequest) (*metricsv1.ExportMetricsServiceResponse, error) {
	return &metricsv1.ExportMetricsServiceResponse{}, refused(s.take("metrics", &s.metrics, headerOf(ctx), in))
}

func (s logsService) Export(ctx context.Context, in *logsv1.ExportLogsServiceRequest) (*logsv1.ExportLogsServiceResponse, error) {
	return &logsv1.ExportLogsServiceResponse{}, refused(s.take("logs", &s.logs, headerOf(ctx), in))
}

func headerOf(ctx context.Context) http.Header {
	h := http.Header{}
	md, _ := metadata.FromIncomingContext(ctx)
	for name, values := range md {
		h[http.CanonicalHeaderKey(name)] = values
	}
	return h
}

// byGRPC starts it.
func (c *collector) byGRPC(t *testing.T) *collector {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.MaxRecvMsgSize(1 << 30))
	tracev1.RegisterTraceServiceServer(srv, traceService{collector: c})
	metricsv1.RegisterMetricsServiceServer(srv, metricsService{collector: c})
	logsv1.RegisterLogsServiceServer(srv, logsService{collector: c})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	t.Cleanup(func() {
		srv.Stop()
		<-served
	})
	c.url = "http://" + lis.Addr().String()
	return c
}

// byHTTP starts one that refuses all, in words that its status line and its body have.
func (c *collector) byHTTP(t *testing.T) *collector {
	t.Helper()
	c.url = testpeer.Raw(t, testpeer.EachRequest(func(conn *testpeer.RawConn, r testpeer.Request) {
		h := http.Header{}
		for _, f := range r.Fields {
			h.Add(f.Name, f.Value)
		}
		signal := r.Target[strings.LastIndex(r.Target, "/")+1:]
		count := map[string]*atomic.Int64{"traces": &c.traces, "metrics": &c.metrics, "logs": &c.logs}[signal]
		words := c.take(signal, count, h, nil)
		if strings.HasPrefix(words, "http") {
			conn.Write(testpeer.Response(307, "", "Location: "+words))
			return
		}
		conn.Write(testpeer.Lines("HTTP/1.1 400 "+strings.NewReplacer("\r", " ", "\n", " ").Replace(words), "Connection: close") + words)
		conn.Linger()
	})).URL
	return c
}

// environment sends all signals to c, soon and without a word lost.
func (c *collector) environment(protocol string) []string {
	return []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.url, "OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol,
		"OTEL_BSP_MAX_QUEUE_SIZE=100000", "OTEL_BLRP_MAX_QUEUE_SIZE=100000", "OTEL_BLRP_SCHEDULE_DELAY=200", "OTEL_METRIC_EXPORT_INTERVAL=1000",
	}
}

func refused(words string) error {
	if words == "" {
		return nil
	}
	return status.Error(codes.PermissionDenied, words)
}
