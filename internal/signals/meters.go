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
	requestDuration, requestSize, responseSize, rpcDuration, callDuration metric.Float64Histogram
	wait, dns, connect, tls, lives                                        metric.Float64Histogram
	retries, stopped, denied, reported, redirects                         metric.Int64Counter
	scrubbed, keptTraces, droppedTraces                                   metric.Int64Counter

	// What every call adds to.
	calls    *tally[outcomeKey]
	attempts *tally[attemptKey]
	uses     *tally[reusedKey]

	ofRequest  *cache[requestKey]
	ofRPC      *cache[rpcMetricKey]
	ofDuration *cache[[2]string]
	ofUpstream *cache[string]
	ofPair     map[attribute.Key]*cache[[2]string] // with an upstream, by the other key
	ofDenied   *cache[deniedKey]
	ofKept     *cache[string]
	ofPlace    *cache[placeKey]
}

// newMeters makes the instruments that the catalogue lists.
func newMeters(meter metric.Meter) (*meters, error) {
	histograms, counters := map[string]metric.Float64Histogram{}, map[string]metric.Int64Counter{}
	for _, of := range telemetry.Metrics() {
		var err error
		switch {
		case of.Reading != telemetry.Recorded:
		case of.Kind == telemetry.Histogram:
			histograms[of.Name], err = meter.Float64Histogram(of.Name, metric.WithUnit(of.Unit), metric.WithDescription(of.Meaning), metric.WithExplicitBucketBoundaries(of.Buckets...))
		case of.Kind == telemetry.Counter:
			counters[of.Name], err = meter.Int64Counter(of.Name, metric.WithUnit(of.Unit), metric.WithDescription(of.Meaning))
		default:
			err = fmt.Errorf("a %s is not counted but observed", of.Kind)
		}
		if err != nil {
			return nil, fmt.Errorf("signals: metric %s: %w", of.Name, err)
		}
	}
	m := &meters{
		requestDuration: histograms[telemetry.MetricRequestDuration],
		requestSize:     histograms[telemetry.MetricRequestSize],
		responseSize:    histograms[telemetry.MetricResponseSize],
		rpcDuration:     histograms[telemetry.MetricRPCDuration],
		callDuration:    histograms[telemetry.MetricCallDuration],
		wait:            histograms[telemetry.MetricWait],
		dns:             histograms[telemetry.MetricDNS],
		connect:         histograms[telemetry.MetricConnect],
		tls:             histograms[telemetry.MetricTLS],
		lives:           histograms[telemetry.MetricConnectionDuration],
		retries:         counters[telemetry.MetricRetries],
		stopped:         counters[telemetry.MetricRetriesStopped],
		denied:          counters[telemetry.MetricDenied],
		reported:        counters[telemetry.MetricReported],
		redirects:       counters[telemetry.MetricRedirects],
		scrubbed:        counters[telemetry.MetricScrubbed],
		keptTraces:      counters[telemetry.MetricKept],
		droppedTraces:   counters[telemetry.MetricDropped],
	}
	m.makeCaches()
	return m, m.tell(meter)
}

// tell has meter ask for what every call adds to.
func (m *meters) tell(meter metric.Meter) error {
	counters := map[string]metric.Int64Observable{}
	var all []metric.Observable
	for _, of := range telemetry.Metrics() {
		if of.Reading != telemetry.Tallied {
			continue
		}
		one, err := meter.Int64ObservableCounter(of.Name, metric.WithUnit(of.Unit), metric.WithDescription(of.Meaning))
		if err != nil {
			return fmt.Errorf("signals: metric %s: %w", of.Name, err)
		}
		counters[of.Name], all = one, append(all, one)
	}
	_, err := meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		m.calls.tell(to, counters[telemetry.MetricCalls])
		m.attempts.tell(to, counters[telemetry.MetricAttempts])
		m.uses.tell(to, counters[telemetry.MetricConnectionUses])
		return nil
	}, all...)
	return err
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
	m.calls.add(outcomeKey{caller, upstream, how})
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
	if a.BytesSent > 0 {
		m.requestSize.Record(ctx, float64(a.BytesSent), of...)
	}
	if a.Status != 0 {
		m.responseSize.Record(ctx, float64(a.BytesReceived), of...)
	}
	m.attempts.add(attemptKey{a.Upstream, a.Reason, a.Wire})
	if a.Timings.Connection > 0 {
		m.uses.add(reusedKey{a.Upstream, a.Reused})
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

// attemptFailure is the error.type of an attempt; empty: it did not fail. By the
// conventions it did not where the caller gave up (http-spans.md, status).
func attemptFailure(a *fetch.Attempt) string {
	switch {
	case a.Err != nil && a.Err.Kind != fault.Cancelled:
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
