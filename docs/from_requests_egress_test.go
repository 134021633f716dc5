package docs_test

import (
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// egressCases are what policy must grant: proxies, and what is asked of TLS.
func egressCases() []requestsCase {
	proxied := func(t *testing.T, w *requestsWorld) map[string]string {
		names := echo(t, w)
		names["P"] = "http://" + testpeer.NewForward(t, nil, "", "").Addr
		return names
	}
	attempt := func(member string) func(*testing.T, []*fetchAnswer) any {
		return last(func(a *fetchAnswer) any { return []any{a.res["status"], each(a.res["attempts"], member)} })
	}
	return []requestsCase{
		overREST(requestsCase{
			row: "Arguments: proxies", names: proxied, look: attempt("proxy"),
			fetch: []string{`{"url":"{U}/","proxy":"{P}"}`}, want: `[200,["{P}"]]`,
			python: `out = [requests.get(U, proxies={"http": P}).status_code, [P]]`,
		}),
		{
			row: "Arguments: verify as a path", names: ofStranger, look: member("status"),
			fetch: []string{`{"url":"{U}/","ca_pem":"{PEM}"}`}, want: `200`,
			python: `out = requests.get(U, verify=FILE).status_code`,
		},
		{
			row: "Arguments: verify=False", names: ofStranger, look: member("status"),
			fetch: []string{`{"url":"{U}/","skip_verify":true}`}, want: `200`,
			python: `out = requests.get(U, verify=False).status_code`,
		},
		{
			row: "Arguments: cert", names: mutual, look: member("status"),
			fetch: []string{`{"url":"{U}/","client_cert":{"cert_pem":"{PEM}","key_pem":"{KEYPEM}"}}`}, want: `204`,
			python: `out = requests.get(U, verify=CA, cert=(FILE, KEY)).status_code`,
		},
		{
			row: "Arguments: cert", names: mutual, kind: "TLS_HANDSHAKE_FAILED",
			fetch:  []string{`{"url":"{U}/"}`},
			python: `requests.get(U, verify=CA)`, raises: "ConnectionError",
		},
		overREST(requestsCase{
			row: "Session: rebuild_proxies", look: attempt("proxy"),
			names: func(t *testing.T, w *requestsWorld) map[string]string {
				names := proxied(t, w)
				names["R"] = testpeer.Raw(t, testpeer.RedirectTo(302, names["U"])).URL
				return names
			},
			fetch: []string{`{"url":"{R}/","proxy":"{P}"}`}, want: `[200,["{P}",null]]`,
		}),
		{
			row: "Exceptions: ProxyError", kind: "PROXY_UNREACHABLE",
			names: func(t *testing.T, w *requestsWorld) map[string]string {
				return map[string]string{"U": testpeer.Raw(t, testpeer.OK).URL, "P": "http://" + testpeer.ClosedPort(t)}
			},
			fetch:  []string{`{"url":"{U}/","proxy":"{P}"}`},
			python: `requests.get(U, proxies={"http": P})`, raises: "ProxyError",
		},
		{
			row: "Exceptions: ProxyError", kind: "PROXY_AUTH_REQUIRED",
			names: func(t *testing.T, w *requestsWorld) map[string]string {
				names := secured(nil, testpeer.CertOpts{})(t, w)
				names["P"] = "http://" + testpeer.NewForward(t, nil, "me", "secret").Addr
				return names
			},
			fetch:  []string{`{"url":"{U}/","proxy":"{P}"}`},
			python: `requests.get(U, proxies={"https": P}, verify=CA)`, raises: "ProxyError",
		},
		{
			row: "Exceptions: InvalidProxyURL", kind: "INVALID_REQUEST",
			fetch:  []string{`{"url":"{U}/","proxy":"http:///x"}`},
			python: `requests.get(U, proxies={"http": "http:///x"})`, raises: "InvalidProxyURL",
		},
		overREST(requestsCase{
			row: "httpx: proxy", names: proxied, look: attempt("proxy"),
			fetch: []string{`{"url":"{U}/","proxy":"{P}"}`}, want: `[200,["{P}"]]`,
		}),
	}
}

// ofStranger is an upstream whose authority nobody trusts: in FILE, and in PEM as
// JSON has it.
func ofStranger(t *testing.T, _ *requestsWorld) map[string]string {
	ca := testpeer.NewCA(t)
	return map[string]string{
		"U":    testpeer.RawTLS(t, ca.Issue(testpeer.CertOpts{}), testpeer.OK).URL,
		"PEM":  jsonText(t, ca.PEM()),
		"FILE": inFile(t, ca.PEM()),
	}
}

// mutual is an upstream that wants a client's certificate, and one.
func mutual(t *testing.T, w *requestsWorld) map[string]string {
	loopback := []net.IP{net.IPv4(127, 0, 0, 1)}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(w.ca.PEM())
	chain, key := testpeer.PEM(t, w.ca.Issue(testpeer.CertOpts{Client: true, CommonName: "billing"}))
	nothing := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return map[string]string{
		"U":  testpeer.TLS(t, nothing, w.ca.Issue(testpeer.CertOpts{IPs: loopback}), testpeer.TLSOpts{ClientCA: pool}),
		"CA": w.caFile, "FILE": inFile(t, chain), "KEY": inFile(t, key),
		"PEM": jsonText(t, chain), "KEYPEM": jsonText(t, key),
	}
}

func inFile(t *testing.T, text []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// jsonText is text within the quotes of JSON.
func jsonText(t *testing.T, text []byte) string {
	t.Helper()
	quoted, err := json.Marshal(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(quoted[1 : len(quoted)-1])
}
