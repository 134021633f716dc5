package telemetry

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// The exporters read the variables themselves, from the process. They reach the
// collector by themselves, past the egress guard: the address is the operator's own.

// reconnecting has gRPC look for a collector that is away every ten seconds at the
// latest. By default it is two minutes, in which all that is exported would be lost
// after the collector is back.
func reconnecting() grpc.DialOption {
	pace := backoff.DefaultConfig
	pace.MaxDelay = 10 * time.Second
	return grpc.WithConnectParams(grpc.ConnectParams{Backoff: pace, MinConnectTimeout: pace.MaxDelay})
}

func (e environment) traceExporter(ctx context.Context) (sdktrace.SpanExporter, error) {
	byGRPC, fallback := e.collector("TRACES")
	switch {
	case byGRPC && fallback != "":
		return otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(fallback), otlptracegrpc.WithDialOption(reconnecting()))
	case byGRPC:
		return otlptracegrpc.New(ctx, otlptracegrpc.WithDialOption(reconnecting()))
	case fallback != "":
		return otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(fallback+"/v1/traces"))
	}
	return otlptracehttp.New(ctx)
}

func (e environment) metricExporter(ctx context.Context) (sdkmetric.Exporter, error) {
	byGRPC, fallback := e.collector("METRICS")
	switch {
	case byGRPC && fallback != "":
		return otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpointURL(fallback), otlpmetricgrpc.WithDialOption(reconnecting()))
	case byGRPC:
		return otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithDialOption(reconnecting()))
	case fallback != "":
		return otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(fallback+"/v1/metrics"))
	}
	return otlpmetrichttp.New(ctx)
}

func (e environment) logExporter(ctx context.Context) (sdklog.Exporter, error) {
	byGRPC, fallback := e.collector("LOGS")
	switch {
	case byGRPC && fallback != "":
		return otlploggrpc.New(ctx, otlploggrpc.WithEndpointURL(fallback), otlploggrpc.WithDialOption(reconnecting()))
	case byGRPC:
		return otlploggrpc.New(ctx, otlploggrpc.WithDialOption(reconnecting()))
	case fallback != "":
		return otlploghttp.New(ctx, otlploghttp.WithEndpointURL(fallback+"/v1/logs"))
	}
	return otlploghttp.New(ctx)
}

// collector says how a signal goes out, and where to if no variable says it: the
// standard's default is plaintext, that of the exporters is TLS.
func (e environment) collector(signal string) (grpc bool, fallback string) {
	grpc = e.protocol(signal) == "grpc"
	if _, endpoint := e.otlp(signal, "ENDPOINT"); endpoint != "" {
		return grpc, ""
	}
	scheme, port := "http", "4318"
	if _, insecure := e.otlp(signal, "INSECURE"); strings.EqualFold(insecure, "false") {
		scheme = "https"
	}
	if grpc {
		port = "4317"
	}
	return grpc, scheme + "://localhost:" + port
}

func (e environment) protocol(signal string) string {
	if _, p := e.otlp(signal, "PROTOCOL"); p != "" {
		return p
	}
	return "http/protobuf"
}
