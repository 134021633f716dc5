package oteltest

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// seen is what came, by the catalogue's words.
type seen struct {
	mu     sync.Mutex
	where  map[string]telemetry.Where // of attributes
	spans  map[string]telemetry.Where
	events map[string]bool
	// metrics have the attributes of their points.
	metrics map[string]map[string]bool
	units   map[string]string
}

func newSeen() *seen {
	return &seen{where: map[string]telemetry.Where{}, spans: map[string]telemetry.Where{}, events: map[string]bool{}, metrics: map[string]map[string]bool{}, units: map[string]string{}}
}

func (s *seen) on(where telemetry.Where, all []*common.KeyValue) {
	for _, a := range all {
		s.where[a.GetKey()] |= where
	}
}

var kinds = map[trace.Span_SpanKind]telemetry.Where{
	trace.Span_SPAN_KIND_SERVER: telemetry.OnServer, trace.Span_SPAN_KIND_CLIENT: telemetry.OnClient, trace.Span_SPAN_KIND_INTERNAL: telemetry.OnInternal,
}

var ownCall = regexp.MustCompile(`^system\.[a-z]+/.+`)

// add takes in what a sink got.
func (s *seen) add(from *Sink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range from.Resources() {
		s.on(telemetry.OnResource, r.GetAttributes())
	}
	for _, span := range from.Spans() {
		where := kinds[span.GetKind()]
		s.on(where, span.GetAttributes())
		name := span.GetName()
		switch {
		case where == telemetry.OnServer:
			name = "{rpc.method}"
		case where == telemetry.OnClient:
			name = "{http.request.method} {url.template}"
		case ownCall.MatchString(name):
			name = "system.{kind}/{name}"
		}
		s.spans[name] |= where
		for _, e := range span.GetEvents() {
			s.events[e.GetName()] = true
			s.on(telemetry.OnEvent, e.GetAttributes())
		}
	}
	for _, m := range from.Metrics() {
		if strings.HasPrefix(m.GetName(), "go.") {
			continue // the runtime's, which says itself what they are
		}
		if s.metrics[m.GetName()] == nil {
			s.metrics[m.GetName()] = map[string]bool{}
		}
		s.units[m.GetName()] = m.GetUnit()
		for _, all := range pointsOf(m).attributes {
			s.on(telemetry.OnMetric, all)
			for _, a := range all {
				s.metrics[m.GetName()][a.GetKey()] = true
			}
		}
	}
}

// listed holds what came against the catalogue, both ways: what is listed came, too.
func (s *seen) listed(t *testing.T) {
	t.Helper()
	where := map[string]telemetry.Where{}
	for _, a := range telemetry.Attributes() {
		if _, twice := where[string(a.Key)]; twice || a.Meaning == "" {
			t.Errorf("attribute %s is listed twice, or without a meaning", a.Key)
		}
		where[string(a.Key)] = a.Where
	}
	for key, came := range s.where {
		if !strings.HasPrefix(key, "telemetry.sdk.") && came&^where[key] != 0 {
			t.Errorf("attribute %s came on: %s; listed for: %s", key, came, where[key])
		}
	}
	for key, want := range where {
		if missing := want &^ s.where[key]; missing != 0 {
			t.Errorf("attribute %s is listed for: %s; it never came there", key, missing)
		}
	}
	spans := map[string]telemetry.Where{}
	for _, of := range telemetry.Spans() {
		spans[of.Name] = of.Where
	}
	if !maps.Equal(spans, s.spans) {
		t.Errorf("spans: came %v, listed %v", s.spans, spans)
	}
	events := map[string]bool{}
	for _, of := range telemetry.Events() {
		events[of.Name] = true
	}
	if !maps.Equal(events, s.events) {
		t.Errorf("events: came %v, listed %v", slices.Sorted(maps.Keys(s.events)), slices.Sorted(maps.Keys(events)))
	}
	s.listedMetrics(t, where)
}

func (s *seen) listedMetrics(t *testing.T, where map[string]telemetry.Where) {
	t.Helper()
	all := map[string]bool{}
	for _, m := range telemetry.Metrics() {
		all[m.Name] = true
		if s.metrics[m.Name] == nil {
			t.Errorf("metric %s is listed and never came", m.Name)
			continue
		}
		if s.units[m.Name] != m.Unit {
			t.Errorf("metric %s came in %s, listed in %s", m.Name, s.units[m.Name], m.Unit)
		}
		keys := map[string]bool{}
		for _, key := range m.Attributes {
			keys[string(key)] = true
			if where[string(key)]&telemetry.OnMetric == 0 {
				t.Errorf("metric %s has %s, which is not listed for metrics", m.Name, key)
			}
		}
		if !maps.Equal(keys, s.metrics[m.Name]) {
			t.Errorf("metric %s came with %v, listed with %v", m.Name, slices.Sorted(maps.Keys(s.metrics[m.Name])), slices.Sorted(maps.Keys(keys)))
		}
	}
	for name := range s.metrics {
		if !all[name] {
			t.Errorf("metric %s came and is not listed", name)
		}
	}
}
