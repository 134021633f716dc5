package docs_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/oteltest"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// failureCase is a call that fails on purpose, and what telemetry tells of it.
type failureCase struct {
	// name is that of the part of the page.
	name string
	// as is the name of the upstream, which gives nothing away.
	as string
	// at is what becomes of {at} in upstream and call.
	at string
	// upstream is its entry in the policy, without its name.
	upstream string
	// call is the request of the API.
	call string
	// before are calls made first, by which the failure comes about.
	before int
	// reason is how the call fails; empty: it is answered, with a status.
	reason string
	status int
	// sampled: the caller has its trace sampled.
	sampled bool
	// audit: the page shows its line of the audit log, and not its trace.
	audit bool
}

// openLoop opens a server of the test.
const openLoop = "schemes: [http, https], unsafe_allow_addresses: [127.0.0.1], "

func failureCases(t *testing.T, w failingWorld) []failureCase {
	get := `{"url":"http://{at}/accounts/7"}`
	retry := `retry: {max_attempts: 3, backoff: {base: 50ms, max: 50ms}`
	return []failureCase{
		{name: "well", as: "ledger", at: w.recovers, sampled: true, status: 200, upstream: openLoop + `hosts: ["{at}"], ` + retry + `}`, call: get},
		{name: "worked", as: "shop", reason: "ATTEMPT_TIMEOUT", at: w.shop,
			upstream: openLoop + `hosts: ["{at}"]`, call: `{"url":"http://{at}/orders/4711"}`},

		{name: "dns", as: "partner", reason: "DNS_ERROR", upstream: `hosts: [api.partner.onion]`, call: `{"url":"https://api.partner.onion/accounts/7"}`},
		{name: "refused", as: "search", reason: "CONNECTION_REFUSED", at: testpeer.ClosedPort(t), upstream: openLoop + `hosts: ["{at}"]`, call: get},
		{name: "connect timeout", as: "bank", reason: "CONNECT_TIMEOUT", at: testpeer.Blackhole(t), upstream: openLoop + `hosts: ["{at}"], timeouts: {connect: 200ms}`, call: get},
		{name: "tls name", as: "mail", reason: "TLS_CERT_NAME_MISMATCH", at: w.tlsName, upstream: openLoop + `hosts: ["{at}"], tls: {ca_file: ca.pem}`,
			call: `{"url":"https://{at}/accounts/7"}`},
		{name: "attempts", as: "reports", reason: "ATTEMPT_TIMEOUT", at: w.silent, upstream: openLoop + `hosts: ["{at}"], timeouts: {attempt: 400ms}, ` + retry + `}`, call: get},
		{name: "budget", as: "stock", status: 503, at: w.busy, before: 1,
			upstream: openLoop + `hosts: ["{at}"], ` + retry + `, budget: {ratio: 0.1, min: 2, window: 1m}}`, call: get},
		{name: "rule", as: "accounts", reason: "POLICY_DENIED", at: w.fine, audit: true,
			upstream: openLoop + `hosts: ["{at}"], deny: {methods: [DELETE]}`, call: `{"method":"DELETE","url":"http://{at}/accounts/7"}`},
		{name: "guard", as: "hooks", reason: "ADDRESS_DENIED", at: "localhost:" + portOf(t, w.fine), upstream: `schemes: [http], hosts: ["{at}"]`, call: get},
		{name: "token", as: "erp", reason: "CREDENTIAL_UNAVAILABLE", at: w.other, upstream: openLoop + `hosts: ["{at}"], credential: erp-client`, call: get},
		{name: "cut short", as: "files", reason: "BODY_CUT_SHORT", at: testpeer.Raw(t, testpeer.CutBody).Addr, upstream: openLoop + `hosts: ["{at}"]`, call: get},
	}
}

// failingWorld are the servers that the failures need.
type failingWorld struct {
	tlsName, busy, fine, other, silent, recovers, shop, warehouse string
	token                                                         string // where no token endpoint is
	ca                                                            []byte
}

func newFailingWorld(t *testing.T) failingWorld {
	ca := testpeer.NewCA(t)
	raw := func(script testpeer.Script) string { return testpeer.Raw(t, script).Addr }
	status := func(code int) testpeer.Script {
		return testpeer.EachRequest(func(c *testpeer.RawConn, _ testpeer.Request) {
			c.Write(testpeer.Response(code, "text", "Content-Type: text/plain", "Connection: close"))
			c.Linger()
		})
	}
	silent := testpeer.EachRequest(func(c *testpeer.RawConn, _ testpeer.Request) { c.Stall() })
	w := failingWorld{
		ca: ca.PEM(), token: testpeer.ClosedPort(t), fine: raw(status(200)), other: raw(status(200)), busy: raw(status(503)),
		silent: raw(silent), recovers: raw(testpeer.InTurn(status(503), status(200))), warehouse: raw(testpeer.InTurn(status(503), silent)),
	}
	w.shop = raw(testpeer.EachRequest(func(c *testpeer.RawConn, _ testpeer.Request) {
		c.Write(testpeer.Response(302, "", "Location: http://"+w.warehouse+"/shelves/4711", "Connection: close"))
		c.Linger()
	}))
	w.tlsName = testpeer.RawTLS(t, ca.Issue(testpeer.CertOpts{Names: []string{"old.example.com"}, IPs: []net.IP{}}), status(200)).Addr
	return w
}

// policy has all of them.
func (w failingWorld) policy(cases []failureCase) string {
	all := `credentials:
  - name: erp-client
    bind: ["http://` + w.other + `"]
    oauth2: {token_url: "http://` + w.token + `/token", client_id: fetchsvc, client_secret: {secret: env:ERP_SECRET},
      unsafe_plain_http: true, unsafe_allow_addresses: [127.0.0.1]}
upstreams:
  - {name: warehouse, ` + openLoop + `hosts: ["` + w.warehouse + `"], timeouts: {attempt: 400ms}, retry: {max_attempts: 2, backoff: {base: 50ms, max: 50ms}}}
`
	for _, c := range cases {
		all += "  - {name: " + c.as + ", " + strings.ReplaceAll(c.upstream, "{at}", c.at) + "}\n"
	}
	return all
}

// TestFailuresAreTold: the page's ten failures are made, and it shows what the
// collector or the audit log gets of each. No caller has a trace of a failure sampled.
func TestFailuresAreTold(t *testing.T) {
	if testing.Short() && os.Getenv("CI") != "true" {
		t.Skip("starts the service")
	}
	t.Parallel()
	dependOnSources(t)
	w := newFailingWorld(t)
	cases := failureCases(t, w)
	dir := t.TempDir()
	writeFile(t, dir, "policy.yaml", w.policy(cases))
	writeFile(t, dir, "ca.pem", string(w.ca))
	sink := oteltest.NewSink(t)
	command := exec.Command(build(t), "serve", "--policy", "policy.yaml", "--grpc", "127.0.0.1:0", "--rest", "127.0.0.1:0", "--audit", "audit.ndjson")
	command.Dir = dir
	command.Env = append(os.Environ(), "ERP_SECRET=a-secret-of-the-test", "OTEL_EXPORTER_OTLP_ENDPOINT="+sink.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc")
	service := serving(t, command)
	for i, c := range cases {
		for range c.before {
			c.make(t, service, "")
		}
		c.make(t, service, failingTrace(i))
	}
	service.stop()
	for i, c := range cases {
		text := c.told(t, i, filepath.Join(dir, "audit.ndjson"), sink)
		generated(t, telemetryPage, "failure "+c.name, "```"+c.language()+"\n"+c.onPage(text)+"\n```", func(onPage, text string) bool {
			return diffText(onPage, text) == ""
		})
	}
}

// failingTrace is the id of a case's trace.
func failingTrace(i int) string { return fmt.Sprintf("%032x", 0xf00d+i) }

// make makes the call and holds that it fails as it should.
func (c failureCase) make(t *testing.T, service *child, trace string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:"+service.rest+"/v1/fetch", strings.NewReader(strings.ReplaceAll(c.call, "{at}", c.at)))
	if err != nil {
		t.Fatal(err)
	}
	if trace != "" {
		flags := "00"
		if c.sampled {
			flags = "01"
		}
		req.Header.Set("Traceparent", "00-"+trace+"-00f067aa0ba902b7-"+flags)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	var got struct {
		Reason string
		Status int
	}
	if err != nil || json.Unmarshal(text, &got) != nil || got.Reason != c.reason && c.reason != "" || c.status != 0 && got.Status != c.status {
		t.Fatalf("%s ends as %s %d, %v, want %s %d:\n%s", c.name, got.Reason, got.Status, err, c.reason, c.status, text)
	}
}

// told is what there is to read of it.
func (c failureCase) told(t *testing.T, i int, audit string, sink *oteltest.Sink) string {
	t.Helper()
	id, err := hex.DecodeString(failingTrace(i))
	if err != nil {
		t.Fatal(err)
	}
	if !c.audit {
		text := drawTrace(sink.Spans(), id)
		if text == "" {
			t.Fatalf("%s: the collector got no trace", c.name)
		}
		return text
	}
	lines, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(lines) {
		if bytes.Contains(line, []byte(failingTrace(i))) {
			return shortLine(t, line)
		}
	}
	t.Fatalf("%s has no line in the audit log", c.name)
	return ""
}

func (c failureCase) language() string {
	if c.audit {
		return "json"
	}
	return "text"
}

// sixthLoopback is what localhost is at first on some machines.
var sixthLoopback = regexp.MustCompile(`::1 is denied: loopback \([^)]*\)`)

// onPage has the ports and the name that the page has. No resolver is asked for a name
// below onion (RFC 7686), so that the test needs none.
func (c failureCase) onPage(text string) string {
	text = strings.ReplaceAll(text, "api.partner.onion", "api.partner.example")
	text = sixthLoopback.ReplaceAllString(text, "127.0.0.1 is denied: loopback (RFC 1122)")
	if _, port, err := net.SplitHostPort(c.at); err == nil {
		text = strings.ReplaceAll(text, ":"+port, ":8443")
	}
	return hostPort.ReplaceAllStringFunc(text, func(found string) string {
		host, port, _ := strings.Cut(found, ":")
		if port == "8443" {
			return found
		}
		return host + ":8444"
	})
}

// shortLine is what the page shows of a line of the audit log, in its order.
func shortLine(t *testing.T, line []byte) string {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(line, &all); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("{\n")
	for _, key := range []string{"decision", "outcome", "reason", "rule", "caller", "method", "url", "upstream", "policy_generation", "status", "attempts"} {
		value, err := json.Marshal(all[key])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "  %q: %s,\n", key, value)
	}
	b.WriteString("  \"…\": \"…\"\n}")
	return b.String()
}
