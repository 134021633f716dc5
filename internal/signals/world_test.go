package signals

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// world is Signals with a sink and a reader of their own, at a time that stands still.
type world struct {
	*Signals
	reader *sdkmetric.ManualReader
	now    time.Time

	tracing, sample bool
	mu              sync.Mutex
	spans           []telemetry.Span
}

func (w *world) Tracing() bool                         { return w.tracing }
func (w *world) Sample(trace.TraceID, bool, bool) bool { return w.sample }
func (w *world) Emit(s telemetry.Span) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spans = append(w.spans, s)
}

func newWorld(t testing.TB, tracing, sample bool) *world {
	t.Helper()
	w := &world{reader: sdkmetric.NewManualReader(), now: time.Unix(1_700_000_000, 0), tracing: tracing, sample: sample}
	s, err := New(Config{Sink: w, Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader), sdkmetric.WithCardinalityLimit(telemetry.MaxSeries)).Meter("test"), Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	w.Signals = s
	return w
}

// sum is a counter's over the points that have these attributes.
func (w *world) sum(t testing.TB, name string, having ...attribute.KeyValue) (n int64) {
	t.Helper()
	for _, m := range w.collect(t) {
		data, ok := m.Data.(metricdata.Sum[int64])
		if !ok || m.Name != name {
			continue
		}
		for _, p := range data.DataPoints {
			if has(p.Attributes, having) {
				n += p.Value
			}
		}
	}
	return n
}

func (w *world) collect(t testing.TB) (all []metricdata.Metrics) {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := w.reader.Collect(context.Background(), &data); err != nil {
		t.Fatal(err)
	}
	for _, scope := range data.ScopeMetrics {
		all = append(all, scope.Metrics...)
	}
	return all
}

func has(set attribute.Set, all []attribute.KeyValue) bool {
	for _, a := range all {
		if v, ok := set.Value(a.Key); !ok || v != a.Value {
			return false
		}
	}
	return true
}

// call is one of a single attempt that is answered with a status.
func call(status int) *fetch.Finished {
	start := time.Now()
	return &fetch.Finished{
		Request: &fetch.Request{Caller: "billing", Method: "GET"}, Upstream: "pay", Generation: 1, Start: start, Trace: telemetry.NewTrace(),
		Tracing: policy.Tracing{KeepFailed: true, KeepSlower: 10 * time.Second, Sample: -1},
		Response: &fetch.Response{Status: status, Elapsed: 3 * time.Millisecond, Attempts: []*fetch.Attempt{{
			Number: 1, Reason: fetch.First, Start: start, Span: telemetry.NewSpanID(), Upstream: "pay", Route: "routes[0]", Template: "/v1/*",
			Place: fetch.Place{Address: "*.example.com", Port: 443}, Method: "GET", Address: "192.0.2.1:443", Proto: "2", Status: status, Wire: fault.Answered, Reused: true,
			URL:     target.URL{Scheme: "https", Host: target.Host{Name: "api.example.com"}, Port: 443, Path: "/v1/things"},
			Timings: fetch.Timings{Connection: time.Microsecond, Send: time.Microsecond, FirstByte: time.Millisecond, Body: time.Millisecond, Total: 3 * time.Millisecond}, BytesReceived: 512,
		}}},
	}
}

// rpc is the beginning of one that makes a call.
func rpc() Begin {
	return Begin{
		Method: "fetchsvc.v1.FetchService/Fetch", Known: true, Door: "grpc", Call: true,
		Peer:   net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.7:51000")),
		Header: func(context.Context, string) []string { return nil },
	}
}
