package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/trace"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

// recorder keeps log records as the SDK exports them.
type recorder struct {
	mu  sync.Mutex
	all []sdklog.Record
}

func (r *recorder) Export(_ context.Context, records []sdklog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, records...)
	return nil
}

func (*recorder) Shutdown(context.Context) error   { return nil }
func (*recorder) ForceFlush(context.Context) error { return nil }

// tell is a Tell that records.
func (r *recorder) tell() func(*Entry) {
	return Records(sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewSimpleProcessor(r))).Logger("audit"))
}

// attributes are a record's, as JSON would have them.
func attributes(t *testing.T, r *sdklog.Record) map[string]any {
	t.Helper()
	all := map[string]any{}
	r.WalkAttributes(func(a attribute.KeyValue) bool {
		text, err := json.Marshal(a.Value.AsInterface())
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		all[string(a.Key)] = v
		return true
	})
	return all
}

// TestRecord: a record has what the line has, and no more.
func TestRecord(t *testing.T) {
	var out bytes.Buffer
	var records recorder
	l := New(Config{W: &out, Sample: 1, Tell: records.tell()})
	e := FromCall(finished(t, func(f *fetch.Finished) {
		f.Err = fault.New(fault.ConnectionReset, "reset")
		f.Reported, f.ReportedRule = "deny would refuse it", "deny"
		f.Response.History = []fetch.Hop{{}}
		f.Response.Attempts[0].Stopped = "MAX_ATTEMPTS: no more"
		f.Request.Header = http.Header{"Content-Type": {"text/plain"}, "User-Agent": {"sdk/1"}}
	}), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	e.Proof, e.Door, e.RPC, e.Peer = "api_key", "grpc", "fetchsvc.v1.FetchService/Fetch", "192.0.2.9"
	e.Span = trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	e.TraceID, e.SpanID = e.Span.TraceID().String(), e.Span.SpanID().String()
	l.Write(e)
	l.Close()
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if len(records.all) != 1 {
		t.Fatalf("got %d records of one line", len(records.all))
	}
	r := &records.all[0]
	if r.EventName() != "fetchsvc.call" || !r.Timestamp().Equal(e.Time) || r.Severity() != log.SeverityError || r.SeverityText() != "ERROR" {
		t.Errorf("got %s of %s at level %v %s, want fetchsvc.call of %s at ERROR", r.EventName(), r.Timestamp(), r.Severity(), r.SeverityText(), e.Time)
	}
	if r.TraceID() != e.Span.TraceID() || r.SpanID() != e.Span.SpanID() || !r.TraceFlags().IsSampled() {
		t.Errorf("the record is of %s and %s, want %s and %s", r.TraceID(), r.SpanID(), e.TraceID, e.SpanID)
	}
	if got, want := r.Body().AsString(), "GET https://api.example/v1/things: CONNECTION_RESET"; got != want {
		t.Errorf("the text is %q, want %q", got, want)
	}
	got := attributes(t, r)
	for _, key := range keys() {
		want := line[key]
		own := slices.Contains([]string{"time", "msg", "trace_id", "span_id"}, key) || want == ""
		if _, there := got[key]; there == own {
			t.Errorf("%s: the record has it: %v, want %v; the line says %v", key, there, !own, want)
		}
		if !own && !reflect.DeepEqual(got[key], want) {
			t.Errorf("%s is %v, want %v as in the line", key, got[key], want)
		}
		delete(got, key)
	}
	if len(got) > 0 {
		t.Errorf("the record has what no line has: %v", got)
	}
}

// TestSeverity holds that the level tells whose call it is to look.
func TestSeverity(t *testing.T) {
	tests := []struct {
		decision, outcome string
		want              log.Severity
	}{
		{Allowed, Answered, log.SeverityInfo},
		{Allowed, string(fault.Cancelled), log.SeverityInfo},
		{Reported, Answered, log.SeverityWarn},
		{Reported, string(fault.Cancelled), log.SeverityWarn},
		{Reported, string(fault.ConnectTimeout), log.SeverityError},
		{Allowed, string(fault.ConnectTimeout), log.SeverityError},
		{Denied, string(fault.PolicyDenied), log.SeverityWarn},
		{Denied, string(fault.RateLimited), log.SeverityWarn},
		{Invalid, string(fault.InvalidRequest), log.SeverityWarn},
	}
	for _, tt := range tests {
		if got := (&Entry{Decision: tt.decision, Outcome: tt.outcome}).severity(); got != tt.want {
			t.Errorf("%s, %s: got %v, want %v", tt.decision, tt.outcome, got, tt.want)
		}
	}
}

// TestToldIsWhatIsWritten: the sample and floods are of calls, not of lines, with a
// file and without one.
func TestToldIsWhatIsWritten(t *testing.T) {
	run := func(t *testing.T, w io.Writer, sample float64) (told []string) {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			l := New(Config{W: w, Sample: sample, Tell: func(e *Entry) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, e.Outcome)
			}})
			for range 10 {
				l.Write(FromCall(finished(t, nil), time.Now()))
				l.Refuse(refusal("192.0.2.1", "", fault.Unauthenticated))
			}
			time.Sleep(window + time.Second)
			synctest.Wait()
			l.Refuse(refusal("192.0.2.1", "", fault.Unauthenticated))
			l.Write(FromCall(finished(t, func(f *fetch.Finished) { f.Err = fault.New(fault.PolicyDenied, "no") }), time.Now()))
			if lost := l.Close(); lost != 0 {
				t.Errorf("%d lines are lost", lost)
			}
		})
		return told
	}
	for _, sample := range []float64{0, 1} {
		var out bytes.Buffer
		told := run(t, &out, sample)
		var written []string
		for line := range strings.Lines(out.String()) {
			var e Entry
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			written = append(written, e.Outcome)
		}
		// Five of a flood, its minute's, and that of the minute that Close ends.
		if want := 8 + int(10*sample); len(told) != want {
			t.Errorf("sample %v: %d calls were told, want %d: %v", sample, len(told), want, told)
		}
		slices.Sort(written)
		if without := run(t, nil, sample); !slices.Equal(slices.Sorted(slices.Values(told)), written) || !slices.Equal(without, told) {
			t.Errorf("sample %v: told of\n%v, without a file of\n%v, want the calls of the lines\n%v", sample, told, without, written)
		}
	}
}

// BenchmarkRecord is what a call pays for its record, without what the SDK does.
func BenchmarkRecord(b *testing.B) {
	e := &Entry{Time: time.Now(), Decision: Allowed, Outcome: Answered, Caller: "billing", Proof: "api_key", Door: "grpc",
		RPC: "fetchsvc.v1.FetchService/Fetch", Peer: "192.0.2.1", Method: "GET", URL: "https://api.example/v1/things/4711",
		Upstream: "api", Status: 200, Attempts: 1, Addresses: []string{"192.0.2.7:443"}, ResponseType: "application/json", BytesReceived: 4096}
	b.ReportAllocs()
	for b.Loop() {
		e.record()
	}
}
