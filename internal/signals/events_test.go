package signals

import (
	"slices"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// TestEvents come in their order, and the guard's refusals are called what they are.
func TestEvents(t *testing.T) {
	f := call(401)
	at := f.Start
	f.Waits = []fetch.Wait{
		{For: telemetry.WaitCredential, Start: at.Add(40 * time.Millisecond), Took: time.Millisecond},
		{For: telemetry.WaitQueue, Start: at.Add(time.Millisecond), Took: time.Millisecond},
	}
	second := *f.Response.Attempts[0]
	second.Number, second.Reason, second.Start, second.Wait, second.WaitReason = 2, fetch.Again, at.Add(30*time.Millisecond), 10*time.Millisecond, "status 503"
	f.Response.Attempts = append(f.Response.Attempts, &second)
	f.Err = fault.New(fault.AddressDenied, "no")
	var names []string
	events := callEvents(f)
	for _, e := range events {
		names = append(names, e.Name)
	}
	// The end is that of Elapsed, 3ms.
	if want := []string{"fetchsvc.wait", "fetchsvc.guard.denied", "fetchsvc.wait", "fetchsvc.credential.refresh"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	if !slices.IsSortedFunc(events, func(a, b telemetry.Event) int { return a.Time.Compare(b.Time) }) {
		t.Error("they are not in order")
	}
	f.Err = fault.New(fault.PolicyDenied, "no")
	f.Err.Rule = "deny"
	if !slices.ContainsFunc(callEvents(f), func(e telemetry.Event) bool { return e.Name == "fetchsvc.policy.denied" }) {
		t.Error("nothing tells that a rule refused the call")
	}
}
