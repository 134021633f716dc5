package fetch

import (
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
