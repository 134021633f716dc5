package signals

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// meters are the instruments of what happens, and the sets of attributes that they
// were used with. What is at a moment is asked for when it is collected: see gauges.go.
type meters struct {
	histograms map[string]metric.Float64Histogram
	counters   map[string]metric.Int64Counter

	requestDuration, requestSize, responseSize, rpcDuration, callDuration, wait, dns, connect, tls, lives     metric.Float64Histogram
	calls, attempts, retries, stopped, denied, reported, redirects, uses, scrubbed, keptTraces, droppedTraces metric.Int64Counter

	ofRequest  *cache[requestKey]
	ofRPC      *cache[rpcMetricKey]
	ofOutcome  *cache[outcomeKey]
	ofDuration *cache[[2]string]
	ofUpstream *cache[string]
	ofAttempt  *cache[attemptKey]
	ofReused   *cache[reusedKey]
	ofPair     map[attribute.Key]*cache[[2]string] // with an upstream, by the other key
	ofDenied   *cache[deniedKey]
	ofKept     *cache[string]
	ofPlace    *cache[placeKey]
}

type (
	requestKey struct {
		upstream, method, scheme, proto, failure string
		place                                    fetch.Place
		status                                   int
	}
	rpcMetricKey struct{ method, code, failure, door string }
	outcomeKey   struct{ caller, upstream, outcome string }
	attemptKey   struct {
		upstream string
		reason   fetch.Reason
		wire     fault.Wire
	}
	reusedKey struct {
		upstream string
		reused   bool
	}
	deniedKey struct{ kind, rule, upstream string }
	placeKey  struct {
		upstream string
		place    fetch.Place
	}
)

// newMeters makes the instruments that the catalogue lists.
func newMeters(meter metric.Meter) (*meters, error) {
	m := &meters{histograms: map[string]metric.Float64Histogram{}, counters: map[string]metric.Int64Counter{}}
	for _, of := range telemetry.Metrics() {
		var err error
		switch {
		case of.Observed:
		case of.Kind == telemetry.Histogram:
			m.histograms[of.Name], err = meter.Float64Histogram(of.Name, metric.WithUnit(of.Unit), metric.WithDescription(of.Meaning), metric.WithExplicitBucketBoundaries(of.Buckets...))
		case of.Kind == telemetry.Counter:
			m.counters[of.Name], err = meter.Int64Counter(of.Name, metric.WithUnit(of.Unit), metric.WithDescription(of.Meaning))
		default:
			err = fmt.Errorf("a %s is not counted but observed", of.Kind)
		}
		if err != nil {
			return nil, fmt.Errorf("signals: metric %s: %w", of.Name, err)
		}
	}
	m.requestDuration, m.requestSize, m.responseSize = m.histograms[telemetry.MetricRequestDuration], m.histograms[telemetry.MetricRequestSize], m.histograms[telemetry.MetricResponseSize]
	m.rpcDuration, m.callDuration, m.wait = m.histograms[telemetry.MetricRPCDuration], m.histograms[telemetry.MetricCallDuration], m.histograms[telemetry.MetricWait]
	m.dns, m.connect, m.tls = m.histograms[telemetry.MetricDNS], m.histograms[telemetry.MetricConnect], m.histograms[telemetry.MetricTLS]
	m.calls, m.attempts, m.retries, m.stopped = m.counters[telemetry.MetricCalls], m.counters[telemetry.MetricAttempts], m.counters[telemetry.MetricRetries], m.counters[telemetry.MetricRetriesStopped]
	m.lives = m.histograms[telemetry.MetricConnectionDuration]
	m.denied, m.reported, m.redirects = m.counters[telemetry.MetricDenied], m.counters[telemetry.MetricReported], m.counters[telemetry.MetricRedirects]
	m.uses, m.scrubbed, m.keptTraces, m.droppedTraces = m.counters[telemetry.MetricConnectionUses], m.counters[telemetry.MetricScrubbed], m.counters[telemetry.MetricKept], m.counters[telemetry.MetricDropped]
	m.makeCaches()
	return m, nil
}

func (m *meters) makeCaches() {
	m.ofRequest = newCache(requestKey.attributes)
	m.ofRPC = newCache(rpcMetricKey.attributes)
	m.ofOutcome = newCache(func(k outcomeKey) []attribute.KeyValue {
		return []attribute.KeyValue{telemetry.Caller.String(k.caller), telemetry.Upstream.String(k.upstream), telemetry.Outcome.String(k.outcome)}
	})
	m.ofDuration = pairs(telemetry.Outcome)
	m.ofUpstream = newCache(func(name string) []attribute.KeyValue { return []attribute.KeyValue{telemetry.Upstream.String(name)} })
	m.ofAttempt = newCache(func(k attemptKey) []attribute.KeyValue {
		return []attribute.KeyValue{telemetry.Upstream.String(k.upstream), telemetry.AttemptReason.String(k.reason.String()), telemetry.AttemptWire.String(k.wire.String())}
	})
	m.ofReused = newCache(func(k reusedKey) []attribute.KeyValue {
		return []attribute.KeyValue{telemetry.Upstream.String(k.upstream), telemetry.ConnectionReused.Bool(k.reused)}
	})
	m.ofPair = map[attribute.Key]*cache[[2]string]{}
	for _, key := range []attribute.Key{telemetry.ErrorType, telemetry.RetryStopped, telemetry.WaitReason, telemetry.Rule} {
		m.ofPair[key] = pairs(key)
	}
	m.ofDenied = newCache(func(k deniedKey) []attribute.KeyValue {
		return []attribute.KeyValue{telemetry.ErrorType.String(k.kind), telemetry.Rule.String(k.rule), telemetry.Upstream.String(k.upstream)}
	})
	m.ofPlace = newCache(func(k placeKey) []attribute.KeyValue {
		return []attribute.KeyValue{telemetry.ServerAddress.String(k.place.Address), telemetry.ServerPort.Int(int(k.place.Port)), telemetry.Upstream.String(k.upstream)}
	})
	m.ofKept = newCache(func(why string) []attribute.KeyValue { return []attribute.KeyValue{telemetry.Kept.String(why)} })
}

// pairs are sets of an upstream and one thing more.
func pairs(key attribute.Key) *cache[[2]string] {
	return newCache(func(k [2]string) []attribute.KeyValue {
		return []attribute.KeyValue{telemetry.Upstream.String(k[0]), key.String(k[1])}
	})
}

func (k requestKey) attributes() []attribute.KeyValue {
	a := append(make([]attribute.KeyValue, 0, 8), telemetry.HTTPRequestMethod.String(k.method), telemetry.URLScheme.String(k.scheme),
		telemetry.ServerAddress.String(k.place.Address), telemetry.ServerPort.Int(int(k.place.Port)), telemetry.Upstream.String(k.upstream))
	if k.status != 0 {
		a = append(a, telemetry.HTTPResponseStatusCode.Int(k.status))
	}
	a = appendNonEmpty(a, telemetry.NetworkProtocolVersion, k.proto)
	return appendNonEmpty(a, telemetry.ErrorType, k.failure)
}

func (k rpcMetricKey) attributes() []attribute.KeyValue {
	a := append(make([]attribute.KeyValue, 0, 5), telemetry.RPCSystemName.String("grpc"), telemetry.RPCMethod.String(k.method),
		telemetry.RPCStatusCode.String(k.code), telemetry.Door.String(k.door))
	return appendNonEmpty(a, telemetry.ErrorType, k.failure)
}

// call measures a call that is over. exemplars says that its spans are written, so
// that measurements may point at them.
func (m *meters) call(f *fetch.Finished, exemplars bool) {
	ctx, how := context.Background(), outcome(f.Err)
	if exemplars {
		ctx = trace.ContextWithSpanContext(ctx, f.Trace.Context())
	}
	m.outcome(f.Request.Caller, f.Upstream, how)
	m.callDuration.Record(ctx, f.Response.Elapsed.Seconds(), m.ofDuration.get([2]string{f.Upstream, how}).record...)
	for _, a := range f.Response.Attempts {
		m.attempt(f, a, exemplars)
	}
	for i := range f.Waits {
		w := &f.Waits[i]
		m.wait.Record(ctx, w.Took.Seconds(), m.ofPair[telemetry.WaitReason].get([2]string{f.Upstream, w.For}).record...)
	}
	if n := len(f.Response.History); n > 0 {
		m.redirects.Add(ctx, int64(n), m.ofUpstream.get(f.Upstream).add...)
	}
	if f.Reported != "" {
		m.reported.Add(ctx, 1, m.ofPair[telemetry.Rule].get([2]string{f.Upstream, f.ReportedRule}).add...)
	}
	if f.Err != nil {
		m.refusal(f.Err, f.Upstream)
	}
}

// outcome counts a call by how it ended.
func (m *meters) outcome(caller, upstream, how string) {
	m.calls.Add(context.Background(), 1, m.ofOutcome.get(outcomeKey{caller, upstream, how}).add...)
}

// refusal counts a call that was denied.
func (m *meters) refusal(f *fault.Error, upstream string) {
	if f.Kind.Denial() {
		m.denied.Add(context.Background(), 1, m.ofDenied.get(deniedKey{string(f.Kind), f.RefusedBy(), upstream}).add...)
	}
}

// attempt measures one line of the ledger.
func (m *meters) attempt(f *fetch.Finished, a *fetch.Attempt, exemplars bool) {
	ctx := context.Background()
	if exemplars {
		ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: f.Trace.ID, SpanID: a.Span, TraceFlags: trace.FlagsSampled,
		}))
	}
	of := m.ofRequest.get(keyOf(a)).record
	m.requestDuration.Record(ctx, a.Timings.Total.Seconds(), of...)
	m.requestSize.Record(ctx, float64(a.BytesSent), of...)
	if a.Status != 0 {
		m.responseSize.Record(ctx, float64(a.BytesReceived), of...)
	}
	m.attempts.Add(ctx, 1, m.ofAttempt.get(attemptKey{a.Upstream, a.Reason, a.Wire}).add...)
	if a.Timings.Connection > 0 {
		m.uses.Add(ctx, 1, m.ofReused.get(reusedKey{a.Upstream, a.Reused}).add...)
	}
	if !a.Reused {
		m.phases(ctx, a)
	}
	if a.Reason == fetch.Again {
		m.retries.Add(ctx, 1, m.ofPair[telemetry.ErrorType].get([2]string{a.Upstream, retryCause(a.WaitReason)}).add...)
	}
	if a.Wait > 0 && a.Reason != fetch.First {
		m.wait.Record(ctx, a.Wait.Seconds(), m.ofPair[telemetry.WaitReason].get([2]string{a.Upstream, telemetry.WaitRetry}).record...)
	}
	if word, _, _ := strings.Cut(a.Stopped, ":"); word != "" {
		m.stopped.Add(ctx, 1, m.ofPair[telemetry.RetryStopped].get([2]string{a.Upstream, word}).add...)
	}
	if a.Scrubbed > 0 {
		m.scrubbed.Add(ctx, int64(a.Scrubbed), m.ofUpstream.get(a.Upstream).add...)
	}
}

// phases measures what a new connection took.
func (m *meters) phases(ctx context.Context, a *fetch.Attempt) {
	of := m.ofUpstream.get(a.Upstream).record
	for _, phase := range [...]struct {
		in   metric.Float64Histogram
		took time.Duration
	}{{m.dns, a.Timings.DNS}, {m.connect, a.Timings.Connect}, {m.tls, a.Timings.TLS}} {
		if phase.took > 0 {
			phase.in.Record(ctx, phase.took.Seconds(), of...)
		}
	}
}

// keyOf is what the conventions tell attempts apart by.
func keyOf(a *fetch.Attempt) requestKey {
	k := requestKey{upstream: a.Upstream, method: a.Method, scheme: a.URL.Scheme, proto: a.Proto, place: a.Place, status: a.Status}
	if !telemetry.KnownMethod(k.method) {
		k.method = telemetry.Other
	}
	if !realStatus(k.status) {
		k.status = 0
	}
	k.failure = attemptFailure(a)
	return k
}

// attemptFailure is the error.type of an attempt; empty: it did not fail.
func attemptFailure(a *fetch.Attempt) string {
	switch {
	case a.Err != nil:
		return string(a.Err.Kind)
	case a.Status < 400:
		return ""
	case !realStatus(a.Status):
		return telemetry.Other
	}
	return strconv.Itoa(a.Status)
}

// realStatus says that a status is of a class that there is: an upstream could invent
// any other.
func realStatus(status int) bool { return status >= 100 && status <= 599 }

// retryCause is what was tried again: a status, a kind, or `stale` for a connection that
// was found dead. The ledger's words are for people and have more behind a comma.
func retryCause(reason string) string {
	word, _, _ := strings.Cut(reason, ",")
	word = strings.TrimPrefix(word, "status ")
	if strings.Contains(word, " ") {
		return "stale"
	}
	return word
}

// rpc measures an RPC that is over.
func (m *meters) rpc(r *RPC, e End, took time.Duration) {
	k := rpcMetricKey{method: r.method(), code: e.Code, door: r.begin.Door}
	if e.Broken {
		k.failure = e.Code
	}
	ctx := context.Background()
	if r.Trace.Kept() {
		ctx = trace.ContextWithSpanContext(ctx, r.Trace.Context())
	}
	m.rpcDuration.Record(ctx, took.Seconds(), m.ofRPC.get(k).record...)
}

func (m *meters) kept(why string) {
	m.keptTraces.Add(context.Background(), 1, m.ofKept.get(why).add...)
}

func (m *meters) dropped() { m.droppedTraces.Add(context.Background(), 1) }

// Closed measures a connection that is no more.
func (s *Signals) Closed(upstream, address string, port uint16, lived time.Duration) {
	if s != nil {
		s.meters.lives.Record(context.Background(), lived.Seconds(), s.meters.ofPlace.get(placeKey{upstream, fetch.Place{Address: address, Port: port}}).record...)
	}
}
