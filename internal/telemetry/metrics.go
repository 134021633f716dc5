package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

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
	// MaxSeries of one instrument; further sets of attributes are gathered in one that
	// says otel.metric.overflow.
	MaxSeries = 4000
	// maxScrapes at a time; more are answered 503.
	maxScrapes = 8
	// scrapeTime is how long one may take: whoever reads slowly must not keep /metrics
	// from others.
	scrapeTime = 30 * time.Second
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
		sdkmetric.WithResource(p.res), sdkmetric.WithCardinalityLimit(MaxSeries), sdkmetric.WithReader(page),
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
	page := promhttp.HandlerFor(lint(registry), promhttp.HandlerOpts{
		EnableOpenMetrics:   true, // the only format with exemplars
		ErrorHandling:       promhttp.ContinueOnError,
		ErrorLog:            scrapeLog{log},
		MaxRequestsInFlight: maxScrapes,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		clock := http.NewResponseController(w)
		if clock.SetWriteDeadline(time.Now().Add(scrapeTime)) == nil {
			defer func() { _ = clock.SetWriteDeadline(time.Time{}) }()
		}
		page.ServeHTTP(w, r)
	})
}

// scrapeLog is told what goes wrong with /metrics. That a client went away, or was too
// slow, is no defect.
type scrapeLog struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (l scrapeLog) Println(said ...any) {
	level := slog.LevelError
	for _, one := range said {
		if err, ok := one.(error); ok && errors.As(err, new(net.Error)) {
			level = slog.LevelDebug
		}
	}
	l.log.Log(context.Background(), level, "metrics cannot be shown", "error", strings.TrimSpace(fmt.Sprintln(said...)))
}

func (m *metricPipe) outlet() *outlet           { return m.out }
func (m *metricPipe) flush(ctx context.Context) { m.sender.send(ctx) }
func (m *metricPipe) shutdown(ctx context.Context) {
	m.sender.shutdown(ctx)
	_ = m.provider.Shutdown(ctx)
}
