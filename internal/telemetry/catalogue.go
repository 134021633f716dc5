package telemetry

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// Kind says what sort of instrument a Metric has.
type Kind uint8

// The kinds.
const (
	Counter Kind = iota + 1
	UpDownCounter
	Gauge
	Histogram
)

// String is the kind in words.
func (k Kind) String() string {
	return [...]string{"", "counter", "up-down counter", "gauge", "histogram"}[k]
}

// Reading is how a metric comes about.
type Reading uint8

// The readings.
const (
	Recorded Reading = iota // as things happen
	Tallied                 // every call adds to it, and it is read when metrics are collected
	Observed                // the state of something, likewise
)

// Metric is one that the service has. Instruments are made from it, and so is its row
// in docs/telemetry.md.
type Metric struct {
	Name string
	Kind Kind
	// Unit is UCUM's; what is counted stands in braces.
	Unit       string
	Meaning    string
	Attributes []attribute.Key
	// Buckets are the bounds of a histogram's.
	Buckets []float64
	// Reading is how it comes about.
	Reading Reading
}

// Prometheus is the name under /metrics.
func (m Metric) Prometheus() string {
	name := strings.ReplaceAll(m.Name, ".", "_")
	switch m.Unit {
	case "s":
		name += "_seconds"
	case "By":
		name += "_bytes"
	case "1":
		if m.Kind == Gauge {
			name += "_ratio"
		}
	}
	if m.Kind == Counter {
		name += "_total"
	}
	return name
}

// seconds are the bounds that the conventions advise for durations. Calls and streams may
// take longer than the last: they are in the bucket without a bound.
var (
	seconds = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
	// sizes are ours, in bytes: the conventions advise none.
	sizes = []float64{0, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20, 1 << 30}
	// lives are what they advise for how long connections last, in seconds.
	lives = []float64{.01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60, 120, 300}
)

// Metrics lists what the service measures, beside what the Go runtime and the
// process tell.
func Metrics() []Metric {
	request := []attribute.Key{HTTPRequestMethod, ServerAddress, ServerPort, URLScheme, HTTPResponseStatusCode, ErrorType, NetworkProtocolVersion, Upstream}
	place := []attribute.Key{ServerAddress, ServerPort, Upstream}
	upstream := []attribute.Key{Upstream}
	return []Metric{
		{MetricRequestDuration, Histogram, "s", "Time that an attempt took, to the end of its answer's body.", request, seconds, Recorded},
		{MetricRequestSize, Histogram, "By", "Size of an attempt's request body, as sent; of those that have one.", request, sizes, Recorded},
		{MetricResponseSize, Histogram, "By", "Size of an attempt's response body, as it came.", request, sizes, Recorded},
		{MetricActiveRequests, UpDownCounter, "{request}", "Attempts under way.", place, nil, Observed},
		{MetricOpenConnections, UpDownCounter, "{connection}", "Connections to upstreams, in use or idle.", append([]attribute.Key{HTTPConnectionState}, place...), nil, Observed},
		{MetricDialing, UpDownCounter, "{connection}", "Connections to upstreams that are being opened.", place, nil, Observed},
		{MetricConnectionDuration, Histogram, "s", "How long a connection lasted.", place, lives, Recorded},
		{MetricRPCDuration, Histogram, "s", "Time that an RPC took, by either door.", []attribute.Key{RPCSystemName, RPCMethod, RPCStatusCode, ErrorType, Door}, seconds, Recorded},

		{MetricCalls, Counter, "{call}", "Calls, by how they ended.", []attribute.Key{Caller, Upstream, Outcome}, nil, Tallied},
		{MetricCallDuration, Histogram, "s", "Time that a call took, waits and redirects included.", []attribute.Key{Upstream, Outcome}, seconds, Recorded},
		{MetricActiveCalls, UpDownCounter, "{call}", "Calls under way.", upstream, nil, Observed},
		{MetricAttempts, Counter, "{attempt}", "Attempts, by why they were made and by what of them reached the wire.", []attribute.Key{Upstream, AttemptReason, AttemptWire}, nil, Tallied},
		{MetricRetries, Counter, "{attempt}", "Retries, by what was tried again: a status or a kind of failure.", []attribute.Key{Upstream, ErrorType}, nil, Recorded},
		{MetricRetriesStopped, Counter, "{attempt}", "Attempts that failed and were not tried again, by why.", []attribute.Key{Upstream, RetryStopped}, nil, Recorded},
		{MetricBudget, Gauge, "{attempt}", "Retries that the upstream's budget has left at the moment.", upstream, nil, Observed},
		{MetricWait, Histogram, "s", "Time that calls waited: before a retry, for a free place, for a token.", []attribute.Key{Upstream, WaitReason}, seconds, Recorded},
		{MetricQueueWaiting, UpDownCounter, "{call}", "Calls that wait for a place among the upstream's calls.", upstream, nil, Observed},
		{MetricConcurrencyUsed, UpDownCounter, "{call}", "Calls that hold such a place.", upstream, nil, Observed},
		{MetricConcurrencyLimit, UpDownCounter, "{call}", "Such places that policy gives (limits.concurrent).", upstream, nil, Observed},
		{MetricDenied, Counter, "{call}", "Calls that were refused, by kind and rule.", []attribute.Key{ErrorType, Rule, Upstream}, nil, Recorded},
		{MetricReported, Counter, "{call}", "Calls that a rule in report mode would have refused.", []attribute.Key{Rule, Upstream}, nil, Recorded},
		{MetricRedirects, Counter, "{redirect}", "Redirects that were followed, by the upstream that they led to at last.", upstream, nil, Recorded},
		{MetricDNS, Histogram, "s", "Time to resolve an upstream's name, for attempts that needed a connection.", upstream, seconds, Recorded},
		{MetricConnect, Histogram, "s", "Time to connect, likewise.", upstream, seconds, Recorded},
		{MetricTLS, Histogram, "s", "Time of the TLS handshake, likewise.", upstream, seconds, Recorded},
		{MetricConnectionUses, Counter, "{attempt}", "Attempts that had a connection, by whether it was one from before.", []attribute.Key{Upstream, ConnectionReused}, nil, Tallied},
		{MetricConnectionWaiting, UpDownCounter, "{attempt}", "Attempts that wait for a connection.", upstream, nil, Observed},
		{MetricScrubbed, Counter, "{echo}", "Echoes of credentials taken out of answers.", upstream, nil, Recorded},

		{MetricSecretAge, Gauge, "s", "Age of the oldest secret in use, since it was last read.", []attribute.Key{SecretSource}, nil, Observed},
		{MetricSecretReads, Counter, "{read}", "Readings of secrets, by outcome: success or failure.", []attribute.Key{SecretSource, Outcome}, nil, Observed},
		{MetricTokenAge, Gauge, "s", "Age of the token in use.", []attribute.Key{Credential}, nil, Observed},
		{MetricTokenRemaining, Gauge, "s", "Time until it expires.", []attribute.Key{Credential}, nil, Observed},
		{MetricTokenFetches, Counter, "{fetch}", "Requests for tokens, by outcome: success or failure.", []attribute.Key{Credential, Outcome}, nil, Observed},
		{MetricGeneration, Gauge, "{generation}", "Generation of the policy in force, from 1.", nil, nil, Observed},
		{MetricReloads, Counter, "{reload}", "Readings of a changed policy, by outcome: success or failure.", []attribute.Key{Outcome}, nil, Observed},
		{MetricReloadSuccess, Gauge, "{boolean}", "1 if the policy's text is in force, 0 if it was refused and an older one is.", nil, nil, Observed},
		{MetricLoaded, Gauge, "s", "Unix time at which the policy in force was read.", nil, nil, Observed},
		{MetricKept, Counter, "{trace}", "Traces written, by why; of a batch, each item.", []attribute.Key{Kept}, nil, Recorded},
		{MetricDropped, Counter, "{trace}", "Traces of failed or slow calls that were not sampled and too many to keep.", nil, nil, Recorded},
		{MetricLost, Counter, "{item}", "Spans, log records and collections of metrics that could not be sent.", []attribute.Key{Signal}, nil, Observed},
	}
}

// The metrics.
const (
	MetricRequestDuration    = "http.client.request.duration"
	MetricRequestSize        = "http.client.request.body.size"
	MetricResponseSize       = "http.client.response.body.size"
	MetricActiveRequests     = "http.client.active_requests"
	MetricOpenConnections    = "http.client.open_connections"
	MetricConnectionDuration = "http.client.connection.duration"
	MetricRPCDuration        = "rpc.server.call.duration"

	MetricCalls             = "fetchsvc.calls"
	MetricCallDuration      = "fetchsvc.call.duration"
	MetricActiveCalls       = "fetchsvc.active_calls"
	MetricAttempts          = "fetchsvc.attempts"
	MetricRetries           = "fetchsvc.retries"
	MetricRetriesStopped    = "fetchsvc.retries.stopped"
	MetricBudget            = "fetchsvc.retry.budget.remaining"
	MetricWait              = "fetchsvc.wait.duration"
	MetricQueueWaiting      = "fetchsvc.queue.waiting"
	MetricConcurrencyUsed   = "fetchsvc.concurrency.used"
	MetricConcurrencyLimit  = "fetchsvc.concurrency.limit"
	MetricDialing           = "fetchsvc.connection.dialing"
	MetricDenied            = "fetchsvc.denied"
	MetricReported          = "fetchsvc.reported"
	MetricRedirects         = "fetchsvc.redirects"
	MetricDNS               = "fetchsvc.connection.dns.duration"
	MetricConnect           = "fetchsvc.connection.connect.duration"
	MetricTLS               = "fetchsvc.connection.tls.duration"
	MetricConnectionUses    = "fetchsvc.connection.uses"
	MetricConnectionWaiting = "fetchsvc.connection.waiting"
	MetricScrubbed          = "fetchsvc.scrubbed"
	MetricSecretAge         = "fetchsvc.secret.age"
	MetricSecretReads       = "fetchsvc.secret.reads"
	MetricTokenAge          = "fetchsvc.token.age"
	MetricTokenRemaining    = "fetchsvc.token.remaining"
	MetricTokenFetches      = "fetchsvc.token.fetches"
	MetricGeneration        = "fetchsvc.policy.generation"
	MetricReloads           = "fetchsvc.policy.reloads"
	MetricReloadSuccess     = "fetchsvc.policy.last_reload.successful"
	MetricLoaded            = "fetchsvc.policy.loaded.timestamp"
	MetricKept              = "fetchsvc.traces.kept"
	MetricDropped           = "fetchsvc.traces.dropped"
	MetricLost              = "fetchsvc.telemetry.lost"
)
