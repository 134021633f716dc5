package signals

import (
	"maps"
	"strconv"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// TestShareOfSeries: an upstream that invents statuses, and callers who choose ports and
// methods, use up no other upstream's series.
func TestShareOfSeries(t *testing.T) {
	w := newWorld(t, false, false)
	const ports, statuses = 30, 40
	for port := range ports {
		for status := range statuses {
			f := call(400 + status)
			a := f.Response.Attempts[0]
			a.Place.Port, a.Method = uint16(1000+port), []string{"GET", "POST", "PURGE"}[status%3]
			a.Reason, a.WaitReason = fetch.Again, "status "+strconv.Itoa(400+status+port*statuses)
			w.Finished(t.Context(), f)
		}
	}
	last := call(200)
	last.Response.Attempts[0].Upstream = "other"
	w.Finished(t.Context(), last)
	of := map[string]int{}
	var counted uint64
	for _, m := range w.collect(t) {
		switch data := m.Data.(type) {
		case metricdata.Histogram[float64]:
			if m.Name != telemetry.MetricRequestDuration {
				continue
			}
			for _, p := range data.DataPoints {
				name, _ := p.Attributes.Value(telemetry.Upstream)
				of[name.AsString()]++
				counted += p.Count
			}
		case metricdata.Sum[int64]:
			if m.Name == telemetry.MetricRetries && len(data.DataPoints) > mostOfOne+1 {
				t.Errorf("%s has %d series, want %d at most and one for the rest", m.Name, len(data.DataPoints), mostOfOne)
			}
		}
	}
	// Beyond its share there is one more for each that policy says: with a failure.
	if of["pay"] != mostOfOne+1 || of["other"] != 1 || counted != ports*statuses+1 {
		t.Errorf("there are %v series of %d attempts; want %d of pay, 1 of other, and every attempt counted", of, counted, mostOfOne+1)
	}
}

// TestCountersGoForward: counters with more sets than OpenTelemetry takes say the same of
// each at every collection.
func TestCountersGoForward(t *testing.T) {
	w := newWorld(t, false, false)
	const callers = mostTold + 500
	for i := range callers {
		f := call(200)
		f.Request.Caller = "caller-" + strconv.Itoa(i)
		w.Finished(t.Context(), f)
	}
	counts := func() map[attribute.Distinct]int64 {
		of := map[attribute.Distinct]int64{}
		for _, m := range w.collect(t) {
			if data, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == telemetry.MetricCalls {
				for _, p := range data.DataPoints {
					of[p.Attributes.Equivalent()] = p.Value
				}
			}
		}
		return of
	}
	first := counts()
	if second := counts(); !maps.Equal(first, second) {
		t.Error("two collections without a call between them differ")
	}
	var sum int64
	for _, n := range first {
		sum += n
	}
	if len(first) != mostTold+1 || sum != callers {
		t.Errorf("%d series count %d calls; want %d and one for the rest, and all %d calls", len(first), sum, mostTold, callers)
	}
}
