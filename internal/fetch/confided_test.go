package fetch

import (
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

const confiding = `
credentials:
  - {name: token, bind: ["https://a.test", "http://a.test"], bearer: {token: {secret: env:NOBODY_SETS_THIS}}}
upstreams:
  - name: a
    hosts: [a.test, b.test]
    schemes: [http, https]
    credential: token
    grants: [request_proxy, request_ca, unsafe_skip_verify, unsafe_request_host]
`

// TestCredentialsAreNotShownToCallers: no call chooses both what carries the
// credential and who can read it there.
func TestCredentialsAreNotShownToCallers(t *testing.T) {
	proxy := &egress.CallProxy{Scheme: "http", Host: "203.0.113.1", Port: 3128, Password: secret.NewValue("")}
	for name, c := range map[string]struct {
		url     string
		own     egress.Override
		host    string
		refused bool
	}{
		"a proxy reads http":         {"http://a.test/", egress.Override{Proxy: proxy}, "", true},
		"a proxy passes https on":    {"https://a.test/", egress.Override{Proxy: proxy}, "", false},
		"a proxy poses as https":     {"https://a.test/", egress.Override{Proxy: proxy, SkipVerify: true}, "", true},
		"anyone poses as https":      {"https://a.test/", egress.Override{SkipVerify: true}, "", true},
		"a host without credentials": {"http://b.test/", egress.Override{Proxy: proxy}, "", false},
		"another site of the server": {"https://a.test/", egress.Override{}, "evil.test", true},
		"its own name":               {"https://a.test/", egress.Override{}, "A.test", false},
		"another port":               {"https://a.test/", egress.Override{}, "a.test:8443", true},
		"a site without credentials": {"https://b.test/", egress.Override{}, "evil.test", false},
	} {
		t.Run(name, func(t *testing.T) {
			req := request(t, "GET", c.url)
			req.Connection, req.Host = &c.own, c.host
			x := newEngine(t, confiding).Explain(t.Context(), req, false)
			if got := x.Fault != nil && x.Fault.Kind == fault.NotGranted; got != c.refused {
				t.Errorf("got %v, want it refused: %v", x.Fault, c.refused)
			}
		})
	}
}
