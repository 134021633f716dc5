package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// proxyErrors are the types of RFC 9209 section 2.3.
const proxyErrors = ` dns_timeout dns_error destination_not_found destination_unavailable destination_ip_prohibited
 destination_ip_unroutable connection_refused connection_terminated connection_timeout connection_read_timeout
 connection_write_timeout connection_limit_reached tls_protocol_error tls_certificate_error tls_alert_received
 http_request_error http_request_denied http_response_incomplete http_response_header_section_size
 http_response_header_size http_response_body_size http_response_trailer_section_size http_response_trailer_size
 http_response_transfer_coding http_response_content_coding http_response_timeout http_upgrade_failed
 http_protocol_error proxy_internal_response proxy_internal_error proxy_configuration_error proxy_loop_detected `

func TestEveryKindHasItsRow(t *testing.T) {
	for _, k := range fault.Kinds() {
		r, ok := statusTable[k]
		switch {
		case !ok:
			t.Errorf("%s has no row", k)
		case codeNames[r.code] == "":
			t.Errorf("%s: code %v has no name", k, r.code)
		case r.http < 400 || r.http > 599:
			t.Errorf("%s: HTTP status %d", k, r.http)
		case !strings.Contains(strings.ReplaceAll(proxyErrors, "\n", " "), " "+r.proxyError+" "):
			t.Errorf("%s: %q is no type of RFC 9209", k, r.proxyError)
		case r.title == "":
			t.Errorf("%s has no title", k)
		}
	}
	if len(statusTable) != len(fault.Kinds()) {
		t.Errorf("the table has %d rows for %d kinds", len(statusTable), len(fault.Kinds()))
	}
}

// TestUnavailableIsSafe: meshes resend UNAVAILABLE unasked.
func TestUnavailableIsSafe(t *testing.T) {
	for _, k := range fault.Kinds() {
		for _, w := range []fault.Wire{fault.MaybeProcessed, fault.Answered} {
			f := fault.New(k, "x")
			f.Wire = w
			if codeOf(f) == codes.Unavailable {
				t.Errorf("%s after %s is UNAVAILABLE", k, w)
			}
		}
	}
}

// triedMuch is a call with a ledger as large as they come.
func triedMuch() *fetch.Response {
	u, _ := target.Parse("https://example.com/" + strings.Repeat("long/", 2000) + "?token=s3cr3t")
	res := &fetch.Response{}
	for i := range 40 {
		f := fault.New(fault.ConnectionReset, strings.Repeat("reset ", 100))
		res.Attempts = append(res.Attempts, &fetch.Attempt{
			Number: i + 1, Method: "GET", URL: u, Err: f,
			Header: http.Header{"X-Large": {strings.Repeat("v", 3000)}, "Authorization": {"Bearer s3cr3t"}},
		})
		res.History = append(res.History, fetch.Hop{Method: "GET", URL: u, Status: 302, Header: http.Header{"X": {strings.Repeat("v", 3000)}}})
	}
	return res
}

func TestDetailsStaySmall(t *testing.T) {
	f := &failure{fault: fault.New(fault.ConnectionReset, strings.Repeat("message ", 1000)), tried: triedMuch()}
	for i := range 100 {
		f.fault.Violations = append(f.fault.Violations, fault.Violation{Field: fmt.Sprintf("headers[%d].name", i), Reason: strings.Repeat("r", 1000)})
	}
	st := f.GRPCStatus()
	size := proto.Size(st.Proto())
	if size > mostDetails+1<<10+64 {
		t.Errorf("the status has %d bytes, want at most 4 KiB of details and 1 KiB of message", size)
	}
	details := 0
	for _, d := range st.Proto().GetDetails() {
		details += proto.Size(d)
	}
	if details > mostDetails {
		t.Errorf("the details have %d bytes, want at most %d", details, mostDetails)
	}
	found := map[string]bool{}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			found["info"] = d.GetReason() == "CONNECTION_RESET" && d.GetDomain() == "fetchsvc"
		case *errdetails.BadRequest:
			found["bad request"] = len(d.GetFieldViolations()) > 0
		case *fetchsvcv1.CallLedger:
			found["ledger"] = d.GetShortened() && len(d.GetAttempts()) > 0
		}
	}
	if len(found) != 3 || !found["info"] || !found["bad request"] {
		t.Errorf("the details hold %v", found)
	}
}

func TestSmallLedgerIsWhole(t *testing.T) {
	u, _ := target.Parse("https://example.com/a?sig=abc&q=1")
	tried := &fetch.Response{Attempts: []*fetch.Attempt{{Number: 1, Method: "GET", URL: u, Header: http.Header{"Authorization": {"Bearer s3cr3t"}, "X-Q": {"1"}}}}}
	st := (&failure{fault: fault.New(fault.DNSError, "no"), tried: tried}).GRPCStatus()
	for _, d := range st.Details() {
		if l, ok := d.(*fetchsvcv1.CallLedger); ok {
			if l.GetShortened() || l.GetAttempts()[0].GetUrl() != "https://example.com/a?sig=REDACTED&q=1" {
				t.Errorf("the ledger is %v", l)
			}
			if strings.Contains(l.String(), "s3cr3t") {
				t.Errorf("the ledger shows a secret: %v", l)
			}
			return
		}
	}
	t.Error("there is no ledger")
}

func TestSecretsAreRedacted(t *testing.T) {
	for _, name := range []string{"Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "X-Auth-Token", "X-Amz-Security-Token", "X-Session-Id", "Apikey", "X-Signature", "Ocp-Apim-Subscription-Key", "X-Functions-Key"} {
		if !secretHeader(name) {
			t.Errorf("%s is shown", name)
		}
	}
	for _, name := range []string{"Accept", "Content-Type", "User-Agent", "X-Request-Id", "Idempotency-Key", "Traceparent"} {
		if secretHeader(name) {
			t.Errorf("%s is hidden", name)
		}
	}
}

func TestProblem(t *testing.T) {
	f := fault.New(fault.UpstreamStatus, "answered \"503\"\nü")
	f.UpstreamStatus, f.RetryAfter = 503, 1500_000_000
	w := httptest.NewRecorder()
	writeProblem(w, fmt.Errorf("wrapped: %w", f))
	var p map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"status": 502.0, "reason": "UPSTREAM_STATUS", "grpc_code": "FAILED_PRECONDITION", "source": "upstream",
		"safe_to_retry": false, "upstream_status": 503.0, "retry_after": "1.5s", "proxy_error": "proxy_internal_response",
	} {
		if p[key] != want {
			t.Errorf("%s is %v, want %v", key, p[key], want)
		}
	}
	if got := w.Header().Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After is %q, want 2: never earlier than asked", got)
	}
	if got, want := w.Header().Get("Proxy-Status"), `fetchsvc; error=proxy_internal_response; details="answered '503'''"; received-status=503`; got != want {
		t.Errorf("Proxy-Status is %s, want %s", got, want)
	}
}

func TestAsFailure(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"fault":         {fault.New(fault.DNSError, "x"), fault.DNSError},
		"wrapped fault": {fmt.Errorf("a: %w", fault.New(fault.DNSError, "x")), fault.DNSError},
		"status":        {status.Error(codes.Unimplemented, "x"), fault.Unimplemented},
		"anything":      {errors.New("x"), fault.Internal},
	} {
		if got := asFailure(c.err).fault.Kind; got != c.want {
			t.Errorf("%s becomes %s, want %s", name, got, c.want)
		}
	}
}

func TestForeignOrigins(t *testing.T) {
	n := namesOf(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}, nil, nil)
	for name, c := range map[string]struct {
		host   string
		header http.Header
		ok     bool
	}{
		"address":             {host: "127.0.0.1:8080", ok: true},
		"localhost":           {host: "localhost:8080", ok: true},
		"ipv6":                {host: "[::1]:8080", ok: true},
		"case":                {host: "LocalHost:8080", ok: true},
		"own page":            {host: "localhost:8080", header: http.Header{"Origin": {"http://localhost:8080"}, "Sec-Fetch-Site": {"same-origin"}}, ok: true},
		"typed in":            {host: "localhost:8080", header: http.Header{"Sec-Fetch-Site": {"none"}}, ok: true},
		"rebound name":        {host: "evil.example:8080"},
		"other port":          {host: "localhost:81"},
		"no host":             {host: ""},
		"foreign origin":      {host: "localhost:8080", header: http.Header{"Origin": {"https://evil.example"}}},
		"null origin":         {host: "localhost:8080", header: http.Header{"Origin": {"null"}}},
		"other port's page":   {host: "localhost:8080", header: http.Header{"Origin": {"http://localhost:3000"}}},
		"https of same host":  {host: "localhost:8080", header: http.Header{"Origin": {"https://localhost:8080"}}},
		"cross-site fetch":    {host: "localhost:8080", header: http.Header{"Sec-Fetch-Site": {"cross-site"}}},
		"same-site, not same": {host: "localhost:8080", header: http.Header{"Sec-Fetch-Site": {"same-site"}}},
		"second origin":       {host: "localhost:8080", header: http.Header{"Origin": {"http://localhost:8080", "https://evil.example"}}},
	} {
		r := httptest.NewRequest("POST", "/v1/fetch", nil)
		r.Host = c.host
		if c.header != nil {
			r.Header = c.header
		}
		if err := n.check(r); (err == nil) != c.ok {
			t.Errorf("%s: %v, want allowed %v", name, err, c.ok)
		}
	}
}
