package oteltest

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	trace "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// propagation is about what upstreams learn of a trace.
func propagation() []scenario {
	names := []string{"none", "context", "all"}
	peers := map[string]func(*world) testpeer.Script{}
	for _, name := range names {
		peers[name] = always(testpeer.OK)
	}
	policy := "upstreams:\n" + upstream("none") + upstream("context", "trace: {propagate: trace_context}") + upstream("all", "trace: {propagate: all}")
	call := func(w *world) {
		for _, name := range names {
			w.want(w.fetch(`{"url":"http://{`+name+`}/"}`), "200")
		}
	}
	under := func(traceparent string) func(*world) {
		return func(w *world) {
			w.under(traceparent)
			call(w)
		}
	}
	return []scenario{
		{name: "propagate", about: "What three upstreams learn of a caller's trace.", policy: policy, peers: peers, wire: true, calls: under(written)},
		{name: "propagate_not_written", about: "The same, of a trace that is not written.", policy: policy, peers: peers, wire: true, calls: under(notWritten)},
		{name: "propagate_own", about: "The same, of a trace of our own, with what a caller has no trace for.", policy: policy, peers: peers, wire: true, calls: call},
		{
			name: "propagate_odd", about: "A traceparent that cannot be read begins a trace of our own; a trace is not told to an upstream by a caller's header either.",
			policy: policy, peers: peers, wire: true,
			calls: func(w *world) {
				w.under("00-00000000000000000000000000000000-b7ad6b7169203331-01")
				w.want(w.fetch(`{"url":"http://{context}/"}`), "200")
			},
		},
		{
			name: "propagate_retried", about: "Each attempt has a span, and tells the upstream of that.",
			policy: "upstreams:\n" + upstream("a", "trace: {propagate: all}"), wire: true,
			peers: only(testpeer.Answer(testpeer.Response(503, "later"), testpeer.Response(200, "ok"))),
			calls: func(w *world) {
				w.under(written)
				w.want(w.fetch(`{"url":"http://{a}/"}`), "200")
			},
		},
	}
}

// wire is what the peers were told of traces, by the names of spans.
func (w *world) wire(spans []*trace.Span) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(w.peers)) {
		for i, raw := range w.peers[name].Requests() {
			fmt.Fprintf(&out, "%s got, in request %d:\n", name, i+1)
			told := false
			for line := range strings.Lines(string(raw)) {
				key, value, ok := strings.Cut(strings.TrimSpace(line), ":")
				switch key = strings.ToLower(key); {
				case !ok:
				case key == "traceparent":
					value = " " + toldOf(spans, strings.TrimSpace(value))
					fallthrough
				case key == "tracestate", key == "baggage":
					told = true
					fmt.Fprintf(&out, "  %s:%s\n", key, value)
				}
			}
			if !told {
				out.WriteString("  nothing\n")
			}
		}
	}
	return out.String()
}

// toldOf puts words into the places of a traceparent's ids.
func toldOf(spans []*trace.Span, traceparent string) string {
	parts := strings.Split(traceparent, "-")
	if len(parts) != 4 {
		return traceparent
	}
	id, span := "a trace of our own", "a span that is not written"
	for _, caller := range []string{written, notWritten} {
		if strings.Split(caller, "-")[1] == parts[1] {
			id = "the caller's trace"
		}
		if strings.Split(caller, "-")[2] == parts[2] {
			span = "the caller's span"
		}
	}
	for _, s := range spans {
		if hex.EncodeToString(s.GetSpanId()) == parts[2] {
			number := Attribute(s.GetAttributes(), "fetchsvc.attempt.number").GetIntValue()
			span = fmt.Sprintf("%s, attempt %d", s.GetName(), number)
			if hex.EncodeToString(s.GetTraceId()) != parts[1] {
				span += " of another trace"
			}
		}
	}
	return fmt.Sprintf("%s-{%s}-{%s}-%s", parts[0], id, span, parts[3])
}
