package telemetry

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// traceparents are the examples of W3C Trace Context and what is next to them.
var traceparents = []string{
	parent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
	"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
	"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-has",
	"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what", "ff" + parent[2:], "00" + parent[2:] + "-x",
	"00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
	"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", parent[:54], "", "-", "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
	"0g" + parent[2:], parent[:53] + "0g", parent[:53] + "zz",
}

// FuzzTraceparent holds our reading against OpenTelemetry's.
func FuzzTraceparent(f *testing.F) {
	for _, s := range traceparents {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, span, sampled, ok := parseTraceparent(s)
		if !ok {
			id, span, sampled = trace.TraceID{}, trace.SpanID{}, false
		}
		ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(http.Header{"Traceparent": {s}}))
		want := trace.SpanContextFromContext(ctx)
		switch { // where OpenTelemetry's departs from the specification
		case ok && !want.IsValid() && s[53:55] > "03":
			return // it refuses reserved flags, which section 3.2.2.5 has us ignore
		case !ok && want.IsValid() && s[len(s)-1] == '-':
			return // it lets a dash stand behind the last part
		}
		if id != want.TraceID() || span != want.SpanID() || sampled != want.IsSampled() {
			t.Errorf("%q is %s %s %v; OpenTelemetry reads %s %s %v", s, id, span, sampled, want.TraceID(), want.SpanID(), want.IsSampled())
		}
	})
}

// extract begins a Trace.
func extract(get func(string) []string, sample Sampler) *Trace {
	t := &Trace{}
	t.Extract(context.Background(), func(_ context.Context, name string) []string { return get(name) }, sample)
	return t
}

func TestExtract(t *testing.T) {
	h := http.Header{"traceparent": {parent}, "tracestate": {"a=1", "b=2"}, "baggage": {"k=v"}}
	get := func(name string) []string { return h[name] }
	all := func(_ trace.TraceID, parent, sampled bool) bool { return parent && sampled }
	tr := extract(get, all)
	if !tr.Remote || tr.ID.String() != parent[3:35] || tr.Parent.String() != parent[36:52] || !tr.Span.IsValid() || tr.Span == tr.Parent {
		t.Errorf("the trace is %+v, want a span of its own below %s", tr, parent)
	}
	if tr.State != "a=1,b=2" || tr.Baggage != "k=v" || !tr.Sampled {
		t.Errorf("the trace has state %q, baggage %q, sampled %v", tr.State, tr.Baggage, tr.Sampled)
	}
	if got, want := tr.Traceparent(tr.Parent, true), parent; got != want {
		t.Errorf("told on it is %q, want %q", got, want)
	}
	if tr := extract(get, nil); !tr.Sampled {
		t.Error("nobody decides, and the caller's decision does not stand")
	}
	none := func(trace.TraceID, bool, bool) bool { return false }
	if tr := extract(get, none); tr.Sampled {
		t.Error("it is sampled although the sampler says no")
	}
	h["traceparent"] = []string{parent, parent}
	if tr := extract(get, all); tr.Remote || tr.State != "" || !tr.ID.IsValid() {
		t.Errorf("two parents give %+v, want a trace of its own", tr)
	}
	for name, bad := range map[string]string{"long": string(make([]byte, maxBaggage+1)), "control characters": "k=v\r\nx: y", "not ASCII": "k=\u00e4"} {
		h["baggage"] = []string{bad}
		if tr := extract(get, all); tr.Baggage != "" {
			t.Errorf("%s: baggage %.20q is taken", name, tr.Baggage)
		}
	}
}

// TestBadState: what is no tracestate is not told on, and the traceparent holds.
func TestBadState(t *testing.T) {
	for state, want := range map[string]string{
		"a=1,,b=2": "a=1,,b=2", "x@y=1": "x@y=1", "no value": "", "a=1,a=2": "", "=": "", "a=1=2": "",
		strings.Repeat("a,", 200): "", strings.Repeat("k=v,", 33): "", "a=1\r\nX-Evil: 1": "",
	} {
		h := http.Header{"traceparent": {parent}, "tracestate": {state}}
		tr := extract(func(name string) []string { return h[name] }, nil)
		if tr.State != want || !tr.Remote {
			t.Errorf("tracestate %.40q is taken as %q, want %q", state, tr.State, want)
		}
	}
}

// TestShare holds ours against OpenTelemetry's.
func TestShare(t *testing.T) {
	for _, share := range []float64{0, .001, .25, .5, .999, 1} {
		theirs := sdktrace.TraceIDRatioBased(share)
		kept := 0
		for range 10_000 {
			id := newTraceID()
			got := Share(id, share)
			if want := theirs.ShouldSample(sdktrace.SamplingParameters{TraceID: id}).Decision == sdktrace.RecordAndSample; got != want {
				t.Fatalf("%s by %v: %v, OpenTelemetry says %v", id, share, got, want)
			}
			if got {
				kept++
			}
		}
		if d := float64(kept)/10_000 - share; d < -.05 || d > .05 {
			t.Errorf("%v of 10,000 are kept by a share of %v", kept, share)
		}
	}
}

func TestBeginAndChild(t *testing.T) {
	tr := NewTrace()
	if tr.Begin() != tr {
		t.Error("the first is not the trace itself")
	}
	if c := tr.Begin(); c == tr || c.Parent != tr.Span || c.ID != tr.ID || c.Span == tr.Span {
		t.Errorf("the second is %+v, want a child", c)
	}
	ctx, span := Detached(t.Context(), tr)
	d := TraceFrom(ctx)
	if d.ID == tr.ID || d.Parent.IsValid() || d.Context().SpanID() != span.SpanID() || len(d.Links) != 1 || d.Links[0].SpanContext.SpanID() != tr.Span {
		t.Errorf("detached it is %+v, want a root with a link", d)
	}
	if TraceFrom(t.Context()) != nil || (*Trace)(nil).Context().IsValid() {
		t.Error("there is a trace where none was begun")
	}
}
