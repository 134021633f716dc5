// Package telemetry sets up OpenTelemetry by the standard OTEL_* variables and
// names what fetchsvc emits: spans, metrics and log records. Nothing is sent unless a
// variable asks for it (see Variables); only /metrics is there without one, for whoever
// comes to read it.
//
// What cannot be sent never holds up a call: it waits in a queue of bounded length,
// beyond which it is dropped and counted. The log says so once.
//
// What spans and metrics say is written by internal/signals, which knows calls; this
// package knows none.
package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/trace"
)

// Config is what Setup needs.
type Config struct {
	// Version of the service, for the resource.
	Version string
	// Log is told what is exported and when that does not work; nil: nothing is. It
	// should not be one that itself writes to LogHandler.
	Log *slog.Logger
	// Env gives the variables; nil: os.Getenv. The exporters read their own, those of
	// OTEL_EXPORTER_OTLP_* and of limits, from the process.
	Env func(name string) string
}

// Telemetry is what was set up. A nil one exports nothing. Safe for concurrent use.
type Telemetry struct {
	sampler headSampler
	traces  *tracePipe // nil: none are exported
	metrics *metricPipe
	logs    *logPipe // nil: none are exported
}

// Setup reads the variables; see Variables. What they say and nothing can do, such as
// an exporter that there is none of, is an error that names the variable.
func Setup(ctx context.Context, cfg Config) (*Telemetry, error) {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	env := environment(cfg.Env)
	if env == nil {
		env = os.Getenv
	}
	warnings := env.warnings()
	for _, w := range warnings {
		cfg.Log.Warn(w)
	}
	t := &Telemetry{metrics: noMetrics()}
	if env.disabled() {
		return t, nil
	}
	if err := env.check(); err != nil {
		return nil, err
	}
	if err := t.open(ctx, env, cfg); err != nil {
		_ = t.Shutdown(ctx) // of what was opened
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	return t, nil
}

// open makes what the variables ask for.
func (t *Telemetry) open(ctx context.Context, env environment, cfg Config) error {
	res, err := newResource(ctx, cfg.Version)
	if err != nil {
		return fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	t.sampler = newHeadSampler(env)
	p := parts{env: env, res: res, version: cfg.Version, log: cfg.Log, scrub: newScrubber(env)}
	if env.asked("TRACES", "otlp") {
		if t.traces, err = p.newTraces(ctx); err != nil {
			return fmt.Errorf("traces: %w", err)
		}
	}
	if !env.asked("METRICS", "none") {
		if t.metrics, err = p.newMetrics(ctx); err != nil {
			t.metrics = cmp.Or(t.metrics, noMetrics())
			return fmt.Errorf("metrics: %w", err)
		}
	}
	if env.asked("LOGS", "otlp") {
		if t.logs, err = p.newLogs(ctx); err != nil {
			return fmt.Errorf("logs: %w", err)
		}
	}
	return nil
}

// parts are what the pipes of all signals are made of.
type parts struct {
	env     environment
	res     *resource.Resource
	version string
	log     *slog.Logger
	scrub   scrubber
}

// exporting says so in the log, once at the start.
func (p parts) exporting(signal string) {
	_, endpoint := p.env.otlp(signal, "ENDPOINT")
	if endpoint == "" {
		_, endpoint = p.env.collector(signal)
	}
	if u, err := url.Parse(endpoint); err == nil {
		endpoint = u.Scheme + "://" + u.Host
	}
	p.log.Info("exporting "+strings.ToLower(signal), "protocol", p.env.protocol(signal), "endpoint", endpoint)
}

// newResource says what the telemetry is of. What the environment says comes last
// and wins.
func newResource(ctx context.Context, version string) (*resource.Resource, error) {
	return resource.New(ctx,
		resource.WithAttributes(ServiceName.String("fetchsvc"), ServiceVersion.String(version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
}

// Tracing says whether traces are exported.
func (t *Telemetry) Tracing() bool { return t != nil && t.traces != nil }

// Sample decides whether a trace is kept, when it begins: parent says that it is a
// caller's, and sampled what that one decided. Where no traces are exported the
// caller's decision stands, for it goes on to upstreams.
func (t *Telemetry) Sample(id trace.TraceID, parent, sampled bool) bool {
	if !t.Tracing() {
		return parent && sampled
	}
	return t.sampler.sample(id, parent, sampled)
}

// Meter makes instruments; where metrics are off they do nothing.
func (t *Telemetry) Meter() metric.Meter {
	if t == nil {
		return noMetrics().meter
	}
	return t.metrics.meter
}

// Metrics serves them to Prometheus, exemplars too where it asks for OpenMetrics; nil:
// metrics are off.
func (t *Telemetry) Metrics() http.Handler {
	if t == nil {
		return nil
	}
	return t.metrics.handler
}

// Lost is how much could not be sent since the start.
type Lost struct {
	Traces  int64 // spans
	Metrics int64 // collections
	Logs    int64 // records
}

// Lost counts what could not be sent.
func (t *Telemetry) Lost() (l Lost) {
	if t == nil {
		return l
	}
	if t.traces != nil {
		l.Traces = t.traces.out.lost.Load()
	}
	if t.metrics.out != nil {
		l.Metrics = t.metrics.out.lost.Load()
	}
	if t.logs != nil {
		l.Logs = t.logs.out.lost.Load()
	}
	return l
}
