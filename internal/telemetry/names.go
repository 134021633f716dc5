package telemetry

import "go.opentelemetry.io/otel/attribute"

// The attributes of spans: those of OpenTelemetry's resource, RPC, HTTP and
// network conventions, and fetchsvc's own.
const (
	ServiceName    = attribute.Key("service.name")
	ServiceVersion = attribute.Key("service.version")

	RPCSystemName = attribute.Key("rpc.system.name")
	RPCMethod     = attribute.Key("rpc.method")
	RPCStatusCode = attribute.Key("rpc.response.status_code")

	HTTPRequestMethod         = attribute.Key("http.request.method")
	HTTPRequestMethodOriginal = attribute.Key("http.request.method_original")
	HTTPResponseStatusCode    = attribute.Key("http.response.status_code")
	HTTPResendCount           = attribute.Key("http.request.resend_count")
	URLFull                   = attribute.Key("url.full")
	ServerAddress             = attribute.Key("server.address")
	ServerPort                = attribute.Key("server.port")
	NetworkPeerAddress        = attribute.Key("network.peer.address")
	NetworkPeerPort           = attribute.Key("network.peer.port")
	NetworkProtocolVersion    = attribute.Key("network.protocol.version")
	ErrorType                 = attribute.Key("error.type")

	Upstream      = attribute.Key("fetchsvc.upstream")
	Caller        = attribute.Key("fetchsvc.caller")
	Door          = attribute.Key("fetchsvc.door")
	AttemptReason = attribute.Key("fetchsvc.attempt.reason")
	AttemptHop    = attribute.Key("fetchsvc.attempt.hop")
	AttemptWire   = attribute.Key("fetchsvc.attempt.wire")
)

// MethodOther stands for a method that is not of RFC 9110 or RFC 5789, so that
// callers cannot invent values.
const MethodOther = "_OTHER"

// KnownMethod says whether the conventions let m stand for itself.
func KnownMethod(m string) bool {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY":
		return true
	}
	return false
}
