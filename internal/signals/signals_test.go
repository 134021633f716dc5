package signals

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// TestKept: which traces are written, and what the counter of those says.
func TestKept(t *testing.T) {
	with := func(status int, kind fault.Kind, took time.Duration, sampled bool, p policy.Tracing) *fetch.Finished {
		f := call(status)
		f.Response.Elapsed, f.Sampled, f.Tracing = took, sampled, p
		if kind != "" {
			f.Err = fault.New(kind, "no")
		}
		return f
	}
	keeps := policy.Tracing{KeepFailed: true, KeepSlower: time.Second}
	streamed := with(200, "", time.Hour, false, keeps)
	streamed.Streamed, streamed.Head = true, streamed.Start.Add(time.Millisecond)
	late := with(200, "", time.Hour, false, keeps)
	late.Streamed, late.Head = true, late.Start.Add(2*time.Second)
	for name, tc := range map[string]struct {
		f    *fetch.Finished
		want string
	}{
		"good":                               {with(200, "", time.Millisecond, false, keeps), ""},
		"sampled":                            {with(200, "", time.Millisecond, true, keeps), "sampled"},
		"sampled and failed":                 {with(500, "", time.Millisecond, true, keeps), "sampled"},
		"4xx":                                {with(404, "", time.Millisecond, false, keeps), ""},
		"5xx":                                {with(503, "", time.Millisecond, false, keeps), "failed"},
		"failed":                             {with(0, fault.ConnectTimeout, time.Millisecond, false, keeps), "failed"},
		"refused":                            {with(0, fault.PolicyDenied, time.Millisecond, false, keeps), "failed"},
		"cancelled":                          {with(0, fault.Cancelled, time.Millisecond, false, keeps), ""},
		"slow":                               {with(200, "", 2*time.Second, false, keeps), "slow"},
		"slow and cancelled":                 {with(0, fault.Cancelled, 2*time.Second, false, keeps), "slow"},
		"as slow as may be":                  {with(200, "", time.Second, false, keeps), ""},
		"slow, nobody asks":                  {with(200, "", time.Hour, false, policy.Tracing{KeepFailed: true}), ""},
		"failed, nobody asks":                {with(500, "", time.Millisecond, false, policy.Tracing{KeepSlower: time.Second}), ""},
		"a long stream, its head soon there": {streamed, ""},
		"a stream, its head late":            {late, "slow"},
	} {
		w := newWorld(t, true, false)
		w.Finished(context.Background(), tc.f)
		if got := len(w.spans) > 0; got != (tc.want != "") || got != tc.f.Trace.Kept() {
			t.Errorf("%s: %d spans, want it kept: %q", name, len(w.spans), tc.want)
		}
		if n := w.sum(t, telemetry.MetricKept, telemetry.Kept.String(tc.want)); tc.want != "" && n != 1 {
			t.Errorf("%s: counted %d as %s, want 1", name, n, tc.want)
		}
		dark := newWorld(t, false, false)
		if dark.Finished(context.Background(), tc.f); len(dark.spans) > 0 {
			t.Errorf("%s: %d spans where nothing is exported", name, len(dark.spans))
		}
	}
}

// TestTail: how many are kept after the fact in a second, and that refusals, which
// callers bring about as they like, hide no failure.
func TestTail(t *testing.T) {
	w := newWorld(t, true, false)
	failing, refused := call(0), call(0)
	failing.Err, refused.Err = fault.New(fault.ConnectTimeout, "no"), fault.New(fault.PolicyDenied, "no")
	failing.Response.Attempts, refused.Response.Attempts = nil, nil
	kept := func(f *fetch.Finished, times int) int {
		before := len(w.spans)
		for range times {
			w.Finished(context.Background(), f)
		}
		return len(w.spans) - before
	}
	if n := kept(refused, 1000); n != tailRefusedSecond {
		t.Errorf("kept %d of 1,000 refusals in a second, want %d", n, tailRefusedSecond)
	}
	if n := kept(failing, 1000); n != tailPerSecond {
		t.Errorf("kept %d of 1,000 failures in a second, want %d", n, tailPerSecond)
	}
	if n := w.sum(t, telemetry.MetricDropped); n != 2000-tailPerSecond-tailRefusedSecond {
		t.Errorf("counted %d that were dropped", n)
	}
	w.now = w.now.Add(time.Second)
	if n := kept(failing, 1); n != 1 {
		t.Error("kept nothing in the next second")
	}
	sampled := call(200)
	sampled.Sampled, sampled.Response.Attempts = true, nil
	if n := kept(sampled, 500); n != 500 {
		t.Errorf("kept %d of 500 that are sampled, want all", n)
	}
}

// TestItemKeepsItsBatch: where an item's trace is kept after the fact, so are the spans
// above it.
func TestItemKeepsItsBatch(t *testing.T) {
	w := newWorld(t, true, false)
	ctx, r := w.Begin(context.Background(), rpc())
	for _, status := range []int{200, 500} {
		f := call(status)
		f.Trace = telemetry.TraceFrom(ctx).Child()
		w.Finished(telemetry.WithTrace(ctx, f.Trace), f)
	}
	r.End(End{Code: "OK"})
	var names []string
	for _, s := range w.spans {
		names = append(names, s.Name)
	}
	if want := []string{"GET /v1/*", "fetchsvc.batch.item", "fetchsvc.v1.FetchService/Fetch"}; !slices.Equal(names, want) {
		t.Errorf("got the spans %q, want %q", names, want)
	}
	if top := w.spans[2]; w.spans[1].Parent != top.ID || w.spans[1].Trace != top.Trace {
		t.Error("the item's span is not under the RPC's")
	}
}

// TestRPC: what it is called, whose fault it is, and that each is counted.
func TestRPC(t *testing.T) {
	denied := fault.New(fault.PolicyDenied, "no")
	for name, tc := range map[string]struct {
		begin Begin
		end   End
		span  string
		code  codes.Code
		why   string
	}{
		"ok":      {rpc(), End{Code: "OK"}, "fetchsvc.v1.FetchService/Fetch", codes.Unset, ""},
		"denied":  {rpc(), End{Code: "PERMISSION_DENIED", Err: denied, Source: "gateway"}, "fetchsvc.v1.FetchService/Fetch", codes.Unset, ""},
		"broken":  {rpc(), End{Code: "INTERNAL", Err: fault.New(fault.Internal, "oh"), Broken: true}, "fetchsvc.v1.FetchService/Fetch", codes.Error, "INTERNAL"},
		"unknown": {Begin{Method: "x/y", Door: "grpc", Header: rpc().Header}, End{Code: "UNIMPLEMENTED", Err: fault.New(fault.Unimplemented, "no"), Broken: true}, "grpc", codes.Error, "UNIMPLEMENTED"},
	} {
		w := newWorld(t, true, true)
		_, r := w.Begin(context.Background(), tc.begin)
		r.End(tc.end)
		if len(w.spans) != 1 {
			t.Fatalf("%s: %d spans, want 1", name, len(w.spans))
		}
		s := w.spans[0]
		why := ""
		for _, a := range s.Attributes {
			if a.Key == telemetry.ErrorType {
				why = a.Value.AsString()
			}
		}
		if s.Name != tc.span || s.Kind != trace.SpanKindServer || s.Status != tc.code || why != tc.why {
			t.Errorf("%s: got span %q of kind %s, %s, error.type %q, want %q, server, %s, %q", name, s.Name, s.Kind, s.Status, why, tc.span, tc.code, tc.why)
		}
	}
}

// TestCallsThatNeverBegan count as calls all the same: one of a refused RPC, and of an
// item that is no request.
func TestCallsThatNeverBegan(t *testing.T) {
	w := newWorld(t, true, true)
	ctx, r := w.Begin(context.Background(), rpc())
	w.Refused(telemetry.WithTrace(ctx, r.Trace.Child()), "billing", 3, time.Now(), fault.New(fault.InvalidRequest, "no"))
	_, other := w.Begin(context.Background(), rpc())
	other.Caller = "billing"
	other.End(End{Code: "UNAUTHENTICATED", Err: fault.New(fault.Unauthenticated, "who?"), Source: "gateway"})
	for kind, denied := range map[fault.Kind]int64{fault.InvalidRequest: 0, fault.Unauthenticated: 1} {
		if n := w.sum(t, telemetry.MetricCalls, telemetry.Caller.String("billing"), telemetry.Outcome.String(string(kind))); n != 1 {
			t.Errorf("counted %d calls that ended in %s, want 1", n, kind)
		}
		if n := w.sum(t, telemetry.MetricDenied, telemetry.ErrorType.String(string(kind))); n != denied {
			t.Errorf("counted %d denied for %s, want %d", n, kind, denied)
		}
	}
}

// TestRefusalsAreKept: what never began is kept as any other failure, and counted.
func TestRefusalsAreKept(t *testing.T) {
	w := newWorld(t, true, false)
	_, r := w.Begin(context.Background(), rpc())
	r.End(End{Code: "UNAUTHENTICATED", Err: fault.New(fault.Unauthenticated, "who?"), Source: "gateway"})
	ctx, batch := w.Begin(context.Background(), rpc())
	w.Refused(telemetry.WithTrace(ctx, batch.Trace.Child()), "billing", 3, time.Now(), fault.New(fault.InvalidRequest, "no"))
	batch.End(End{Code: "OK"})
	if len(w.spans) != 3 {
		t.Errorf("got %d spans, want those of two RPCs and an item", len(w.spans))
	}
	if n := w.sum(t, telemetry.MetricKept, telemetry.Kept.String(keptFailed)); n != 2 {
		t.Errorf("counted %d as kept, want 2", n)
	}
}

// TestCancelledIsNoError: a caller that gives up makes no error of an attempt, unless its
// status was one already.
func TestCancelledIsNoError(t *testing.T) {
	for status, want := range map[int]codes.Code{0: codes.Unset, 200: codes.Unset, 503: codes.Error} {
		w := newWorld(t, true, true)
		f := call(status)
		f.Sampled, f.Err = true, fault.New(fault.Cancelled, "the caller cancelled the call")
		f.Response.Attempts[0].Err = f.Err
		w.Finished(context.Background(), f)
		attempt, item := w.spans[0], w.spans[1]
		has := slices.ContainsFunc(attempt.Attributes, func(a attribute.KeyValue) bool { return a.Key == telemetry.ErrorType })
		if attempt.Status != want || has != (want == codes.Error) || attempt.Description != "" {
			t.Errorf("status %d: the attempt's status is %s %q, error.type is there: %v", status, attempt.Status, attempt.Description, has)
		}
		if item.Status != codes.Unset {
			t.Errorf("status %d: the item's status is %s", status, item.Status)
		}
	}
}

// TestNobodyIsTold: nil Signals draw ids, and that is all.
func TestNobodyIsTold(t *testing.T) {
	var s *Signals
	ctx, r := s.Begin(context.Background(), rpc())
	if !r.Trace.ID.IsValid() || telemetry.TraceFrom(ctx) != r.Trace {
		t.Error("the RPC has no trace")
	}
	s.Finished(ctx, call(200))
	s.Refused(ctx, "billing", 0, time.Now(), fault.New(fault.InvalidRequest, "no"))
	r.End(End{Code: "OK"})
}

// TestSeriesOfStatuses: an upstream makes no series by inventing statuses.
func TestSeriesOfStatuses(t *testing.T) {
	w := newWorld(t, false, false)
	for status := 600; status < 1000; status++ {
		f := call(status)
		f.Response.Attempts[0].Method = "M" + strconv.Itoa(status)
		w.Finished(context.Background(), f)
	}
	for _, m := range w.collect(t) {
		if h, ok := m.Data.(metricdata.Histogram[float64]); ok && len(h.DataPoints) != 1 {
			t.Errorf("%s has %d series of 400 invented statuses, want 1", m.Name, len(h.DataPoints))
		}
	}
}

// TestRetryCause takes the ledger's words for what telemetry's has.
func TestRetryCause(t *testing.T) {
	for words, want := range map[string]string{
		"status 503": "503", "status 503, Retry-After 2s": "503", "CONNECT_TIMEOUT": "CONNECT_TIMEOUT", "the connection was found dead": "stale",
	} {
		if got := retryCause(words); got != want {
			t.Errorf("%q: got %q, want %q", words, got, want)
		}
	}
}

// TestSetsAreBounded: what is remembered of labels is.
func TestSetsAreBounded(t *testing.T) {
	w := newWorld(t, false, false)
	for i := range 2 * mostSets {
		w.meters.ofUpstream.get(strconv.Itoa(i))
	}
	if n := len(w.meters.ofUpstream.sets); n != mostSets {
		t.Errorf("%d sets are remembered, want %d", n, mostSets)
	}
}
