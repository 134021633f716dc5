package docs_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
)

// shortened are the attributes that the trees of the page leave out: they are the
// same in all of them, or are told by the name or the URL beside them.
var shortened = []string{
	"rpc.system.name", "rpc.method", "client.address", "network.peer.address", "network.peer.port",
	"network.protocol.name", "network.protocol.version", "http.request.method", "url.scheme", "server.address", "server.port",
	"http.response.body.size", "http.request.body.size", "fetchsvc.policy.generation", "fetchsvc.attempt.hop",
	"fetchsvc.door", "fetchsvc.caller", "fetchsvc.reason", "http.request.resend_count", "fetchsvc.connection.reused",
	"fetchsvc.phase.connection", "fetchsvc.phase.send",
}

// drawTrace gives a trace as a tree, and below it those that links of it lead to.
func drawTrace(all []*tracev1.Span, trace []byte) string {
	d := drawing{all: all, linked: [][]byte{trace}}
	d.trace(trace)
	for i := 1; i < len(d.linked); i++ {
		fmt.Fprintf(&d.out, "\nThe trace that the link leads to:\n")
		d.trace(d.linked[i])
	}
	return strings.TrimRight(d.out.String(), "\n")
}

type drawing struct {
	all    []*tracev1.Span
	out    strings.Builder
	linked [][]byte // traces, as they are met; the first is the one to draw
}

func (d *drawing) trace(id []byte) {
	spans := slices.DeleteFunc(slices.Clone(d.all), func(s *tracev1.Span) bool { return !bytes.Equal(s.GetTraceId(), id) })
	slices.SortStableFunc(spans, func(a, b *tracev1.Span) int {
		return int(int64(a.GetStartTimeUnixNano()) - int64(b.GetStartTimeUnixNano()))
	})
	for _, s := range spans {
		if !slices.ContainsFunc(spans, func(p *tracev1.Span) bool { return bytes.Equal(p.GetSpanId(), s.GetParentSpanId()) }) {
			d.span(spans, s, "", "")
		}
	}
}

// span draws one and those below it. first begins its line, rest those that follow.
func (d *drawing) span(spans []*tracev1.Span, s *tracev1.Span, first, rest string) {
	kind := strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_")
	took := time.Duration(s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano()).Round(10 * time.Microsecond)
	fmt.Fprintf(&d.out, "%s%s %s in %v", first, kind, s.GetName(), took)
	if s.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR {
		fmt.Fprintf(&d.out, ": error")
		if m := s.GetStatus().GetMessage(); m != "" {
			fmt.Fprintf(&d.out, " %q", m)
		}
	}
	d.out.WriteByte('\n')
	var below []*tracev1.Span
	for _, c := range spans {
		if bytes.Equal(c.GetParentSpanId(), s.GetSpanId()) {
			below = append(below, c)
		}
	}
	bar := rest + "   "
	if len(below) > 0 {
		bar = rest + "│  "
	}
	d.pairs(bar, "", s.GetAttributes())
	for _, e := range s.GetEvents() {
		d.pairs(bar, "event "+e.GetName()+": ", e.GetAttributes())
	}
	for _, l := range s.GetLinks() {
		if slices.ContainsFunc(d.linked, func(id []byte) bool { return bytes.Equal(id, l.GetTraceId()) }) {
			fmt.Fprintf(&d.out, "%slink back\n", bar)
			continue
		}
		fmt.Fprintf(&d.out, "%slink to another trace\n", bar)
		d.linked = append(d.linked, l.GetTraceId())
	}
	for i, c := range below {
		if i == len(below)-1 {
			d.span(spans, c, rest+"└─ ", rest+"   ")
		} else {
			d.span(spans, c, rest+"├─ ", rest+"│  ")
		}
	}
}

// lineWidth is where lines of attributes are broken.
const lineWidth = 100

// pairs writes attributes by their names, a few to a line.
func (d *drawing) pairs(bar, head string, all []*commonv1.KeyValue) {
	line := head
	flush := func() {
		if strings.TrimSpace(line) != "" {
			fmt.Fprintf(&d.out, "%s%s\n", bar, strings.TrimRight(line, " "))
		}
	}
	for i, a := range slices.SortedFunc(slices.Values(all), func(a, b *commonv1.KeyValue) int { return strings.Compare(a.GetKey(), b.GetKey()) }) {
		if head == "" && slices.Contains(shortened, a.GetKey()) {
			continue
		}
		pair := a.GetKey() + "=" + attributeText(a.GetValue())
		if i > 0 && len(line)+len(pair) > lineWidth && strings.TrimSpace(line) != "" {
			flush()
			line = strings.Repeat(" ", min(len(head), 2))
		}
		line += pair + "  "
	}
	flush()
}

func attributeText(v *commonv1.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *commonv1.AnyValue_StringValue:
		if strings.Contains(v.StringValue, " ") {
			return fmt.Sprintf("%q", v.StringValue)
		}
		return v.StringValue
	case *commonv1.AnyValue_DoubleValue:
		return fmt.Sprintf("%.4fs", v.DoubleValue) // all there are are seconds
	case *commonv1.AnyValue_IntValue:
		return fmt.Sprint(v.IntValue)
	case *commonv1.AnyValue_BoolValue:
		return fmt.Sprint(v.BoolValue)
	}
	return v.String()
}
