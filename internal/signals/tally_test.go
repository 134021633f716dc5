package signals

import (
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// TestLostUpstreamsAreForgotten: what was counted of an upstream goes with it, and calls
// of none stay.
func TestLostUpstreamsAreForgotten(t *testing.T) {
	w := newWorld(t, true, false)
	for _, upstream := range []string{"old", "new", ""} {
		f := call(200)
		f.Upstream = upstream
		for _, a := range f.Response.Attempts {
			a.Upstream = upstream
		}
		w.Finished(t.Context(), f)
	}
	w.Use(&policy.Snapshot{Upstreams: []*policy.Upstream{{Name: "new"}}})
	for upstream, want := range map[string]int64{"old": 0, "new": 1, "": 1} {
		for _, name := range []string{telemetry.MetricCalls, telemetry.MetricAttempts} {
			if n := w.sum(t, name, telemetry.Upstream.String(upstream)); n != want {
				t.Errorf("%s of upstream %q is %d, want %d", name, upstream, n, want)
			}
		}
	}
}
