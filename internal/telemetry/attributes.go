package telemetry

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// Where says on what an attribute stands.
type Where uint8

// The places, of which an attribute has one or more.
const (
	OnServer   Where = 1 << iota // spans of RPCs
	OnClient                     // spans of attempts
	OnInternal                   // spans of what is within a call, and of our own calls
	OnEvent
	OnMetric
	OnResource
)

// String is the places in words: `SERVER, metrics`.
func (w Where) String() string {
	var all []string
	for i, word := range []string{"SERVER", "CLIENT", "INTERNAL", "events", "metrics", "resource"} {
		if w&(1<<i) != 0 {
			all = append(all, word)
		}
	}
	return strings.Join(all, ", ")
}

// Attribute is one of a span, an event, a metric or the resource.
type Attribute struct {
	Key     attribute.Key
	Where   Where
	Meaning string
}

// Attributes lists those that the service emits. Operators add further ones of the
// resource, by OTEL_RESOURCE_ATTRIBUTES.
func Attributes() []Attribute {
	const spans = OnServer | OnClient | OnInternal
	return []Attribute{
		{ServiceName, OnResource, "`fetchsvc`, or what OTEL_SERVICE_NAME says."},
		{ServiceVersion, OnResource, "The version of fetchsvc."},

		{RPCSystemName, OnServer | OnMetric, "`grpc`, by either door."},
		{RPCMethod, OnServer | OnMetric, "The RPC, as package.Service/Method; `_OTHER`: there is none of that name; `REST`: a page, or a request that was turned away before its RPC was looked for."},
		{RPCMethodOriginal, OnServer, "What was asked for, where that is no RPC."},
		{RPCStatusCode, OnServer | OnMetric, "The gRPC status by name, also where REST answered: `OK`, `PERMISSION_DENIED`."},
		{ClientAddress, OnServer, "The address that the call came from."},

		{HTTPRequestMethod, OnClient | OnMetric, "The method; `_OTHER`: one that the conventions do not list: those of RFC 9110, PATCH and QUERY."},
		{HTTPRequestMethodOriginal, OnClient, "The method, where that is `_OTHER`."},
		{HTTPRequestBodySize, OnClient, "Bytes of the request's body that were sent; without one it is left out."},
		{HTTPResponseBodySize, OnClient, "Bytes of the answer's body that came, before its content coding was undone."},
		{HTTPResponseStatusCode, OnClient | OnMetric, "The answer's status. Metrics leave out those that are not from 100 to 599."},
		{HTTPResendCount, OnClient, "How many attempts the call had made before, those of redirects included; 0 is left out."},
		{HTTPConnectionState, OnMetric, "`active` or `idle`."},
		{URLFull, OnClient, "The URL: without user, with the values of known secret parameters replaced by REDACTED, and after a redirect without any query."},
		{URLScheme, OnClient | OnMetric, "`http` or `https`."},
		{URLTemplate, OnClient, "The path of the policy by which the route was found: `/repos/*/*`."},
		{ServerAddress, OnServer | OnClient | OnMetric, "The URL's host; of RPCs what the caller asked for (`:authority`, Host). Metrics have the pattern of the policy that it matched: `*.example.com`."},
		{ServerPort, OnServer | OnClient | OnMetric, "The URL's port, likewise. Metrics have 0 for ports of `host:*` beyond the first 64, and for one of too many."},
		{NetworkPeerAddress, OnServer | OnClient, "The address of the connection's other end: the caller's, the upstream's, the proxy's."},
		{NetworkPeerPort, OnServer | OnClient, "The port there."},
		{NetworkProtocolName, OnClient, "`http`."},
		{NetworkProtocolVersion, OnClient | OnMetric, "`1.0`, `1.1` or `2`."},
		{ErrorType, spans | OnMetric, "What went wrong. Of attempts: a kind of docs/errors.md or a status from 400; of RPCs: the gRPC status, where that is the service's own fault; else a kind."},

		{Caller, OnServer | OnInternal | OnMetric, "Who calls, by the policy's name; `anonymous`: nobody proved who it is; `system`: fetchsvc itself."},
		{Upstream, spans | OnEvent | OnMetric, "The upstream, by the policy's name; that of the last hop, where a call has several. Empty or left out: none was reached."},
		{Route, OnClient, "The route of the upstream that matched: `routes[0]`."},
		{Door, OnServer | OnMetric, "`grpc` or `rest`."},
		{Outcome, OnServer | OnInternal | OnMetric, "`answered`, with whatever status, or the kind of failure (docs/errors.md). Of readings, fetches and reloads: `success` or `failure`."},
		{Rule, OnServer | OnInternal | OnEvent | OnMetric, "What refused the call, as in the audit log: `hosts`, `paths`, `allow`, `deny`, `deny.rules[2]` of the policy, or `guard`, `grants`, `callers`, `limits.per_second`, `limits.concurrent`."},
		{Source, OnServer, "On whose side it failed: `gateway`, `proxy` or `upstream`."},
		{Credential, OnClient | OnInternal | OnEvent | OnMetric, "The credential, by the policy's name."},
		{PolicyGeneration, spans, "Generation of the policy that the call lived under, from 1."},
		{Kept, OnServer | OnInternal | OnMetric, "Why the trace was written: `sampled`, `failed` or `slow`. Of an RPC whose batch has items that were kept, they say it."},
		{AttemptCount, OnServer | OnInternal, "How many attempts the call made."},
		{UpstreamStatus, OnServer | OnInternal, "The status of the last of them, if it was answered."},
		{BatchIndex, OnInternal, "The item's place in its batch, from 0."},

		{AttemptNumber, OnClient, "The attempt's number in its call, from 1, redirects counted on."},
		{AttemptReason, OnClient | OnMetric, "Why it was made: `first` of its hop, `retry`, `challenge`, `resume`, `resend`."},
		{AttemptHop, OnClient | OnEvent, "How many redirects came before it."},
		{AttemptWire, OnClient | OnMetric, "What became of it on the wire: `unsent`, `maybe_processed`, `answered`."},
		{RetryStopped, OnClient | OnMetric, "Why no other attempt followed a failed one: `MAX_ATTEMPTS`, `RETRY_BUDGET_EXHAUSTED`."},
		{ConnectionReused, OnClient | OnMetric, "Whether its connection was there before."},
		{Proxy, OnClient, "The proxy that it went through, as scheme://host:port."},
		{Scrubbed, OnClient, "How often the answer had our credential in it, which was taken out."},
		{PhaseDNS, OnClient, "Seconds to resolve the name. Phases that did not take place are left out."},
		{PhaseConnect, OnClient, "Seconds to connect."},
		{PhaseTLS, OnClient, "Seconds of the TLS handshake."},
		{PhaseConnection, OnClient, "Seconds until there was a connection, new or not."},
		{PhaseSend, OnClient, "Seconds to send the request."},
		{PhaseFirstByte, OnClient, "Seconds from then to the answer's first byte, or to the attempt's end if none came."},
		{PhaseBody, OnClient, "Seconds from then to the end."},

		{WaitReason, OnEvent | OnMetric, "What was waited for: `retry`, `queue`, `credential`."},
		{WaitCause, OnEvent, "Why, in words."},
		{WaitDuration, OnEvent, "Seconds that it took."},
		{RedirectStatus, OnEvent, "The status that redirected."},
		{RedirectStopped, OnEvent, "Why a redirect was not followed, but answered."},
		{Reason, OnServer | OnEvent, "The failure in words, as the caller got them."},

		{SecretSource, OnMetric, "`env`, `file` or `vault NAME`, by its name in the policy."},
		{Signal, OnMetric, "`traces`, `metrics` or `logs`."},
	}
}

// SpanKind is one of the sorts of spans that there are.
type SpanKind struct {
	// Name is the span's; what is in braces differs.
	Name string
	// Where is its kind, and Parent what it is under.
	Where   Where
	Parent  string
	Meaning string
}

// Spans lists them.
func Spans() []SpanKind {
	return []SpanKind{
		{"{rpc.method}", OnServer, "the caller's span", "An RPC, by either door; `grpc` where there is none of the name that was asked for."},
		{SpanBatchItem, OnInternal, "the RPC", "An item of a batch."},
		{SpanQueueWait, OnInternal, "the RPC, item or own call", "The call waited for a place among its upstream's calls."},
		{SpanCredentialWait, OnInternal, "the RPC, item or own call", "The call waited for a token. A link leads to the request for it, which others may wait for too."},
		{"system.{kind}/{name}", OnInternal, "none", "A call of fetchsvc's own, such as for a token, in a trace of its own. A link leads to the call that brought it about."},
		{"{http.request.method} {url.template}", OnClient, "the RPC, item or own call", "An attempt: one request on the wire, or what was to become one. `HTTP` stands for methods that are not known."},
	}
}

// EventKind is one of the events of spans.
type EventKind struct{ Name, Meaning string }

// Events lists them.
func Events() []EventKind {
	return []EventKind{
		{EventWait, "The call waited: before a retry, or for a place."},
		{EventRedirect, "A redirect was followed, or was not and is the answer."},
		{EventRefresh, "The call waited for a token, or the upstream asked for another proof."},
		{EventGuardDenied, "The guard refused an address."},
		{EventPolicyDenied, "A rule of the policy refused the call."},
		{EventPolicyReported, "A rule in report mode would have refused it."},
	}
}
