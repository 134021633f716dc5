package fault

// Kind is one way to fail, in the spelling that callers see as
// google.rpc.ErrorInfo.reason. Kinds are part of the API: they are added, never
// renamed.
type Kind string

// Error makes a Kind usable as the target of errors.Is.
func (k Kind) Error() string { return string(k) }

// The request, or what policy says of it.
const (
	// InvalidRequest: the call cannot be understood or sent as written.
	InvalidRequest Kind = "INVALID_REQUEST"
	// RequestTooLarge: the request is larger than this service or the policy takes.
	RequestTooLarge Kind = "REQUEST_TOO_LARGE"
	// UploadIncomplete: a streamed request body ended without saying so, or with
	// fewer bytes than it announced. The upstream's request was aborted.
	UploadIncomplete Kind = "UPLOAD_INCOMPLETE"
	// UploadTooLong: a streamed request body has more bytes than it announced.
	UploadTooLong Kind = "UPLOAD_TOO_LONG"
	// Unauthenticated: the caller did not prove who it is.
	Unauthenticated Kind = "UNAUTHENTICATED"
	// PolicyDenied: no upstream of the policy matches, or a rule denies.
	PolicyDenied Kind = "POLICY_DENIED"
	// AddressDenied: the host resolves to an address that must not be reached.
	AddressDenied Kind = "ADDRESS_DENIED"
	// NotGranted: the request asks for something that policy must grant by name.
	NotGranted Kind = "NOT_GRANTED"
	// RateLimited: the caller began more calls than its limits.per_second.
	RateLimited Kind = "RATE_LIMITED"
	// TooManyCalls: the caller has as many calls in flight as its limits.concurrent.
	TooManyCalls Kind = "TOO_MANY_CALLS"
	// ForeignOrigin: a web page of another origin tried to use the REST door.
	ForeignOrigin Kind = "FOREIGN_ORIGIN"
	// LoopDetected: the call came through this very service before.
	LoopDetected Kind = "LOOP_DETECTED"
	// NotFound: there is no such REST path or method.
	NotFound Kind = "NOT_FOUND"
	// MethodNotAllowed: the REST path exists, but not for that HTTP method.
	MethodNotAllowed Kind = "METHOD_NOT_ALLOWED"
	// Unimplemented: the API has it, this version does not serve it yet.
	Unimplemented Kind = "UNIMPLEMENTED"
)

// Reaching the upstream. Nothing of the request was sent.
const (
	// DNSError: the name does not resolve.
	DNSError Kind = "DNS_ERROR"
	// DNSTimeout: the resolver did not answer in time.
	DNSTimeout Kind = "DNS_TIMEOUT"
	// ConnectionRefused: the host answered that nothing listens on the port.
	ConnectionRefused Kind = "CONNECTION_REFUSED"
	// HostUnreachable: no route to the address.
	HostUnreachable Kind = "HOST_UNREACHABLE"
	// ConnectTimeout: no TCP connection within the connect clock.
	ConnectTimeout Kind = "CONNECT_TIMEOUT"
	// TLSTimeout: no TLS session within the TLS clock.
	TLSTimeout Kind = "TLS_TIMEOUT"
	// TLSCertExpired: the upstream's certificate is out of date or not yet valid.
	TLSCertExpired Kind = "TLS_CERT_EXPIRED"
	// TLSCertName: the certificate is for other names.
	TLSCertName Kind = "TLS_CERT_NAME_MISMATCH"
	// TLSCertUntrusted: no trusted authority signed the certificate.
	TLSCertUntrusted Kind = "TLS_CERT_UNTRUSTED"
	// TLSHandshake: the handshake failed otherwise.
	TLSHandshake Kind = "TLS_HANDSHAKE_FAILED"
)

// The forward proxy on the way to the upstream. Nothing of the request was sent.
const (
	// ProxyUnreachable: no connection to the proxy itself.
	ProxyUnreachable Kind = "PROXY_UNREACHABLE"
	// ProxyAuthRequired: the proxy wants a user name and password, or others.
	ProxyAuthRequired Kind = "PROXY_AUTH_REQUIRED"
	// ProxyDenied: the proxy refuses to connect to the upstream.
	ProxyDenied Kind = "PROXY_DENIED"
	// ProxyTLS: no TLS session with an https proxy.
	ProxyTLS Kind = "PROXY_TLS_FAILED"
	// ProxyBadResponse: the proxy does not speak its protocol, or hung up.
	ProxyBadResponse Kind = "PROXY_BAD_RESPONSE"
)

// Waiting for the upstream, or hearing nonsense from it.
const (
	// ConnectionReset: the connection broke before a complete response head.
	ConnectionReset Kind = "CONNECTION_RESET"
	// FirstByteTimeout: no first byte of the response within the first_byte clock.
	FirstByteTimeout Kind = "FIRST_BYTE_TIMEOUT"
	// IdleTimeout: the body stood still for longer than the idle clock.
	IdleTimeout Kind = "IDLE_TIMEOUT"
	// AttemptTimeout: one try took longer than the attempt clock.
	AttemptTimeout Kind = "ATTEMPT_TIMEOUT"
	// TotalTimeout: the whole call took longer than the total clock or the
	// caller's own deadline.
	TotalTimeout Kind = "TOTAL_TIMEOUT"
	// BodyCutShort: the connection ended before the response body did.
	BodyCutShort Kind = "BODY_CUT_SHORT"
	// SecretEchoed: the answer has the call's credential in it, and policy refuses
	// such answers.
	SecretEchoed Kind = "SECRET_ECHOED"
	// BadResponse: what came is not HTTP.
	BadResponse Kind = "BAD_RESPONSE"
	// ResponseHeaderTooLarge: the response head is over its limit.
	ResponseHeaderTooLarge Kind = "RESPONSE_HEADER_TOO_LARGE"
	// ResponseTooLarge: the response body, as received or decoded, is over its limit.
	ResponseTooLarge Kind = "RESPONSE_TOO_LARGE"
	// BadContentCoding: the body does not decode as its Content-Encoding says,
	// or swells beyond the allowed ratio.
	BadContentCoding Kind = "BAD_CONTENT_CODING"
	// TooManyRedirects: the redirect limit was reached.
	TooManyRedirects Kind = "TOO_MANY_REDIRECTS"
	// BadRedirect: a redirect names no URL that could be followed.
	BadRedirect Kind = "BAD_REDIRECT"
	// UpstreamStatus: the upstream answered 400 or more and the call asked for
	// that to be an error (fail_on_status).
	UpstreamStatus Kind = "UPSTREAM_STATUS"
)

// This side.
const (
	// Cancelled: the caller went away.
	Cancelled Kind = "CANCELLED"
	// Overloaded: this replica lacks something it needs for another call.
	Overloaded Kind = "OVERLOADED"
	// CredentialUnavailable: the secret of the call's credential cannot be read.
	CredentialUnavailable Kind = "CREDENTIAL_UNAVAILABLE"
	// PoolFull: as many calls to the upstream are in flight, and as many wait, as
	// policy allows (limits.concurrent, limits.queue).
	PoolFull Kind = "POOL_FULL"
	// PoolTimeout: none of the upstream's places became free within the pool clock.
	PoolTimeout Kind = "POOL_TIMEOUT"
	// ShuttingDown: this replica is stopping and takes no new calls.
	ShuttingDown Kind = "SHUTTING_DOWN"
	// Internal: a defect of fetchsvc.
	Internal Kind = "INTERNAL"
)

// Kinds lists every kind, in the order of the documentation.
func Kinds() []Kind {
	return []Kind{
		InvalidRequest, RequestTooLarge, UploadIncomplete, UploadTooLong, Unauthenticated, PolicyDenied, AddressDenied, NotGranted,
		RateLimited, TooManyCalls, ForeignOrigin, LoopDetected, NotFound, MethodNotAllowed, Unimplemented,
		DNSError, DNSTimeout, ConnectionRefused, HostUnreachable, ConnectTimeout, TLSTimeout,
		TLSCertExpired, TLSCertName, TLSCertUntrusted, TLSHandshake,
		ProxyUnreachable, ProxyAuthRequired, ProxyDenied, ProxyTLS, ProxyBadResponse,
		ConnectionReset, FirstByteTimeout, IdleTimeout, AttemptTimeout, TotalTimeout, BodyCutShort,
		BadResponse, ResponseHeaderTooLarge, ResponseTooLarge, BadContentCoding, SecretEchoed, TooManyRedirects,
		BadRedirect, UpstreamStatus,
		Cancelled, CredentialUnavailable, Overloaded, PoolFull, PoolTimeout, ShuttingDown, Internal,
	}
}

// Denial says that a failure of kind k means: this may not be, by policy, by the guard,
// for want of identity, or now. What was asked for may be well written.
func (k Kind) Denial() bool {
	switch k {
	case PolicyDenied, AddressDenied, NotGranted, Unauthenticated, ForeignOrigin, LoopDetected, RateLimited, TooManyCalls, ShuttingDown:
		return true
	}
	return false
}
