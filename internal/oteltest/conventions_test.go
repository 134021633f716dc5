package oteltest

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/goconv"
	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"
	"go.opentelemetry.io/otel/semconv/v1.43.0/rpcconv"
	common "go.opentelemetry.io/proto/otlp/common/v1"
)

// The tables of this file are OpenTelemetry's semantic conventions 1.43.0, as far as
// they concern an HTTP client and an RPC server, read from the specification
// (docs/http/http-spans.md, http-metrics.md, docs/rpc/grpc.md, rpc-metrics.md,
// docs/general/recording-errors.md of open-telemetry/semantic-conventions). They know
// nothing of internal/telemetry, whose mistakes they would share.

// namespaces are those of the conventions that an attribute of ours could fall into.
var namespaces = []string{
	"http.", "rpc.", "server.", "client.", "url.", "network.", "error.", "user_agent.", "service.", "telemetry.", "host.", "process.",
	"os.", "otel.", "exception.", "code.", "thread.", "peer.", "net.", "dns.", "tls.", "log.", "event.", "session.", "go.", "enduser.", "source.", "destination.",
}

// good says whether a value is one that an attribute may have.
type good func(*common.AnyValue) bool

// registry are the attributes of the conventions that may come, and their values.
var registry = map[attribute.Key]good{
	semconv.HTTPRequestMethodKey:         oneOf("_OTHER", "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"),
	semconv.HTTPRequestMethodOriginalKey: text(`[!#$%&'*+.^_|~0-9A-Za-z-]+`),
	semconv.HTTPRequestBodySizeKey:       number(0, 1<<62),
	semconv.HTTPResponseBodySizeKey:      number(0, 1<<62),
	semconv.HTTPResponseStatusCodeKey:    number(100, 999),
	semconv.HTTPRequestResendCountKey:    number(1, 1000),
	semconv.HTTPConnectionStateKey:       oneOf("active", "idle"),
	semconv.URLFullKey:                   text(`https?://[^/@?#]+/[^#]*`),
	semconv.URLSchemeKey:                 oneOf("http", "https"),
	semconv.URLTemplateKey:               text(`/.*`),
	semconv.ServerAddressKey:             text(`[^/:]+|[0-9a-f:.]+`),
	semconv.ServerPortKey:                number(0, 65535), // 0 is ours, for ports past what metrics tell apart
	semconv.ClientAddressKey:             address,
	semconv.NetworkPeerAddressKey:        address,
	semconv.NetworkPeerPortKey:           number(1, 65535),
	semconv.NetworkProtocolNameKey:       oneOf("http"),
	semconv.NetworkProtocolVersionKey:    oneOf("1.0", "1.1", "2", "3"),
	semconv.ErrorTypeKey:                 text(`[1-5][0-9][0-9]|_OTHER|[A-Z][A-Z0-9_]*`),
	semconv.RPCSystemNameKey:             oneOf("grpc"),
	semconv.RPCMethodKey:                 text(`_OTHER|REST|([a-z][a-z0-9_.]*\.)?[A-Z][A-Za-z]*/[A-Z][A-Za-z]*`), // REST is ours, for a page
	semconv.RPCMethodOriginalKey:         text(`.+`),
	semconv.RPCResponseStatusCodeKey:     oneOf(codes...),
	semconv.ServiceNameKey:               text(`.+`),
	semconv.ServiceVersionKey:            text(`.+`),
	semconv.ServiceInstanceIDKey:         text(`.+`),
	semconv.TelemetrySDKNameKey:          oneOf("opentelemetry"),
	semconv.TelemetrySDKLanguageKey:      oneOf("go"),
	semconv.TelemetrySDKVersionKey:       text(`\d+\.\d+\.\d+`),
	semconv.HostNameKey:                  text(`.+`),
	semconv.GoMemoryTypeKey:              oneOf("stack", "other"),
}

// codes are the names of gRPC's, and broken those that the server is to blame for.
var (
	codes = []string{
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	}
	broken = []string{"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)

func oneOf(all ...string) good {
	return func(v *common.AnyValue) bool { return slices.Contains(all, v.GetStringValue()) }
}

func text(pattern string) good {
	re := regexp.MustCompile(`^(` + pattern + `)$`)
	return func(v *common.AnyValue) bool {
		s, ok := v.GetValue().(*common.AnyValue_StringValue)
		return ok && re.MatchString(s.StringValue)
	}
}

func number(least, most int64) good {
	return func(v *common.AnyValue) bool {
		n, ok := v.GetValue().(*common.AnyValue_IntValue)
		return ok && n.IntValue >= least && n.IntValue <= most
	}
}

func address(v *common.AnyValue) bool {
	_, err := netip.ParseAddr(v.GetStringValue())
	return err == nil
}

// instrument is a metric of the conventions.
type instrument struct {
	unit string
	// kind is histogram, updown, counter or gauge.
	kind    string
	buckets []float64
	// required are the attributes that each point has, and optional those that it may
	// have beside ours.
	required, optional []attribute.Key
}

var (
	seconds = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
	lives   = []float64{.01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60, 120, 300}
	place   = []attribute.Key{semconv.ServerAddressKey, semconv.ServerPortKey}
	// requested are those of requests. The conventions want url.template with the sizes
	// too where it is available (Development): we have it in spans alone, as a series for
	// each route, status and host would be too many.
	requested   = append([]attribute.Key{semconv.HTTPRequestMethodKey}, place...)
	mayHaveBeen = []attribute.Key{semconv.ErrorTypeKey, semconv.HTTPResponseStatusCodeKey, semconv.NetworkProtocolNameKey, semconv.NetworkProtocolVersionKey, semconv.URLSchemeKey}
)

// instruments are the metrics of the conventions that may come. Names and units are
// those of the Go package that is generated from them.
var instruments = map[string]instrument{
	httpconv.ClientRequestDuration{}.Name():    {httpconv.ClientRequestDuration{}.Unit(), "histogram", seconds, requested, mayHaveBeen},
	httpconv.ClientRequestBodySize{}.Name():    {httpconv.ClientRequestBodySize{}.Unit(), "histogram", nil, requested, mayHaveBeen},
	httpconv.ClientResponseBodySize{}.Name():   {httpconv.ClientResponseBodySize{}.Unit(), "histogram", nil, requested, mayHaveBeen},
	httpconv.ClientActiveRequests{}.Name():     {httpconv.ClientActiveRequests{}.Unit(), "updown", nil, place, nil},
	httpconv.ClientOpenConnections{}.Name():    {httpconv.ClientOpenConnections{}.Unit(), "updown", nil, append([]attribute.Key{semconv.HTTPConnectionStateKey}, place...), nil},
	httpconv.ClientConnectionDuration{}.Name(): {httpconv.ClientConnectionDuration{}.Unit(), "histogram", lives, place, nil},
	rpcconv.ServerCallDuration{}.Name(): {
		rpcconv.ServerCallDuration{}.Unit(), "histogram", seconds,
		[]attribute.Key{semconv.RPCSystemNameKey, semconv.RPCMethodKey, semconv.RPCResponseStatusCodeKey}, []attribute.Key{semconv.ErrorTypeKey},
	},
	goconv.MemoryUsed{}.Name():        {goconv.MemoryUsed{}.Unit(), "updown", nil, []attribute.Key{semconv.GoMemoryTypeKey}, nil},
	goconv.MemoryLimit{}.Name():       {goconv.MemoryLimit{}.Unit(), "updown", nil, nil, nil},
	goconv.MemoryAllocated{}.Name():   {goconv.MemoryAllocated{}.Unit(), "counter", nil, nil, nil},
	goconv.MemoryAllocations{}.Name(): {goconv.MemoryAllocations{}.Unit(), "counter", nil, nil, nil},
	goconv.MemoryGCGoal{}.Name():      {goconv.MemoryGCGoal{}.Unit(), "updown", nil, nil, nil},
	goconv.GoroutineCount{}.Name():    {goconv.GoroutineCount{}.Unit(), "updown", nil, nil, nil},
	goconv.ProcessorLimit{}.Name():    {goconv.ProcessorLimit{}.Unit(), "updown", nil, nil, nil},
	goconv.ConfigGogc{}.Name():        {goconv.ConfigGogc{}.Unit(), "updown", nil, nil, nil},
	goconv.ScheduleDuration{}.Name():  {goconv.ScheduleDuration{}.Unit(), "histogram", nil, nil, nil},
}

// conventionsOwn says that a name is in a namespace of the conventions.
func conventionsOwn(name string) bool {
	return slices.ContainsFunc(namespaces, func(space string) bool { return strings.HasPrefix(name, space) })
}
