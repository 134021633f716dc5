package telemetry

import (
	"context"
	"encoding/hex"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// The headers of W3C Trace Context and Baggage, in lower case.
const (
	HeaderTraceparent = "traceparent"
	HeaderTracestate  = "tracestate"
	HeaderBaggage     = "baggage"
)

const (
	// maxState and maxBaggage are what the two specifications have everyone pass on, in
	// bytes; what is longer is left out.
	maxState, maxBaggage = 512, 8192
	flagSampled          = 1
)

// Sampler decides whether a trace is written, when it begins. parent says that the
// caller has a span of its own, and sampled what it decided.
type Sampler func(id trace.TraceID, parent, sampled bool) bool

// Extract begins in t the Trace of an RPC under the trace context that came with it;
// get gives the values of a header, from ctx. What cannot be read begins a trace of our own, as
// W3C Trace Context section 3.2 has it. With a nil Sampler the caller's decision stands.
func (t *Trace) Extract(ctx context.Context, get func(ctx context.Context, header string) []string, sample Sampler) {
	t.ID, t.Span = newTraceID(), NewSpanID()
	sampled := false
	if lines := get(ctx, HeaderTraceparent); len(lines) == 1 {
		if id, parent, yes, ok := parseTraceparent(lines[0]); ok {
			t.ID, t.Parent, t.Remote, sampled = id, parent, true, yes
			t.State = parsedState(joined(get(ctx, HeaderTracestate), maxState))
		}
	}
	t.Baggage = joined(get(ctx, HeaderBaggage), maxBaggage)
	t.Sampled = sampled
	if sample != nil {
		t.Sampled = sample(t.ID, t.Remote, sampled)
	}
}

// joined makes one line of a list header's, or none of what is too long or has
// characters that no header may have.
func joined(lines []string, most int) string {
	if len(lines) == 0 {
		return ""
	}
	line := strings.Join(lines, ",")
	if len(line) > most || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) {
		return ""
	}
	return line
}

// parsedState is a tracestate, or none of one that cannot be read (W3C Trace Context
// section 4.3, step 7).
func parsedState(line string) string {
	if _, err := trace.ParseTraceState(line); line == "" || err != nil {
		return ""
	}
	return line
}

// parseTraceparent reads `00-TRACE-PARENT-FLAGS`. Later versions may have more behind
// it.
func parseTraceparent(s string) (id trace.TraceID, parent trace.SpanID, sampled, ok bool) {
	const length = 55
	switch {
	case len(s) < length, s[2] != '-' || s[35] != '-' || s[52] != '-':
		return
	case s[:2] == "00" && len(s) != length, s[:2] == "ff", len(s) > length && s[length] != '-':
		return
	}
	var version, flags [1]byte
	for _, part := range []struct {
		to   []byte
		from string
	}{{version[:], s[:2]}, {id[:], s[3:35]}, {parent[:], s[36:52]}, {flags[:], s[53:55]}} {
		if _, err := hex.Decode(part.to, []byte(part.from)); err != nil || strings.ToLower(part.from) != part.from {
			return
		}
	}
	return id, parent, flags[0]&flagSampled != 0, id.IsValid() && parent.IsValid()
}

// Traceparent is what tells an upstream of the span, under t.
func (t *Trace) Traceparent(span trace.SpanID, sampled bool) string {
	b := make([]byte, 0, 55)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, t.ID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, span[:])
	if sampled {
		return string(append(b, "-01"...))
	}
	return string(append(b, "-00"...))
}

// Share samples a share of all traces, 0 to 1, by their ids: whoever decides by the
// same ids and share decides the same.
func Share(id trace.TraceID, share float64) bool {
	var low uint64
	for _, b := range id[8:] {
		low = low<<8 | uint64(b)
	}
	return share >= 1 || low>>1 < uint64(share*(1<<63))
}
