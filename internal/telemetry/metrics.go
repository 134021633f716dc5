package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/otlptranslator"
	goruntime "go.opentelemetry.io/contrib/instrumentation/runtime"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"google.golang.org/protobuf/proto"
)

const (
	// maxSeries of one instrument; further sets of attributes are gathered in one that
	// says otel.metric.overflow.
	maxSeries = 2000
	// maxScrapes at a time; more are answered 503.
	maxScrapes = 8
)

// metricPipe has one provider with two readers: /metrics, and OTLP if asked for.
type metricPipe struct {
	out      *outlet // nil, as is sender: nothing is sent
	sender   *metricSender
	provider *sdkmetric.MeterProvider
	meter    metric.Meter
	handler  http.Handler
}

func noMetrics() *metricPipe { return &metricPipe{meter: noop.Meter{}} }

func (p parts) newMetrics(ctx context.Context) (*metricPipe, error) {
	registry := prometheus.NewRegistry()
	page, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo(),
		otelprometheus.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes))
	if err != nil {
		return nil, err
	}
	if err := registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})); err != nil {
		return nil, err
	}
	options := []sdkmetric.Option{
		sdkmetric.WithResource(p.res), sdkmetric.WithCardinalityLimit(maxSeries), sdkmetric.WithReader(page),
	}
	m := &metricPipe{handler: metricsPage(registry, p.log)}
	if p.env.asked("METRICS", "otlp") {
		exporter, err := p.env.metricExporter(ctx)
		if err != nil {
			return nil, err
		}
		m.out = newOutlet("metrics", 0, p.log, p.scrub)
		m.sender = newMetricSender(exporter, m.out, p.env)
		options = append(options, sdkmetric.WithReader(m.sender.reader))
		p.exporting("METRICS")
	}
	m.provider = sdkmetric.NewMeterProvider(options...)
	m.meter = m.provider.Meter(Scope, metric.WithInstrumentationVersion(p.version))
	if err := goruntime.Start(goruntime.WithMeterProvider(m.provider)); err != nil {
		return m, fmt.Errorf("go.*: %w", err)
	}
	return m, nil
}

// lint gives one name of OpenTelemetry's as client_golang has it: in Prometheus, _count
// belongs to histograms, and promtool says so.
func lint(registry prometheus.Gatherer) prometheus.GathererFunc {
	return func() ([]*dto.MetricFamily, error) {
		all, err := registry.Gather()
		for _, f := range all {
			if f.GetName() == "go_goroutine_count" {
				f.Name = proto.String("go_goroutines")
			}
		}
		return all, err
	}
}

func metricsPage(registry *prometheus.Registry, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(lint(registry), promhttp.HandlerOpts{
		EnableOpenMetrics:   true, // the only format with exemplars
		ErrorHandling:       promhttp.ContinueOnError,
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		MaxRequestsInFlight: maxScrapes,
	})
}

func (m *metricPipe) outlet() *outlet           { return m.out }
func (m *metricPipe) flush(ctx context.Context) { m.sender.send(ctx) }
func (m *metricPipe) shutdown(ctx context.Context) {
	m.sender.shutdown(ctx)
	_ = m.provider.Shutdown(ctx)
}
