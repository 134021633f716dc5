package oteltest

import (
	"regexp"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
)

// metric holds a metric against the instruments of the conventions, and ours against
// the rules for names and units.
func (j judge) metric(m *metrics.Metric) {
	j.t.Helper()
	want, known := instruments[m.GetName()]
	points := pointsOf(m)
	switch {
	case known:
		if m.GetUnit() != want.unit || points.kind != want.kind {
			j.fault("is a %s in %s, want a %s in %s", points.kind, m.GetUnit(), want.kind, want.unit)
		}
	case conventionsOwn(m.GetName()):
		j.fault("is not in the registry")
	case !ownMetric.MatchString(m.GetName()):
		j.fault("is neither a convention nor named as ours are")
	case strings.HasSuffix(m.GetName(), ".duration") && (m.GetUnit() != "s" || points.kind != "histogram"):
		j.fault("is a duration and a %s in %s", points.kind, m.GetUnit())
	}
	if m.GetDescription() == "" {
		j.fault("has no description")
	}
	for _, h := range m.GetHistogram().GetDataPoints() {
		if want.buckets != nil && !slices.Equal(h.GetExplicitBounds(), want.buckets) {
			j.fault("has the buckets %v, want %v", h.GetExplicitBounds(), want.buckets)
		}
	}
	for _, all := range points.attributes {
		j.attributes(all)
		j.has(all, want.required...)
		if known {
			j.point(all, want)
		}
	}
}

var ownMetric = regexp.MustCompile(`^fetchsvc(\.[a-z]+(_[a-z]+)*)+$`)

// point holds that a point of a known metric has no other conventions than it may have,
// and says of failures what spans say.
func (j judge) point(all []*common.KeyValue, want instrument) {
	j.t.Helper()
	for _, a := range all {
		if key := attribute.Key(a.GetKey()); conventionsOwn(a.GetKey()) && !slices.Contains(want.required, key) && !slices.Contains(want.optional, key) {
			j.fault("has %s", key)
		}
	}
	why := Attribute(all, string(semconv.ErrorTypeKey))
	if status := Attribute(all, string(semconv.HTTPResponseStatusCodeKey)).GetIntValue(); status >= 400 && why == nil {
		j.fault("has status %d and no error.type", status)
	}
	if Attribute(all, string(semconv.RPCResponseStatusCodeKey)) != nil {
		j.blame(why != nil, all)
	}
}

// points are a metric's, whatever it is.
type points struct {
	kind       string
	attributes [][]*common.KeyValue
}

func pointsOf(m *metrics.Metric) (out points) {
	switch data := m.GetData().(type) {
	case *metrics.Metric_Histogram:
		out.kind = "histogram"
		for _, p := range data.Histogram.GetDataPoints() {
			out.attributes = append(out.attributes, p.GetAttributes())
		}
	case *metrics.Metric_Gauge:
		out.kind = "gauge"
		for _, p := range data.Gauge.GetDataPoints() {
			out.attributes = append(out.attributes, p.GetAttributes())
		}
	case *metrics.Metric_Sum:
		out.kind = "updown"
		if data.Sum.GetIsMonotonic() {
			out.kind = "counter"
		}
		for _, p := range data.Sum.GetDataPoints() {
			out.attributes = append(out.attributes, p.GetAttributes())
		}
	}
	return out
}
