package signals

import (
	"cmp"
	"net/netip"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// write writes the spans of a call: one for each attempt and each long wait, and its
// own, unless it is the one call of an RPC, whose span tells of it.
func (s *Signals) write(f *fetch.Finished, rpc *RPC, why string) {
	f.Trace.Keep()
	for _, a := range f.Response.Attempts {
		s.sink.Emit(attemptSpan(f, a))
	}
	for i := range f.Waits {
		s.sink.Emit(waitSpan(f, &f.Waits[i]))
	}
	if rpc != nil {
		rpc.made = made{callAttributes(f, why), callEvents(f)}
		return
	}
	s.sink.Emit(callSpan(f, why))
}

// callAttributes are what the span above a call's attempts says of them all.
func callAttributes(f *fetch.Finished, why string) []attribute.KeyValue {
	a := append(make([]attribute.KeyValue, 0, 12), telemetry.Kept.String(why))
	a = appendNonEmpty(a, telemetry.Upstream, f.Upstream)
	if f.Generation > 0 { // else no policy was asked
		a = append(a, telemetry.PolicyGeneration.Int64(f.Generation))
	}
	if n := len(f.Response.Attempts); n > 0 {
		a = append(a, telemetry.AttemptCount.Int(n))
		if status := f.Response.Attempts[n-1].Status; status != 0 {
			a = append(a, telemetry.UpstreamStatus.Int(status))
		}
	}
	return a
}

// callSpan is that of an item of a batch, or of a call of our own.
func callSpan(f *fetch.Finished, why string) telemetry.Span {
	t := f.Trace
	out := telemetry.Span{
		Trace: t.ID, ID: t.Span, Parent: t.Parent, State: t.State, Links: t.Links,
		Name: telemetry.SpanBatchItem, Kind: trace.SpanKindInternal,
		Start: f.Start, End: f.Start.Add(f.Response.Elapsed), Events: callEvents(f),
	}
	a := append(callAttributes(f, why), telemetry.Caller.String(f.Request.Caller), telemetry.Outcome.String(outcome(f.Err)))
	if f.System {
		out.Name = cmp.Or(f.Upstream, f.Request.Caller)
	} else {
		a = append(a, telemetry.BatchIndex.Int(f.Request.Item))
	}
	if f.Err != nil {
		a = appendNonEmpty(a, telemetry.Rule, f.Err.RefusedBy())
	}
	out.Attributes = a
	fail(&out, f.Err)
	return out
}

// fail gives a span its error, if it has one: by the conventions a caller that gave up
// is none.
func fail(out *telemetry.Span, err *fault.Error) {
	if err == nil || err.Kind == fault.Cancelled {
		return
	}
	out.Attributes = append(out.Attributes, telemetry.ErrorType.String(string(err.Kind)))
	out.Status, out.Description = codes.Error, words(err)
}

// waitSpan is that of a wait for a place, or for a token, whose request has a trace of
// its own: a link leads there.
func waitSpan(f *fetch.Finished, w *fetch.Wait) telemetry.Span {
	out := telemetry.Span{
		Trace: f.Trace.ID, ID: telemetry.NewSpanID(), Parent: f.Trace.Span, State: f.Trace.State,
		Name: telemetry.SpanQueueWait, Kind: trace.SpanKindInternal, Start: w.Start, End: w.Start.Add(w.Took),
		Attributes: appendNonEmpty(nil, telemetry.Upstream, f.Upstream),
	}
	if w.For == telemetry.WaitCredential {
		out.Name = telemetry.SpanCredentialWait
		out.Attributes = append(out.Attributes, telemetry.Credential.String(w.Credential))
		if w.Fetch.IsValid() {
			out.Links = []trace.Link{{SpanContext: w.Fetch}}
		}
	}
	fail(&out, w.Err)
	return out
}

// attemptSpan is the CLIENT span of one line of the ledger.
func attemptSpan(f *fetch.Finished, a *fetch.Attempt) telemetry.Span {
	out := telemetry.Span{
		Trace: f.Trace.ID, ID: a.Span, Parent: f.Trace.Span, State: f.Trace.State,
		Name: attemptName(a), Kind: trace.SpanKindClient, Start: a.Start, End: a.Start.Add(a.Timings.Total),
		Attributes: attemptAttributes(f, a),
	}
	if a.Err != nil && a.Err.Kind == fault.AddressDenied {
		out.Events = []telemetry.Event{{Name: telemetry.EventGuardDenied, Time: out.End, Attributes: []attribute.KeyValue{telemetry.Reason.String(words(a.Err))}}}
	}
	why := attemptFailure(a)
	if why == "" {
		return out
	}
	out.Attributes = append(out.Attributes, telemetry.ErrorType.String(why))
	out.Status = codes.Error
	if a.Err != nil && a.Err.Kind != fault.Cancelled { // else the status says all
		out.Description = words(a.Err)
	}
	return out
}

// attemptName is `{method} {url.template}` by the conventions, without what is not
// known: never a path.
func attemptName(a *fetch.Attempt) string {
	name := a.Method
	if !telemetry.KnownMethod(name) {
		name = "HTTP"
	}
	if a.Template != "" {
		name += " " + a.Template
	}
	return name
}

func attemptAttributes(f *fetch.Finished, a *fetch.Attempt) []attribute.KeyValue {
	all := append(make([]attribute.KeyValue, 0, 40),
		telemetry.URLFull.String(spanURL(a)), telemetry.URLScheme.String(a.URL.Scheme),
		telemetry.ServerAddress.String(a.URL.Host.Name), telemetry.ServerPort.Int(int(a.URL.Port)),
		telemetry.Upstream.String(a.Upstream), telemetry.PolicyGeneration.Int64(f.Generation),
		telemetry.AttemptNumber.Int(a.Number), telemetry.AttemptHop.Int(a.Hop),
		telemetry.AttemptReason.String(a.Reason.String()), telemetry.AttemptWire.String(a.Wire.String()),
		telemetry.ConnectionReused.Bool(a.Reused),
	)
	if telemetry.KnownMethod(a.Method) {
		all = append(all, telemetry.HTTPRequestMethod.String(a.Method))
	} else {
		all = append(all, telemetry.HTTPRequestMethod.String(telemetry.Other), telemetry.HTTPRequestMethodOriginal.String(clip(a.Method)))
	}
	if a.Number > 1 {
		all = append(all, telemetry.HTTPResendCount.Int(a.Number-1))
	}
	all = appendNonEmpty(all, telemetry.URLTemplate, a.Template)
	all = appendNonEmpty(all, telemetry.Route, a.Route)
	all = appendNonEmpty(all, telemetry.Credential, a.Credential)
	all = appendNonEmpty(all, telemetry.Proxy, a.Proxy)
	if a.Status != 0 {
		all = append(all, telemetry.HTTPResponseStatusCode.Int(a.Status), telemetry.HTTPResponseBodySize.Int64(a.BytesReceived))
	}
	if a.BytesSent > 0 {
		all = append(all, telemetry.HTTPRequestBodySize.Int64(a.BytesSent))
	}
	if a.Proto != "" {
		all = append(all, telemetry.NetworkProtocolName.String("http"), telemetry.NetworkProtocolVersion.String(a.Proto))
	}
	if peer, err := netip.ParseAddrPort(a.Address); err == nil {
		all = append(all, telemetry.NetworkPeerAddress.String(peer.Addr().String()), telemetry.NetworkPeerPort.Int(int(peer.Port())))
	}
	if a.Scrubbed > 0 {
		all = append(all, telemetry.Scrubbed.Int(a.Scrubbed))
	}
	if word, _, _ := strings.Cut(a.Stopped, ":"); word != "" {
		all = append(all, telemetry.RetryStopped.String(word))
	}
	return appendPhases(all, &a.Timings)
}

// appendPhases tells the phases that took place, in seconds.
func appendPhases(all []attribute.KeyValue, t *fetch.Timings) []attribute.KeyValue {
	for _, phase := range [...]struct {
		key  attribute.Key
		took time.Duration
	}{
		{telemetry.PhaseDNS, t.DNS}, {telemetry.PhaseConnect, t.Connect}, {telemetry.PhaseTLS, t.TLS}, {telemetry.PhaseConnection, t.Connection},
		{telemetry.PhaseSend, t.Send}, {telemetry.PhaseFirstByte, t.FirstByte}, {telemetry.PhaseBody, t.Body},
	} {
		if phase.took > 0 {
			all = append(all, phase.key.Float64(phase.took.Seconds()))
		}
	}
	return all
}

// spanURL is where an attempt went. A query that an upstream's redirect made may have
// in it what the caller had confided to that upstream, under any name.
func spanURL(a *fetch.Attempt) string {
	if a.Hop > 0 {
		return a.URL.Place()
	}
	return a.URL.Redacted()
}

// mostText bounds words that callers and peers choose, in bytes.
const mostText = 512

func clip(s string) string {
	if len(s) > mostText {
		return strings.ToValidUTF8(s[:mostText], "") + "…" // not half a character
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
