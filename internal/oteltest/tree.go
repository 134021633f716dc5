package oteltest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Words say how what differs from run to run is written down.
type Words struct {
	// Ports are names of ports, such as `a.port`; others are `port`.
	Ports map[int64]string
	// Texts replaces in names, attributes and descriptions; nil: nothing.
	Texts *strings.Replacer
}

// Tree writes spans down as trees, trace by trace in the order of their beginnings:
// names, kinds, status, attributes, events and links, without ids and times. Spans
// whose parent is not among them are roots.
func Tree(spans []*trace.Span, words Words) string {
	d := drawing{Words: words, all: spans, children: map[string][]*trace.Span{}, traces: map[string]int{}}
	byID := map[string]*trace.Span{}
	for _, s := range spans {
		byID[string(s.GetSpanId())] = s
	}
	var roots []*trace.Span
	for _, s := range spans {
		if parent := string(s.GetParentSpanId()); byID[parent] != nil {
			d.children[parent] = append(d.children[parent], s)
		} else {
			roots = append(roots, s)
		}
	}
	slices.SortFunc(roots, first)
	for _, root := range roots {
		if id := string(root.GetTraceId()); d.traces[id] == 0 {
			d.traces[id] = len(d.traces) + 1
		}
	}
	for _, root := range roots {
		d.line(0, "trace %d", d.traces[string(root.GetTraceId())])
		d.span(1, root)
	}
	return d.out.String()
}

// first orders spans: items of a batch by their place in it, others by when they began.
func first(a, b *trace.Span) int {
	const index = "fetchsvc.batch.index"
	i, j := Attribute(a.GetAttributes(), index), Attribute(b.GetAttributes(), index)
	if i != nil && j != nil {
		return cmp.Compare(i.GetIntValue(), j.GetIntValue())
	}
	return cmp.Or(cmp.Compare(a.GetStartTimeUnixNano(), b.GetStartTimeUnixNano()), cmp.Compare(a.GetName(), b.GetName()))
}

// Attribute is the value of a key; nil: there is none.
func Attribute(all []*common.KeyValue, key string) *common.AnyValue {
	for _, a := range all {
		if a.GetKey() == key {
			return a.GetValue()
		}
	}
	return nil
}

// drawing is one Tree.
type drawing struct {
	Words
	out      strings.Builder
	all      []*trace.Span
	children map[string][]*trace.Span
	traces   map[string]int // by id, in order
}

func (d *drawing) line(depth int, format string, args ...any) {
	fmt.Fprintf(&d.out, "%s%s\n", strings.Repeat("  ", depth), fmt.Sprintf(format, args...))
}

func (d *drawing) span(depth int, s *trace.Span) {
	d.line(depth, "%s %s", strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_"), d.text(s.GetName()))
	depth++
	switch {
	case len(s.GetParentSpanId()) == 0:
	case s.GetFlags()&uint32(trace.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK) != 0:
		d.line(depth, "under the caller's span")
	case !slices.ContainsFunc(d.all, func(p *trace.Span) bool { return string(p.GetSpanId()) == string(s.GetParentSpanId()) }):
		d.line(depth, "under a span that did not come")
	}
	if s.GetTraceState() != "" {
		d.line(depth, "tracestate %s", s.GetTraceState())
	}
	if st := s.GetStatus(); st.GetCode() != trace.Status_STATUS_CODE_UNSET || st.GetMessage() != "" {
		d.line(depth, "status %s %q", strings.TrimPrefix(st.GetCode().String(), "STATUS_CODE_"), d.text(st.GetMessage()))
	}
	d.attributes(depth, s.GetAttributes())
	for _, e := range s.GetEvents() {
		d.line(depth, "event %s%s", e.GetName(), outside(s, e))
		d.attributes(depth+1, e.GetAttributes())
	}
	for _, l := range s.GetLinks() {
		d.line(depth, "link to %s", d.linked(l))
		d.attributes(depth+1, l.GetAttributes())
	}
	children := d.children[string(s.GetSpanId())]
	slices.SortStableFunc(children, first)
	for _, c := range children {
		d.span(depth, c)
	}
}

// outside says that an event is not within its span's time.
func outside(s *trace.Span, e *trace.Span_Event) string {
	if at := e.GetTimeUnixNano(); at < s.GetStartTimeUnixNano() || at > s.GetEndTimeUnixNano() {
		return " (at another time than its span)"
	}
	return ""
}

func (d *drawing) linked(l *trace.Span_Link) string {
	for _, s := range d.all {
		if string(s.GetSpanId()) == string(l.GetSpanId()) && string(s.GetTraceId()) == string(l.GetTraceId()) {
			return fmt.Sprintf("%s of trace %d", d.text(s.GetName()), d.traces[string(s.GetTraceId())])
		}
	}
	return "a span that did not come"
}

func (d *drawing) attributes(depth int, all []*common.KeyValue) {
	all = slices.SortedFunc(slices.Values(all), func(a, b *common.KeyValue) int { return strings.Compare(a.GetKey(), b.GetKey()) })
	for _, a := range all {
		d.line(depth, "%s = %s", a.GetKey(), d.value(a.GetKey(), a.GetValue()))
	}
}

// value writes a value so that its type is seen. Fractions are times, which differ.
func (d *drawing) value(key string, v *common.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return fmt.Sprintf("%q", d.text(v.StringValue))
	case *common.AnyValue_DoubleValue:
		if v.DoubleValue <= 0 {
			return fmt.Sprintf("%g, which is no time", v.DoubleValue)
		}
		return "{seconds}"
	case *common.AnyValue_IntValue:
		if !strings.HasSuffix(key, ".port") {
			return fmt.Sprint(v.IntValue)
		}
		return "{" + cmp.Or(d.Ports[v.IntValue], "port") + "}"
	case *common.AnyValue_BoolValue:
		return fmt.Sprint(v.BoolValue)
	}
	return fmt.Sprintf("%v", v)
}

func (d *drawing) text(s string) string {
	if d.Texts == nil {
		return s
	}
	return d.Texts.Replace(s)
}
