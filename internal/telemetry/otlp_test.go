package telemetry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/trace"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
)

// protocols that OTEL_EXPORTER_OTLP_PROTOCOL may name.
var bothProtocols = []string{"grpc", "http/protobuf"}

func TestSignalsReachACollector(t *testing.T) {
	for _, protocol := range bothProtocols {
		t.Run(protocol, func(t *testing.T) {
			s := (&sink{}).serve(t, protocol)
			tel, said := setup(t, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": s.url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
				"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_EXPORTER_OTLP_HEADERS": "x-key=open%20sesame",
				"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
			})
			id := newTraceID()
			tel.Emit(Span{Trace: id, ID: NewSpanID(), Name: "GET"})
			calls, err := tel.Meter().Int64Counter("fetchsvc.calls")
			if err != nil {
				t.Fatal(err)
			}
			calls.Add(t.Context(), 3)
			here := &Trace{ID: id, Span: NewSpanID()}
			slog.New(tel.LogHandler(slog.DiscardHandler)).ErrorContext(WithTrace(t.Context(), here), "nobody sees it")
			slog.New(tel.LogHandler(slog.NewTextHandler(said, nil))).WarnContext(WithTrace(t.Context(), here), "look", "at", "this")
			var line log.Record
			line.SetBody(attribute.StringValue("{}"))
			tel.AuditLogger().Emit(SpanContext(t.Context(), here), line)
			if err := tel.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			checkArrived(t, s, here)
			if s.headers.Get("X-Key") != "open sesame" {
				t.Errorf("the collector's header is %q", s.headers.Get("X-Key"))
			}
			if strings.Contains(said.String(), "sesame") || said.count("exporting") != 3 {
				t.Errorf("the log says %s", said)
			}
			if lost := tel.Lost(); lost != (Lost{}) {
				t.Errorf("%+v are lost", lost)
			}
		})
	}
}

func checkArrived(t *testing.T, s *sink, here *Trace) {
	t.Helper()
	if spans := s.spans(); len(spans) != 1 || spans[0].GetName() != "GET" || !bytes.Equal(spans[0].GetTraceId(), here.ID[:]) {
		t.Errorf("the spans are %v", spans)
	}
	if points := s.metric("fetchsvc.calls").GetSum().GetDataPoints(); len(points) != 1 || points[0].GetAsInt() != 3 {
		t.Errorf("fetchsvc.calls is %v", points)
	}
	for _, name := range []string{"go.memory.used", "go.goroutine.count"} {
		if s.metric(name) == nil {
			t.Errorf("there is no %s", name)
		}
	}
	records := s.records()
	if len(records) != 2 {
		t.Fatalf("the records are %v, want one of the log and one of the audit", records)
	}
	for _, r := range records {
		if !bytes.Equal(r.GetTraceId(), here.ID[:]) || !bytes.Equal(r.GetSpanId(), here.Span[:]) {
			t.Errorf("the record %v is not of the trace", r)
		}
	}
	scopes := []string{s.logs[0].GetScopeLogs()[0].GetScope().GetName(), s.logs[0].GetScopeLogs()[1].GetScope().GetName()}
	slices.Sort(scopes)
	if !slices.Equal(scopes, []string{Scope, ScopeAudit}) {
		t.Errorf("the scopes of the records are %v", scopes)
	}
	for _, res := range []*resourcev1.Resource{s.traces[0].GetResource(), s.metrics[0].GetResource(), s.logs[0].GetResource()} {
		checkResource(t, res)
	}
}

func checkResource(t *testing.T, res *resourcev1.Resource) {
	t.Helper()
	got := map[string]string{}
	for _, kv := range res.GetAttributes() {
		got[kv.GetKey()] = kv.GetValue().GetStringValue()
	}
	for key, want := range map[string]string{"service.name": "fetchsvc", "service.version": "v1", "deployment.environment.name": "test", "telemetry.sdk.language": "go"} {
		if got[key] != want {
			t.Errorf("the resource's %s is %q, want %q", key, got[key], want)
		}
	}
}

// TestEmit holds what comes to the collector against what was emitted.
func TestEmit(t *testing.T) {
	s := (&sink{}).serve(t, "grpc")
	tel, _ := setup(t, map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": s.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
	start := time.Unix(1700000000, 5)
	cause := trace.NewSpanContext(trace.SpanContextConfig{TraceID: newTraceID(), SpanID: NewSpanID(), TraceFlags: trace.FlagsSampled})
	server := Span{
		Trace: newTraceID(), ID: NewSpanID(), Parent: NewSpanID(), Remote: true, State: "vendor=1", Name: "fetchsvc.v1.FetchService/Fetch",
		Kind: trace.SpanKindServer, Start: start, End: start.Add(time.Second),
		Attributes: []attribute.KeyValue{Caller.String("billing"), HTTPResendCount.Int(2)},
		Events:     []Event{{Name: EventWait, Time: start.Add(time.Millisecond), Attributes: []attribute.KeyValue{WaitReason.String(WaitRetry)}}},
		Links:      []trace.Link{{SpanContext: cause}}, Status: codes.Error, Description: "CONNECT_TIMEOUT",
	}
	client := Span{Trace: server.Trace, ID: NewSpanID(), Parent: server.ID, Name: "GET", Kind: trace.SpanKindClient, Start: start, End: start}
	root := Span{Trace: newTraceID(), ID: NewSpanID(), State: "not a state", Name: "POST", Start: start, End: start}
	tel.Emit(server)
	tel.Emit(client)
	tel.Emit(root)
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := s.spans()
	if len(got) != 3 {
		t.Fatalf("%d spans came, want 3", len(got))
	}
	for i, want := range []Span{server, client, root} {
		checkIDs(t, got[i], want)
	}
	first := got[0]
	if first.GetTraceState() != "vendor=1" || first.GetKind() != tracev1.Span_SPAN_KIND_SERVER || first.GetFlags()&0x300 != 0x300 {
		t.Errorf("the server's span has state %q, kind %v, flags %#x", first.GetTraceState(), first.GetKind(), first.GetFlags())
	}
	if first.GetStatus().GetCode() != tracev1.Status_STATUS_CODE_ERROR || first.GetStatus().GetMessage() != "CONNECT_TIMEOUT" {
		t.Errorf("its status is %v", first.GetStatus())
	}
	if a := first.GetAttributes(); len(a) != 2 || a[0].GetKey() != "fetchsvc.caller" || a[1].GetValue().GetIntValue() != 2 {
		t.Errorf("its attributes are %v", a)
	}
	if e := first.GetEvents(); len(e) != 1 || e[0].GetName() != EventWait || e[0].GetTimeUnixNano() != uint64(start.Add(time.Millisecond).UnixNano()) || len(e[0].GetAttributes()) != 1 {
		t.Errorf("its events are %v", e)
	}
	if id := cause.SpanID(); len(first.GetLinks()) != 1 || !bytes.Equal(first.GetLinks()[0].GetSpanId(), id[:]) {
		t.Errorf("its links are %v", first.GetLinks())
	}
	if got[1].GetFlags()&0x200 != 0 || got[1].GetStatus().GetCode() != tracev1.Status_STATUS_CODE_UNSET {
		t.Errorf("the client's span has flags %#x, status %v", got[1].GetFlags(), got[1].GetStatus())
	}
}

func checkIDs(t *testing.T, got *tracev1.Span, want Span) {
	t.Helper()
	parent := want.Parent[:]
	if !want.Parent.IsValid() {
		parent = nil
	}
	if got.GetName() != want.Name || !bytes.Equal(got.GetTraceId(), want.Trace[:]) || !bytes.Equal(got.GetSpanId(), want.ID[:]) || !bytes.Equal(got.GetParentSpanId(), parent) {
		t.Errorf("%s is %x %x under %x, want %v %v under %v", got.GetName(), got.GetTraceId(), got.GetSpanId(), got.GetParentSpanId(), want.Trace, want.ID, want.Parent)
	}
	if got.GetStartTimeUnixNano() != uint64(want.Start.UnixNano()) || got.GetEndTimeUnixNano() != uint64(want.End.UnixNano()) {
		t.Errorf("%s lasts from %d to %d", got.GetName(), got.GetStartTimeUnixNano(), got.GetEndTimeUnixNano())
	}
}

// TestPartialSuccess holds that what a collector refuses counts as lost.
func TestPartialSuccess(t *testing.T) {
	for _, protocol := range bothProtocols {
		t.Run(protocol, func(t *testing.T) {
			s := (&sink{rejected: 2}).serve(t, protocol)
			tel, said := setup(t, map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": s.url + "/v1/traces", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
			for range 5 {
				tel.Emit(Span{Trace: newTraceID(), ID: NewSpanID(), Name: "GET"})
			}
			tel.Flush(t.Context())
			if lost := tel.Lost().Traces; lost != 2 || said.count("some were odd") != 1 {
				t.Errorf("%d are lost, the log says %s; want 2 and why", lost, said)
			}
		})
	}
}

// TestSecretsStayOut has a collector that answers with the key it was given.
func TestSecretsStayOut(t *testing.T) {
	for _, protocol := range bothProtocols {
		t.Run(protocol, func(t *testing.T) {
			s := &sink{before: nil}
			s.before = func(context.Context) error {
				return errors.New("what is Bearer open-sesame?\n" + strings.Repeat("x", 10000))
			}
			s.serve(t, protocol)
			tel, said := setup(t, map[string]string{
				"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": s.url + "/v1/traces", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
				"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20open-sesame",
			})
			tel.Emit(Span{Trace: newTraceID(), ID: NewSpanID(), Name: "GET"})
			tel.Flush(t.Context())
			if got := said.String(); strings.Contains(got, "sesame") || said.count("what is [redacted]?") != 1 || len(got) > 1000 {
				t.Errorf("the log says %s", got)
			}
		})
	}
}
