package oteltest

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
)

// judge holds what came against the conventions.
type judge struct {
	t    testing.TB
	what string
}

func (j judge) fault(format string, args ...any) {
	j.t.Helper()
	j.t.Errorf("%s: %s", j.what, fmt.Sprintf(format, args...))
}

// conventional holds all that a sink got against them.
func conventional(t testing.TB, what string, from *Sink) {
	t.Helper()
	for _, r := range from.Resources() {
		of := judge{t, what + ": resource"}
		of.attributes(r.GetAttributes())
		of.has(r.GetAttributes(), semconv.ServiceNameKey, semconv.ServiceVersionKey, semconv.TelemetrySDKNameKey, semconv.TelemetrySDKLanguageKey, semconv.TelemetrySDKVersionKey)
	}
	for _, s := range from.Spans() {
		judge{t, what + ": span " + s.GetName()}.span(s)
	}
	for _, m := range from.Metrics() {
		judge{t, what + ": metric " + m.GetName()}.metric(m)
	}
	for _, r := range from.Records() {
		judge{t, what + ": log record " + r.GetBody().GetStringValue()}.keys(r.GetAttributes())
	}
}

// keys holds that what looks like a convention is one.
func (j judge) keys(all []*common.KeyValue) {
	j.t.Helper()
	seen := map[string]bool{}
	for _, a := range all {
		key := a.GetKey()
		if seen[key] {
			j.fault("%s comes twice", key)
		}
		seen[key] = true
		if _, known := registry[attribute.Key(key)]; !known && conventionsOwn(key) {
			j.fault("%s is not in the registry, or not for this", key)
		}
	}
}

// attributes holds that values are as they should be, and all else is ours.
func (j judge) attributes(all []*common.KeyValue) {
	j.t.Helper()
	j.keys(all)
	for _, a := range all {
		ok, known := registry[attribute.Key(a.GetKey())]
		switch {
		case known && !ok(a.GetValue()):
			j.fault("%s is %v", a.GetKey(), a.GetValue())
		case !known && !strings.HasPrefix(a.GetKey(), "fetchsvc."):
			j.fault("%s is neither a convention nor in fetchsvc's namespace", a.GetKey())
		}
	}
}

func (j judge) has(all []*common.KeyValue, keys ...attribute.Key) {
	j.t.Helper()
	for _, key := range keys {
		if Attribute(all, string(key)) == nil {
			j.fault("has no %s", key)
		}
	}
}

// span holds for spans of all kinds.
func (j judge) span(s *trace.Span) {
	j.t.Helper()
	all := s.GetAttributes()
	j.attributes(all)
	failed := s.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR
	j.only(failed, all, semconv.ErrorTypeKey, "the status is Error")
	if s.GetKind() != trace.Span_SPAN_KIND_SERVER && Attribute(all, string(semconv.ErrorTypeKey)).GetStringValue() == "CANCELLED" {
		j.fault("is an error because its caller gave up (http-spans.md, status)")
	}
	if s.GetStatus().GetCode() == trace.Status_STATUS_CODE_OK {
		j.fault("has the status Ok, which is for applications to set")
	}
	if !failed && s.GetStatus().GetMessage() != "" {
		j.fault("has a description, %q, and is no error", s.GetStatus().GetMessage())
	}
	if s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
		j.fault("ends before it begins")
	}
	for _, e := range s.GetEvents() {
		judge{j.t, j.what + ": event " + e.GetName()}.attributes(e.GetAttributes())
		if !strings.HasPrefix(e.GetName(), "fetchsvc.") {
			j.fault("event %s is not in fetchsvc's namespace", e.GetName())
		}
	}
	switch s.GetKind() {
	case trace.Span_SPAN_KIND_CLIENT:
		j.client(s)
	case trace.Span_SPAN_KIND_SERVER:
		j.server(s)
	case trace.Span_SPAN_KIND_INTERNAL:
		j.internal(s)
	default:
		j.fault("is of kind %s", s.GetKind())
	}
}

// only holds that a key is there if a condition is met, and only then.
func (j judge) only(met bool, all []*common.KeyValue, key attribute.Key, condition string) {
	j.t.Helper()
	if there := Attribute(all, string(key)) != nil; there != met {
		j.fault("%s: it is there: %v; %s: %v", key, there, condition, met)
	}
}

// client is docs/http/http-spans.md, HTTP client span.
func (j judge) client(s *trace.Span) {
	j.t.Helper()
	all := s.GetAttributes()
	get := func(key attribute.Key) *common.AnyValue { return Attribute(all, string(key)) }
	j.has(all, semconv.HTTPRequestMethodKey, semconv.ServerAddressKey, semconv.ServerPortKey, semconv.URLFullKey)
	method := get(semconv.HTTPRequestMethodKey).GetStringValue()
	j.only(method == "_OTHER", all, semconv.HTTPRequestMethodOriginalKey, "the method is not known")
	if method == "_OTHER" {
		method = "HTTP"
	}
	if template := get(semconv.URLTemplateKey).GetStringValue(); template != "" {
		method += " " + template
	}
	if s.GetName() != method {
		j.fault("is called %q, want %q", s.GetName(), method)
	}
	j.only(get(semconv.NetworkPeerAddressKey) != nil, all, semconv.NetworkPeerPortKey, "the peer's address is there")
	number := Attribute(all, "fetchsvc.attempt.number").GetIntValue()
	j.only(number > 1, all, semconv.HTTPRequestResendCountKey, "it is not the first request")
	if n := get(semconv.HTTPRequestResendCountKey).GetIntValue(); number > 1 && n != number-1 {
		j.fault("resend_count is %d of attempt %d", n, number)
	}
	status := get(semconv.HTTPResponseStatusCodeKey)
	j.only(Attribute(all, "fetchsvc.attempt.wire").GetStringValue() == "answered", all, semconv.HTTPResponseStatusCodeKey, "an answer came")
	failed := s.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR
	if status.GetIntValue() >= 400 && !failed {
		j.fault("has status %d and is no error", status.GetIntValue())
	}
	if why := get(semconv.ErrorTypeKey).GetStringValue(); why == strconv.FormatInt(status.GetIntValue(), 10) && s.GetStatus().GetMessage() != "" {
		j.fault("has a description, %q, where the status says all", s.GetStatus().GetMessage())
	}
	u, err := url.Parse(get(semconv.URLFullKey).GetStringValue())
	port := strconv.FormatInt(get(semconv.ServerPortKey).GetIntValue(), 10)
	if err != nil || u.User != nil || u.Hostname() != get(semconv.ServerAddressKey).GetStringValue() || u.Port() != "" && u.Port() != port {
		j.fault("url.full is %s (%v), of server %s and port %s", u, err, get(semconv.ServerAddressKey).GetStringValue(), port)
	}
}

// server is docs/rpc/grpc.md, server span. server.address and server.port, which are
// to be there if available, are left out.
func (j judge) server(s *trace.Span) {
	j.t.Helper()
	all := s.GetAttributes()
	get := func(key attribute.Key) string { return Attribute(all, string(key)).GetStringValue() }
	j.has(all, semconv.RPCSystemNameKey, semconv.RPCMethodKey, semconv.RPCResponseStatusCodeKey, semconv.NetworkPeerAddressKey, semconv.NetworkPeerPortKey)
	name := get(semconv.RPCMethodKey)
	j.only(name == "_OTHER", all, semconv.RPCMethodOriginalKey, "the method is not known")
	if name == "_OTHER" {
		name = get(semconv.RPCSystemNameKey)
	}
	if s.GetName() != name {
		j.fault("is called %q, want %q", s.GetName(), name)
	}
	j.blame(s.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR, all)
}

// blame holds that the server is to blame for the codes that the conventions list.
func (j judge) blame(failed bool, all []*common.KeyValue) {
	j.t.Helper()
	code := Attribute(all, string(semconv.RPCResponseStatusCodeKey)).GetStringValue()
	if failed != slices.Contains(broken, code) {
		j.fault("it is an error: %v, of code %s", failed, code)
	}
	if why := Attribute(all, string(semconv.ErrorTypeKey)).GetStringValue(); failed && why != code {
		j.fault("error.type is %s, want the code, %s", why, code)
	}
}

// internalNames are what INTERNAL spans are called: few words, and the names of policy.
var internalNames = regexp.MustCompile(`^(fetchsvc\.batch\.item|fetchsvc\.wait\.(queue|credential)|system\.[a-z]+/[a-z0-9_./-]+)$`)

func (j judge) internal(s *trace.Span) {
	j.t.Helper()
	if !internalNames.MatchString(s.GetName()) {
		j.fault("has a name that is not known to be one of few")
	}
}
