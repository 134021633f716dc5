package telemetry

import "go.opentelemetry.io/otel/attribute"

// Scope is the instrumentation scope of all that is emitted.
const Scope = "github.com/fetchsvc/fetchsvc"

// The attributes of spans, events and metrics: those of OpenTelemetry's conventions,
// and fetchsvc's own. What each means is in Attributes.
const (
	ServiceName    = attribute.Key("service.name")
	ServiceVersion = attribute.Key("service.version")

	RPCSystemName     = attribute.Key("rpc.system.name")
	RPCMethod         = attribute.Key("rpc.method")
	RPCMethodOriginal = attribute.Key("rpc.method_original")
	RPCStatusCode     = attribute.Key("rpc.response.status_code")
	ClientAddress     = attribute.Key("client.address")

	HTTPRequestMethod         = attribute.Key("http.request.method")
	HTTPRequestMethodOriginal = attribute.Key("http.request.method_original")
	HTTPRequestBodySize       = attribute.Key("http.request.body.size")
	HTTPResponseBodySize      = attribute.Key("http.response.body.size")
	HTTPResponseStatusCode    = attribute.Key("http.response.status_code")
	HTTPResendCount           = attribute.Key("http.request.resend_count")
	HTTPConnectionState       = attribute.Key("http.connection.state")
	URLFull                   = attribute.Key("url.full")
	URLScheme                 = attribute.Key("url.scheme")
	URLTemplate               = attribute.Key("url.template")
	ServerAddress             = attribute.Key("server.address")
	ServerPort                = attribute.Key("server.port")
	NetworkPeerAddress        = attribute.Key("network.peer.address")
	NetworkPeerPort           = attribute.Key("network.peer.port")
	NetworkProtocolName       = attribute.Key("network.protocol.name")
	NetworkProtocolVersion    = attribute.Key("network.protocol.version")
	ErrorType                 = attribute.Key("error.type")

	Caller           = attribute.Key("fetchsvc.caller")
	Upstream         = attribute.Key("fetchsvc.upstream")
	Route            = attribute.Key("fetchsvc.route")
	Door             = attribute.Key("fetchsvc.door")
	Outcome          = attribute.Key("fetchsvc.outcome")
	Rule             = attribute.Key("fetchsvc.rule")
	Source           = attribute.Key("fetchsvc.source")
	Credential       = attribute.Key("fetchsvc.credential")
	PolicyGeneration = attribute.Key("fetchsvc.policy.generation")
	Kept             = attribute.Key("fetchsvc.kept")
	AttemptCount     = attribute.Key("fetchsvc.attempt.count")
	UpstreamStatus   = attribute.Key("fetchsvc.upstream.status")
	BatchIndex       = attribute.Key("fetchsvc.batch.index")

	AttemptNumber    = attribute.Key("fetchsvc.attempt.number")
	AttemptReason    = attribute.Key("fetchsvc.attempt.reason")
	AttemptHop       = attribute.Key("fetchsvc.attempt.hop")
	AttemptWire      = attribute.Key("fetchsvc.attempt.wire")
	RetryStopped     = attribute.Key("fetchsvc.retry.stopped")
	ConnectionReused = attribute.Key("fetchsvc.connection.reused")
	Proxy            = attribute.Key("fetchsvc.proxy")
	Scrubbed         = attribute.Key("fetchsvc.scrubbed")
	PhaseDNS         = attribute.Key("fetchsvc.phase.dns")
	PhaseConnect     = attribute.Key("fetchsvc.phase.connect")
	PhaseTLS         = attribute.Key("fetchsvc.phase.tls")
	PhaseConnection  = attribute.Key("fetchsvc.phase.connection")
	PhaseSend        = attribute.Key("fetchsvc.phase.send")
	PhaseFirstByte   = attribute.Key("fetchsvc.phase.first_byte")
	PhaseBody        = attribute.Key("fetchsvc.phase.body")

	WaitReason      = attribute.Key("fetchsvc.wait.reason")
	WaitCause       = attribute.Key("fetchsvc.wait.cause")
	WaitDuration    = attribute.Key("fetchsvc.wait.duration")
	RedirectStatus  = attribute.Key("fetchsvc.redirect.status")
	RedirectStopped = attribute.Key("fetchsvc.redirect.stopped")
	Reason          = attribute.Key("fetchsvc.reason")

	SecretSource = attribute.Key("fetchsvc.secret.source")
	Signal       = attribute.Key("fetchsvc.signal")
)

// The events of spans.
const (
	EventWait           = "fetchsvc.wait"
	EventRedirect       = "fetchsvc.redirect"
	EventRefresh        = "fetchsvc.credential.refresh"
	EventGuardDenied    = "fetchsvc.guard.denied"
	EventPolicyDenied   = "fetchsvc.policy.denied"
	EventPolicyReported = "fetchsvc.policy.reported"
)

// The names of INTERNAL spans; those of our own calls are called as their upstream.
const (
	SpanBatchItem      = "fetchsvc.batch.item"
	SpanQueueWait      = "fetchsvc.wait.queue"
	SpanCredentialWait = "fetchsvc.wait.credential"
)

// Waits, by what for.
const (
	WaitRetry      = "retry"
	WaitQueue      = "queue"
	WaitCredential = "credential"
)

// Answered is the outcome of a call that was; else it is the failure's kind.
const Answered = "answered"

// Other stands for what callers could invent: an HTTP method that is no KnownMethod, an
// RPC that there is none of.
const Other = "_OTHER"

// KnownMethod says whether the conventions let m stand for itself: the methods of RFC
// 9110, PATCH (RFC 5789) and QUERY (draft-ietf-httpbis-safe-method-w-body).
func KnownMethod(m string) bool {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY":
		return true
	}
	return false
}
