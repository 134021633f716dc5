// Package telemetry sets up OpenTelemetry by the standard OTEL_* variables and
// names what fetchsvc emits. Nothing is exported unless a variable asks for it,
// and then a call pays only for what is sampled.
//
// For now it exports traces. What spans say is written by internal/server, which
// knows calls; this package knows none.
package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Scope is the instrumentation scope of every span.
const Scope = "github.com/fetchsvc/fetchsvc"

// Telemetry is what was set up. The zero value exports nothing.
type Telemetry struct {
	provider *sdktrace.TracerProvider
}

// Setup reads OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER (`otlp`, `none`),
// OTEL_EXPORTER_OTLP_* (endpoint, protocol, headers, timeout, certificates),
// OTEL_TRACES_SAMPLER and OTEL_RESOURCE_ATTRIBUTES. Without an endpoint and
// without OTEL_TRACES_EXPORTER=otlp nothing is exported.
func Setup(ctx context.Context, version string, log *slog.Logger) (*Telemetry, error) {
	wanted, err := tracesWanted(os.Getenv)
	if err != nil || !wanted {
		return &Telemetry{}, err
	}
	exporter, protocol, err := newExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	// What the environment says comes last and wins.
	res, err := resource.New(ctx,
		resource.WithAttributes(ServiceName.String("fetchsvc"), ServiceVersion.String(version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("telemetry: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	log.Info("exporting traces", "protocol", protocol)
	return &Telemetry{provider: sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))}, nil
}

// tracesWanted says whether the environment asks for traces.
func tracesWanted(env func(string) string) (bool, error) {
	if strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	switch exporter := env("OTEL_TRACES_EXPORTER"); exporter {
	case "otlp":
		return true, nil
	case "none":
		return false, nil
	case "":
		return env("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "", nil
	default:
		return false, fmt.Errorf("telemetry: OTEL_TRACES_EXPORTER=%s is not served: use otlp or none", exporter)
	}
}

// Tracer makes spans; nil: nothing is exported, make none.
func (t *Telemetry) Tracer() trace.Tracer {
	if t.provider == nil {
		return nil
	}
	return t.provider.Tracer(Scope)
}

// Shutdown sends what is waiting, until ctx ends.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Propagator reads W3C trace context and baggage.
func Propagator() propagation.TextMapPropagator {
	return propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
}
