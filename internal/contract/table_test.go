package contract

import (
	"slices"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// echo is one peer that answers with the request it got.
var echo = raw(testpeer.EchoScript)

// table is the whole contract, by theme.
func table() []testCase {
	return slices.Concat(
		methodCases(), paramCases(), headerCases(), bodyCases(), multipartCases(), hostCases(),
		statusCases(), charsetCases(), codingCases(), redirectCases(), crossOriginCases(), limitCases(),
		invalidCases(), deniedCases(), connectCases(), tlsCases(), wireCases(), clockCases(),
		ruleCases(), pathCases(), routeCases(), retryCases(), retryBoundCases(), retryWishCases(), keyCases(),
		moveCases(), credentialCases(), grantCases(), proxyCases(), poolCases(), boundCases(),
	)
}

// TestContract runs every case through both doors.
func TestContract(t *testing.T) {
	w := newWorld(t)
	all := table()
	if len(all) < 600 {
		t.Errorf("the table has %d cases, want 600 at least", len(all))
	}
	seen := map[string]bool{}
	for _, c := range all {
		if seen[c.name] {
			t.Errorf("two cases are called %q", c.name)
		}
		seen[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, w)
		})
	}
	t.Logf("%d cases", len(all))
}

// row is what both doors must say of a kind: DESIGN's one table, as a caller may
// rely on it.
type row struct {
	code   string
	http   int
	proxy  string
	source string
}

// contractRows has every kind. It is written down a second time on purpose: a
// change of internal/server's table is a change of the API.
var contractRows = map[string]row{
	"INVALID_REQUEST":    {"INVALID_ARGUMENT", 400, "http_request_error", "gateway"},
	"REQUEST_TOO_LARGE":  {"RESOURCE_EXHAUSTED", 413, "http_request_error", "gateway"},
	"UPLOAD_INCOMPLETE":  {"INVALID_ARGUMENT", 400, "http_request_error", "gateway"},
	"UPLOAD_TOO_LONG":    {"INVALID_ARGUMENT", 400, "http_request_error", "gateway"},
	"UNAUTHENTICATED":    {"UNAUTHENTICATED", 401, "http_request_denied", "gateway"},
	"POLICY_DENIED":      {"PERMISSION_DENIED", 403, "http_request_denied", "gateway"},
	"ADDRESS_DENIED":     {"PERMISSION_DENIED", 403, "destination_ip_prohibited", "gateway"},
	"NOT_GRANTED":        {"PERMISSION_DENIED", 403, "http_request_denied", "gateway"},
	"RATE_LIMITED":       {"RESOURCE_EXHAUSTED", 429, "http_request_denied", "gateway"},
	"TOO_MANY_CALLS":     {"RESOURCE_EXHAUSTED", 429, "http_request_denied", "gateway"},
	"FOREIGN_ORIGIN":     {"PERMISSION_DENIED", 403, "http_request_denied", "gateway"},
	"LOOP_DETECTED":      {"FAILED_PRECONDITION", 508, "proxy_loop_detected", "gateway"},
	"NOT_FOUND":          {"NOT_FOUND", 404, "http_request_error", "gateway"},
	"METHOD_NOT_ALLOWED": {"UNIMPLEMENTED", 405, "http_request_error", "gateway"},
	"UNIMPLEMENTED":      {"UNIMPLEMENTED", 501, "proxy_internal_response", "gateway"},

	"DNS_ERROR":              {"UNAVAILABLE", 502, "dns_error", "upstream"},
	"DNS_TIMEOUT":            {"UNAVAILABLE", 504, "dns_timeout", "upstream"},
	"CONNECTION_REFUSED":     {"UNAVAILABLE", 502, "connection_refused", "upstream"},
	"HOST_UNREACHABLE":       {"UNAVAILABLE", 502, "destination_ip_unroutable", "upstream"},
	"CONNECT_TIMEOUT":        {"UNAVAILABLE", 504, "connection_timeout", "upstream"},
	"TLS_TIMEOUT":            {"UNAVAILABLE", 504, "connection_timeout", "upstream"},
	"TLS_CERT_EXPIRED":       {"FAILED_PRECONDITION", 502, "tls_certificate_error", "upstream"},
	"TLS_CERT_NAME_MISMATCH": {"FAILED_PRECONDITION", 502, "tls_certificate_error", "upstream"},
	"TLS_CERT_UNTRUSTED":     {"FAILED_PRECONDITION", 502, "tls_certificate_error", "upstream"},
	"TLS_HANDSHAKE_FAILED":   {"UNAVAILABLE", 502, "tls_protocol_error", "upstream"},

	"CONNECTION_RESET":          {"UNAVAILABLE", 502, "connection_terminated", "upstream"},
	"FIRST_BYTE_TIMEOUT":        {"DEADLINE_EXCEEDED", 504, "http_response_timeout", "upstream"},
	"IDLE_TIMEOUT":              {"DEADLINE_EXCEEDED", 504, "connection_read_timeout", "upstream"},
	"ATTEMPT_TIMEOUT":           {"DEADLINE_EXCEEDED", 504, "http_response_timeout", "upstream"},
	"TOTAL_TIMEOUT":             {"DEADLINE_EXCEEDED", 504, "http_response_timeout", "upstream"},
	"BODY_CUT_SHORT":            {"UNKNOWN", 502, "http_response_incomplete", "upstream"},
	"BAD_RESPONSE":              {"UNKNOWN", 502, "http_protocol_error", "upstream"},
	"RESPONSE_HEADER_TOO_LARGE": {"FAILED_PRECONDITION", 502, "http_response_header_section_size", "upstream"},
	"RESPONSE_TOO_LARGE":        {"FAILED_PRECONDITION", 502, "http_response_body_size", "upstream"},
	"BAD_CONTENT_CODING":        {"UNKNOWN", 502, "http_response_content_coding", "upstream"},
	"SECRET_ECHOED":             {"FAILED_PRECONDITION", 502, "proxy_internal_response", "upstream"},
	"TOO_MANY_REDIRECTS":        {"FAILED_PRECONDITION", 502, "proxy_internal_response", "upstream"},
	"BAD_REDIRECT":              {"FAILED_PRECONDITION", 502, "http_protocol_error", "upstream"},
	"UPSTREAM_STATUS":           {"FAILED_PRECONDITION", 502, "proxy_internal_response", "upstream"},

	"PROXY_UNREACHABLE":   {"UNAVAILABLE", 502, "destination_unavailable", "proxy"},
	"PROXY_AUTH_REQUIRED": {"FAILED_PRECONDITION", 502, "proxy_configuration_error", "proxy"},
	"PROXY_DENIED":        {"FAILED_PRECONDITION", 502, "http_request_denied", "proxy"},
	"PROXY_TLS_FAILED":    {"UNAVAILABLE", 502, "tls_protocol_error", "proxy"},
	"PROXY_BAD_RESPONSE":  {"UNAVAILABLE", 502, "http_protocol_error", "proxy"},

	"CANCELLED":              {"CANCELLED", 499, "proxy_internal_response", "gateway"},
	"CREDENTIAL_UNAVAILABLE": {"FAILED_PRECONDITION", 500, "proxy_configuration_error", "gateway"},
	"OVERLOADED":             {"UNAVAILABLE", 503, "connection_limit_reached", "gateway"},
	"POOL_FULL":              {"UNAVAILABLE", 503, "connection_limit_reached", "gateway"},
	"POOL_TIMEOUT":           {"UNAVAILABLE", 503, "connection_limit_reached", "gateway"},
	"SHUTTING_DOWN":          {"UNAVAILABLE", 503, "proxy_internal_response", "gateway"},
	"INTERNAL":               {"INTERNAL", 500, "proxy_internal_error", "gateway"},
}

// elsewhere are the kinds that no case of the table can produce, and why.
var elsewhere = map[fault.Kind]string{
	"CANCELLED":          "cancel_test.go: the caller is gone",
	"UNIMPLEMENTED":      "answers what this version does not serve: everything is",
	"RATE_LIMITED":       "caller_limits_test.go: the table's calls are nobody's in particular",
	"TOO_MANY_CALLS":     "caller_limits_test.go: likewise",
	"FOREIGN_ORIGIN":     "rest_test.go: REST only",
	"LOOP_DETECTED":      "cmd/fetchsvc: needs the egress of a whole service",
	"NOT_FOUND":          "rest_test.go: REST only",
	"METHOD_NOT_ALLOWED": "rest_test.go: REST only",
	"INTERNAL":           "pipeline_test.go: needs a broken service",
	"UNAUTHENTICATED":    "no caller can be configured yet",
	"OVERLOADED":         "needs a process without file descriptors",
	"SHUTTING_DOWN":      "internal/server: needs a server that stops",
	"UPLOAD_INCOMPLETE":  "Stream only",
	"UPLOAD_TOO_LONG":    "Stream only",
}

// TestEveryKindHasACase keeps a kind from being added without being shown
// against a real upstream.
func TestEveryKindHasACase(t *testing.T) {
	shown := map[fault.Kind]bool{}
	for _, c := range table() {
		shown[fault.Kind(c.want.kind)] = true
	}
	for _, k := range fault.Kinds() {
		if _, ok := contractRows[string(k)]; !ok {
			t.Errorf("%s: contractRows does not say what the doors answer", k)
		}
		if why := elsewhere[k]; shown[k] == (why != "") {
			t.Errorf("%s: a case shows it: %v; excused by %q; want one of the two", k, shown[k], why)
		}
	}
}
