package signals

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// callEvents are what a call's span tells of what happened beside its attempts, in
// order.
func callEvents(f *fetch.Finished) []telemetry.Event {
	var all []telemetry.Event
	add := func(name string, at time.Time, a ...attribute.KeyValue) {
		all = append(all, telemetry.Event{Name: name, Time: at, Attributes: a})
	}
	if f.Reported != "" {
		add(telemetry.EventPolicyReported, f.Start, telemetry.Rule.String(f.ReportedRule), telemetry.Reason.String(clip(f.Reported)))
	}
	for i, a := range f.Response.Attempts {
		if hop := a.Hop; hop > 0 && f.Response.Attempts[i-1].Hop != hop && hop <= len(f.Response.History) {
			add(telemetry.EventRedirect, a.Start.Add(-a.Wait), telemetry.RedirectStatus.Int(f.Response.History[hop-1].Status),
				telemetry.AttemptHop.Int(hop), telemetry.Upstream.String(a.Upstream))
		}
		if a.Wait > 0 && a.Reason != fetch.First {
			add(telemetry.EventWait, a.Start.Add(-a.Wait), telemetry.WaitReason.String(telemetry.WaitRetry),
				telemetry.WaitCause.String(clip(a.WaitReason)), telemetry.WaitDuration.Float64(a.Wait.Seconds()))
		}
		if a.Reason == fetch.Challenge {
			add(telemetry.EventRefresh, a.Start, telemetry.Credential.String(a.Credential), telemetry.WaitCause.String(clip(a.WaitReason)))
		}
	}
	for i := range f.Waits {
		all = append(all, waitEvent(&f.Waits[i]))
	}
	end := f.Start.Add(f.Response.Elapsed)
	if why := f.Response.RedirectStopped; why != "" {
		add(telemetry.EventRedirect, end, telemetry.RedirectStatus.Int(f.Response.Status), telemetry.RedirectStopped.String(why))
	}
	switch {
	case f.Err == nil:
	case f.Err.Kind == fault.AddressDenied:
		add(telemetry.EventGuardDenied, end, telemetry.Reason.String(clip(f.Err.Message)))
	case f.Err.RefusedBy() != "":
		add(telemetry.EventPolicyDenied, end, telemetry.Rule.String(f.Err.RefusedBy()), telemetry.Reason.String(clip(f.Err.Message)))
	}
	slices.SortStableFunc(all, func(a, b telemetry.Event) int { return a.Time.Compare(b.Time) })
	return all
}

func waitEvent(w *fetch.Wait) telemetry.Event {
	e := telemetry.Event{Name: telemetry.EventWait, Time: w.Start, Attributes: []attribute.KeyValue{
		telemetry.WaitReason.String(w.For), telemetry.WaitDuration.Float64(w.Took.Seconds()),
	}}
	if w.For == telemetry.WaitCredential {
		e.Name = telemetry.EventRefresh
		e.Attributes = append(e.Attributes, telemetry.Credential.String(w.Credential))
	}
	return e
}
