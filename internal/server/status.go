package server

import (
	"google.golang.org/grpc/codes"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// source says on whose side a failure lies.
type source string

const (
	gateway  source = "gateway"
	upstream source = "upstream"
	proxy    source = "proxy"
)

// row is what both doors say of one kind of failure.
type row struct {
	// code is the gRPC code. Unavailable stands only where nothing was sent:
	// meshes resend it unasked. What may have been processed becomes Unknown.
	code codes.Code
	// http is the status that REST answers with.
	http int
	// proxyError is the RFC 9209 section 2.3 error type.
	proxyError string
	source     source
	// title is the RFC 9457 title.
	title string
}

// statusTable is the one table from kinds to what callers see.
var statusTable = map[fault.Kind]row{
	fault.InvalidRequest:   {codes.InvalidArgument, 400, "http_request_error", gateway, "The request cannot be sent as written"},
	fault.RequestTooLarge:  {codes.ResourceExhausted, 413, "http_request_error", gateway, "The request is too large"},
	fault.UploadIncomplete: {codes.InvalidArgument, 400, "http_request_error", gateway, "The upload ended before it was complete"},
	fault.UploadTooLong:    {codes.InvalidArgument, 400, "http_request_error", gateway, "The upload is longer than announced"},
	fault.Unauthenticated:  {codes.Unauthenticated, 401, "http_request_denied", gateway, "The caller is not known"},
	fault.PolicyDenied:     {codes.PermissionDenied, 403, "http_request_denied", gateway, "Policy denies the call"},
	fault.AddressDenied:    {codes.PermissionDenied, 403, "destination_ip_prohibited", gateway, "The address must not be reached"},
	fault.NotGranted:       {codes.PermissionDenied, 403, "http_request_denied", gateway, "Policy does not grant this option"},
	fault.RateLimited:      {codes.ResourceExhausted, 429, "http_request_denied", gateway, "The caller calls more often than it may"},
	fault.TooManyCalls:     {codes.ResourceExhausted, 429, "http_request_denied", gateway, "The caller has too many calls in flight"},
	fault.ForeignOrigin:    {codes.PermissionDenied, 403, "http_request_denied", gateway, "Web pages of other origins may not call"},
	fault.LoopDetected:     {codes.FailedPrecondition, 508, "proxy_loop_detected", gateway, "The call came back to where it was made"},
	fault.NotFound:         {codes.NotFound, 404, "http_request_error", gateway, "No such path"},
	fault.MethodNotAllowed: {codes.Unimplemented, 405, "http_request_error", gateway, "The path does not take this method"},
	fault.Unimplemented:    {codes.Unimplemented, 501, "proxy_internal_response", gateway, "Not served by this version"},

	fault.DNSError:          {codes.Unavailable, 502, "dns_error", upstream, "The host does not resolve"},
	fault.DNSTimeout:        {codes.Unavailable, 504, "dns_timeout", upstream, "The resolver did not answer in time"},
	fault.ConnectionRefused: {codes.Unavailable, 502, "connection_refused", upstream, "The upstream refused the connection"},
	fault.HostUnreachable:   {codes.Unavailable, 502, "destination_ip_unroutable", upstream, "The upstream's address cannot be reached"},
	fault.ConnectTimeout:    {codes.Unavailable, 504, "connection_timeout", upstream, "No connection in time"},
	fault.TLSTimeout:        {codes.Unavailable, 504, "connection_timeout", upstream, "No TLS session in time"},
	fault.TLSCertExpired:    {codes.FailedPrecondition, 502, "tls_certificate_error", upstream, "The upstream's certificate is out of date"},
	fault.TLSCertName:       {codes.FailedPrecondition, 502, "tls_certificate_error", upstream, "The upstream's certificate is for other names"},
	fault.TLSCertUntrusted:  {codes.FailedPrecondition, 502, "tls_certificate_error", upstream, "The upstream's certificate is not trusted"},
	fault.TLSHandshake:      {codes.Unavailable, 502, "tls_protocol_error", upstream, "The TLS handshake failed"},

	fault.ConnectionReset:        {codes.Unavailable, 502, "connection_terminated", upstream, "The upstream broke the connection"},
	fault.FirstByteTimeout:       {codes.DeadlineExceeded, 504, "http_response_timeout", upstream, "No answer in time"},
	fault.IdleTimeout:            {codes.DeadlineExceeded, 504, "connection_read_timeout", upstream, "The response body stood still"},
	fault.AttemptTimeout:         {codes.DeadlineExceeded, 504, "http_response_timeout", upstream, "The attempt took too long"},
	fault.TotalTimeout:           {codes.DeadlineExceeded, 504, "http_response_timeout", upstream, "The call took too long"},
	fault.BodyCutShort:           {codes.Unknown, 502, "http_response_incomplete", upstream, "The response body is incomplete"},
	fault.BadResponse:            {codes.Unknown, 502, "http_protocol_error", upstream, "The answer is not valid HTTP"},
	fault.ResponseHeaderTooLarge: {codes.FailedPrecondition, 502, "http_response_header_section_size", upstream, "The response head is too large"},
	fault.ResponseTooLarge:       {codes.FailedPrecondition, 502, "http_response_body_size", upstream, "The response body is too large"},
	fault.BadContentCoding:       {codes.Unknown, 502, "http_response_content_coding", upstream, "The response body does not decode"},
	fault.SecretEchoed:           {codes.FailedPrecondition, 502, "proxy_internal_response", upstream, "The answer has our credential in it"},
	fault.TooManyRedirects:       {codes.FailedPrecondition, 502, "proxy_internal_response", upstream, "Too many redirects"},
	fault.BadRedirect:            {codes.FailedPrecondition, 502, "http_protocol_error", upstream, "The redirect cannot be followed"},
	fault.UpstreamStatus:         {codes.FailedPrecondition, 502, "proxy_internal_response", upstream, "The upstream answered with an error status"},

	fault.ProxyUnreachable:  {codes.Unavailable, 502, "destination_unavailable", proxy, "The forward proxy cannot be reached"},
	fault.ProxyAuthRequired: {codes.FailedPrecondition, 502, "proxy_configuration_error", proxy, "The forward proxy wants other credentials"},
	fault.ProxyDenied:       {codes.FailedPrecondition, 502, "http_request_denied", proxy, "The forward proxy refuses the upstream"},
	fault.ProxyTLS:          {codes.Unavailable, 502, "tls_protocol_error", proxy, "No TLS session with the forward proxy"},
	fault.ProxyBadResponse:  {codes.Unavailable, 502, "http_protocol_error", proxy, "The forward proxy's answer makes no sense"},

	fault.Cancelled:             {codes.Canceled, 499, "proxy_internal_response", gateway, "The caller cancelled the call"},
	fault.CredentialUnavailable: {codes.FailedPrecondition, 500, "proxy_configuration_error", gateway, "The call's credential cannot be used"},
	fault.PoolFull:              {codes.Unavailable, 503, "connection_limit_reached", gateway, "Too many calls to the upstream are in flight and waiting"},
	fault.PoolTimeout:           {codes.Unavailable, 503, "connection_limit_reached", gateway, "No place among the upstream's calls in time"},
	fault.Overloaded:            {codes.Unavailable, 503, "connection_limit_reached", gateway, "This replica has no room for the call"},
	fault.ShuttingDown:          {codes.Unavailable, 503, "proxy_internal_response", gateway, "This replica is stopping"},
	fault.Internal:              {codes.Internal, 500, "proxy_internal_error", gateway, "A defect of fetchsvc"},
}

// rowOf gives the kind's row; a kind without one is a defect, which a test finds.
func rowOf(k fault.Kind) row {
	if r, ok := statusTable[k]; ok {
		return r
	}
	return statusTable[fault.Internal]
}

// codeOf is the gRPC code of one failure.
func codeOf(f *fault.Error) codes.Code {
	code := rowOf(f.Kind).code
	if code == codes.Unavailable && f.Wire != fault.Unsent {
		return codes.Unknown
	}
	return code
}

// codeNames spell the codes as the gRPC specification does.
var codeNames = map[codes.Code]string{
	codes.Canceled: "CANCELLED", codes.Unknown: "UNKNOWN", codes.InvalidArgument: "INVALID_ARGUMENT",
	codes.DeadlineExceeded: "DEADLINE_EXCEEDED", codes.NotFound: "NOT_FOUND", codes.PermissionDenied: "PERMISSION_DENIED",
	codes.ResourceExhausted: "RESOURCE_EXHAUSTED", codes.FailedPrecondition: "FAILED_PRECONDITION",
	codes.Unimplemented: "UNIMPLEMENTED", codes.Internal: "INTERNAL", codes.Unavailable: "UNAVAILABLE",
	codes.Unauthenticated: "UNAUTHENTICATED",
}
