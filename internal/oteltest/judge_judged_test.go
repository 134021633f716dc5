package oteltest

import (
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
)

// faults counts what a judge finds.
type faults struct {
	testing.TB
	found int
}

func (f *faults) Errorf(string, ...any) { f.found++ }

func words(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

func count(key string, n int64) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: n}}}
}

// attempt is a CLIENT span with nothing wrong, but what change does to it.
func attempt(change func(*trace.Span)) *trace.Span {
	s := &trace.Span{
		Name: "GET", Kind: trace.Span_SPAN_KIND_CLIENT, StartTimeUnixNano: 1, EndTimeUnixNano: 2, Status: &trace.Status{},
		Attributes: []*common.KeyValue{
			words("http.request.method", "GET"), words("server.address", "a.example"), count("server.port", 80), words("url.full", "http://a.example/"),
			count("http.response.status_code", 200), words("fetchsvc.attempt.wire", "answered"), count("fetchsvc.attempt.number", 1),
		},
	}
	change(s)
	return s
}

// with gives a change that puts an attribute into the place of the one of its key.
func with(a *common.KeyValue) func(*trace.Span) {
	return func(s *trace.Span) {
		for i, old := range s.Attributes {
			if old.GetKey() == a.GetKey() {
				s.Attributes[i] = a
				return
			}
		}
		s.Attributes = append(s.Attributes, a)
	}
}

// TestJudge: the judge finds what is wrong with a span and a metric, and nothing where
// nothing is.
func TestJudge(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*trace.Span)
		wrong  bool
	}{
		"nothing wrong":         {func(*trace.Span) {}, false},
		"a key of old":          {with(words("http.method", "GET")), true},
		"a key of nobody's":     {with(words("color", "red")), true},
		"an unknown method":     {with(words("http.request.method", "PURGE")), true},
		"a port in words":       {with(words("server.port", "80")), true},
		"a user in the URL":     {with(words("url.full", "http://u:p@a.example/")), true},
		"another server's URL":  {with(words("url.full", "http://b.example/")), true},
		"an HTTP of its own":    {with(words("network.protocol.version", "HTTP/1.1")), true},
		"404 and no error":      {with(count("http.response.status_code", 404)), true},
		"an error without type": {func(s *trace.Span) { s.Status.Code = trace.Status_STATUS_CODE_ERROR }, true},
		"a type without error":  {with(words("error.type", "CONNECT_TIMEOUT")), true},
		"a sentence for a type": {func(s *trace.Span) {
			s.Status.Code = trace.Status_STATUS_CODE_ERROR
			with(words("error.type", "no route to 192.0.2.1"))(s)
		}, true},
		"a caller who gave up": {func(s *trace.Span) {
			s.Status.Code = trace.Status_STATUS_CODE_ERROR
			with(words("error.type", "CANCELLED"))(s)
		}, true},
		"a path in the name":      {func(s *trace.Span) { s.Name = "GET /users/42" }, true},
		"a first that is resent":  {with(count("http.request.resend_count", 1)), true},
		"a second that is not":    {with(count("fetchsvc.attempt.number", 2)), true},
		"an end before the start": {func(s *trace.Span) { s.EndTimeUnixNano = 0 }, true},
	} {
		f := &faults{TB: t}
		judge{f, name}.span(attempt(tc.change))
		if (f.found > 0) != tc.wrong {
			t.Errorf("%s: found %d faults", name, f.found)
		}
	}
	point := &metrics.NumberDataPoint{Attributes: []*common.KeyValue{words("server.address", "a.example"), count("server.port", 80)}}
	for name, tc := range map[string]struct {
		m     *metrics.Metric
		wrong bool
	}{
		"nothing wrong":   {&metrics.Metric{Name: "http.client.active_requests", Unit: "{request}", Description: "a", Data: &metrics.Metric_Sum{Sum: &metrics.Sum{DataPoints: []*metrics.NumberDataPoint{point}}}}, false},
		"another unit":    {&metrics.Metric{Name: "http.client.active_requests", Unit: "1", Description: "a", Data: &metrics.Metric_Sum{Sum: &metrics.Sum{DataPoints: []*metrics.NumberDataPoint{point}}}}, true},
		"another kind":    {&metrics.Metric{Name: "http.client.active_requests", Unit: "{request}", Description: "a", Data: &metrics.Metric_Sum{Sum: &metrics.Sum{IsMonotonic: true, DataPoints: []*metrics.NumberDataPoint{point}}}}, true},
		"no attributes":   {&metrics.Metric{Name: "http.client.active_requests", Unit: "{request}", Description: "a", Data: &metrics.Metric_Sum{Sum: &metrics.Sum{DataPoints: []*metrics.NumberDataPoint{{}}}}}, true},
		"a name of old":   {&metrics.Metric{Name: "http.client.duration", Unit: "ms", Description: "a", Data: &metrics.Metric_Histogram{}}, true},
		"other buckets":   {&metrics.Metric{Name: "http.client.connection.duration", Unit: "s", Description: "a", Data: &metrics.Metric_Histogram{Histogram: &metrics.Histogram{DataPoints: []*metrics.HistogramDataPoint{{Attributes: point.Attributes, ExplicitBounds: seconds}}}}}, true},
		"time in minutes": {&metrics.Metric{Name: "fetchsvc.call.duration", Unit: "min", Description: "a", Data: &metrics.Metric_Histogram{Histogram: &metrics.Histogram{}}}, true},
	} {
		f := &faults{TB: t}
		judge{f, name}.metric(tc.m)
		if (f.found > 0) != tc.wrong {
			t.Errorf("metric with %s: found %d faults", name, f.found)
		}
	}
}
