package telemetry

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

const openMetrics = "application/openmetrics-text; version=1.0.0"

func scrape(t *testing.T, tel *Telemetry, accept string) string {
	t.Helper()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	tel.Metrics().ServeHTTP(w, r)
	if w.Code != 200 {
		t.Fatalf("/metrics answers %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func families(t *testing.T, tel *Telemetry) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(scrape(t, tel, "text/plain")))
	if err != nil {
		t.Fatalf("/metrics does not parse: %v", err)
	}
	return all
}

// TestMetricsPage needs no variable.
func TestMetricsPage(t *testing.T) {
	tel, _ := setup(t, map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"})
	duration, err := tel.Meter().Float64Histogram("fetchsvc.call.duration", metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(0.1, 1))
	if err != nil {
		t.Fatal(err)
	}
	here := &Trace{ID: newTraceID(), Span: NewSpanID(), Sampled: true}
	attrs := metric.WithAttributes(Upstream.String("a.b"))
	duration.Record(SpanContext(t.Context(), here), 0.5, attrs)
	duration.Record(SpanContext(t.Context(), &Trace{ID: newTraceID(), Span: NewSpanID()}), 5, attrs)

	all := families(t, tel)
	h := all["fetchsvc_call_duration_seconds"].GetMetric()
	if len(h) != 1 || h[0].GetHistogram().GetSampleCount() != 2 || len(h[0].GetHistogram().GetBucket()) != 3 {
		t.Errorf("fetchsvc_call_duration_seconds is %v", h)
	}
	if l := h[0].GetLabel(); len(l) != 1 || l[0].GetName() != "fetchsvc_upstream" || l[0].GetValue() != "a.b" {
		t.Errorf("its labels are %v", l)
	}
	for _, name := range []string{"go_memory_used_bytes", "go_goroutines", "process_cpu_seconds_total", "process_resident_memory_bytes", "target_info"} {
		if all[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
	for name := range all { // each thing once: no series of client_golang's Go collector
		if strings.HasPrefix(name, "go_memstats_") || name == "go_goroutine_count" {
			t.Errorf("%s is there beside OpenTelemetry's", name)
		}
	}
	page := scrape(t, tel, openMetrics)
	exemplar := ""
	for line := range strings.Lines(page) {
		if strings.Contains(line, `le="1.0"`) {
			_, exemplar, _ = strings.Cut(line, " # ")
		}
	}
	if !strings.HasSuffix(page, "# EOF\n") || !strings.Contains(exemplar, `span_id="`+here.Span.String()+`"`) || !strings.Contains(exemplar, `trace_id="`+here.ID.String()+`"`) {
		t.Errorf("the page has no exemplar of the sampled call, or is no OpenMetrics:\n%s", page)
	}
	if strings.Count(page, "trace_id=") != 1 {
		t.Error("the call that is not sampled has an exemplar")
	}
}

// TestSeriesAreBounded has a label that grows.
func TestSeriesAreBounded(t *testing.T) {
	tel, _ := setup(t, nil)
	calls, err := tel.Meter().Int64Counter("fetchsvc.calls")
	if err != nil {
		t.Fatal(err)
	}
	for i := range MaxSeries + 500 {
		calls.Add(t.Context(), 1, metric.WithAttributes(attribute.Int("n", i)))
	}
	got := families(t, tel)["fetchsvc_calls_total"].GetMetric()
	sum := 0.0
	for _, m := range got {
		sum += m.GetCounter().GetValue()
	}
	if len(got) != MaxSeries || sum != MaxSeries+500 {
		t.Errorf("%d series count %v, want %d with all %d", len(got), sum, MaxSeries, MaxSeries+500)
	}
}

// TestPrometheusNames holds the catalogue's against what the page has.
func TestPrometheusNames(t *testing.T) {
	tel, _ := setup(t, nil)
	meter := tel.Meter()
	for _, m := range Metrics() {
		var err error
		switch m.Kind {
		case Counter:
			var i metric.Float64Counter
			i, err = meter.Float64Counter(m.Name, metric.WithUnit(m.Unit))
			i.Add(t.Context(), 1)
		case UpDownCounter:
			var i metric.Float64UpDownCounter
			i, err = meter.Float64UpDownCounter(m.Name, metric.WithUnit(m.Unit))
			i.Add(t.Context(), 1)
		case Gauge:
			var i metric.Float64Gauge
			i, err = meter.Float64Gauge(m.Name, metric.WithUnit(m.Unit))
			i.Record(t.Context(), 1)
		case Histogram:
			var i metric.Float64Histogram
			i, err = meter.Float64Histogram(m.Name, metric.WithUnit(m.Unit), metric.WithExplicitBucketBoundaries(m.Buckets...))
			i.Record(t.Context(), 1)
		}
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
	all := families(t, tel)
	for _, m := range Metrics() {
		if all[m.Prometheus()] == nil {
			t.Errorf("%s is not on the page as %s", m.Name, m.Prometheus())
		}
	}
}

// TestSlowScrape: one who reads slowly has a clock, and is no defect to tell of.
func TestSlowScrape(t *testing.T) {
	var log bytes.Buffer
	page := metricsPage(prometheus.NewRegistry(), slog.New(slog.NewTextHandler(&log, nil)))
	w := &clocked{ResponseRecorder: httptest.NewRecorder()}
	page.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK || len(w.clocks) != 2 || w.clocks[0].IsZero() || !w.clocks[1].IsZero() {
		t.Errorf("status %d, write deadlines %v; want one, and none behind the page", w.Code, w.clocks)
	}
	to := scrapeLog{slog.New(slog.NewTextHandler(&log, nil))}
	to.Println("sending:", &net.OpError{Op: "write", Err: syscall.ECONNRESET})
	if log.Len() > 0 {
		t.Errorf("the log says %s of a client that went away", &log)
	}
	to.Println("gathering:", errors.New("two of one name"))
	if got := log.String(); !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "gathering: two of one name") {
		t.Errorf("the log says %q of a defect", got)
	}
}

// clocked notes the write deadlines that it is given.
type clocked struct {
	*httptest.ResponseRecorder
	clocks []time.Time
}

func (c *clocked) SetWriteDeadline(at time.Time) error {
	c.clocks = append(c.clocks, at)
	return nil
}
