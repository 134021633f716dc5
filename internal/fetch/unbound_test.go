package fetch

import (
	"net/http"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// TestExplainOfAnUnboundHost: Explain names the credential only where calls carry
// it, and a call that names it is not made without.
func TestExplainOfAnUnboundHost(t *testing.T) {
	e := newEngine(t, confiding)
	for url, want := range map[string]string{"https://a.test/": "token", "https://b.test/": ""} {
		req := request(t, "GET", url)
		x := e.Explain(t.Context(), req, false)
		if x.Fault != nil || x.Credential != want {
			t.Errorf("%s: got %v with credential %q, want %q", url, x.Fault, x.Credential, want)
		}
		if got := settingsOf(x)["credential"].Value; (got == "token (bearer)") != (want != "") {
			t.Errorf("%s: the setting is %q", url, got)
		}
		req.Credential = "token"
		if x := e.Explain(t.Context(), req, false); (x.Fault == nil) != (want != "") || x.Fault != nil && x.Fault.Kind != fault.NotGranted {
			t.Errorf("%s by name: got %v", url, x.Fault)
		}
	}
}

// TestExplainOfAMethodInAHeader: a credential of some methods does not go where a
// header makes the request another one.
func TestExplainOfAMethodInAHeader(t *testing.T) {
	const reading = `
credentials:
  - {name: token, bind: ["https://a.test"], methods: [GET], bearer: {token: {secret: env:NOBODY_SETS_THIS}}}
upstreams:
  - {name: a, hosts: [a.test], credential: token}
`
	for header, want := range map[string]string{"X-Http-Method-Override": "", "X-Http-Method": "", "X-Method-Override": "", "X-Else": "token"} {
		req := request(t, "GET", "https://a.test/")
		req.Header = http.Header{header: {" delete"}}
		if x := newEngine(t, reading).Explain(t.Context(), req, false); x.Fault != nil || x.Credential != want {
			t.Errorf("%s: got %v with credential %q, want %q", header, x.Fault, x.Credential, want)
		}
	}
}
