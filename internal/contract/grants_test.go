package contract

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// fixtures are what the requests of grantCases quote: a stranger's authority and
// server, and a client certificate of the trusted one.
func fixtures(t *testing.T, w *world) peers {
	stranger := testpeer.NewCA(t)
	names := testpeer.CertOpts{Names: []string{"granted.test", "localhost"}}
	cert, key := testpeer.PEM(t, w.ca.Issue(testpeer.CertOpts{Client: true, CommonName: "client"}))
	texts := map[string]string{"ca": string(stranger.PEM()), "cert": string(cert), "key": string(key)}
	strict := testpeer.TLS(t, http.HandlerFunc(namesClient), w.ca.Issue(names), testpeer.TLSOpts{ClientCA: w.ca.Pool(), HTTP1Only: true})
	own := at(strict)
	own.texts = texts
	return peers{
		"peer":   of(testpeer.Raw(t, testpeer.EchoScript)),
		"secure": of(testpeer.RawTLS(t, stranger.Issue(names), testpeer.EchoScript)),
		"other":  of(testpeer.RawTLS(t, testpeer.SelfSigned(t, testpeer.CertOpts{Names: []string{"else.test"}}), testpeer.EchoScript)),
		"strict": own,
	}
}

// namesClient answers with the subject of the client's certificate.
func namesClient(w http.ResponseWriter, r *http.Request) {
	_, _ = fmt.Fprint(w, r.TLS.PeerCertificates[0].Subject.CommonName)
}

// grantCases: what policy must grant by name is refused without its grant, and
// does what it says with it.
func grantCases() []testCase {
	const plain, secure, strict = `"url":"http://granted.test:{peer.port}/a"`, `"url":"https://granted.test:{secure.port}/a"`, `"url":"https://granted.test:{strict.port}/"`
	const pair = `"client_cert":{"cert_pem":{strict.cert},"key_pem":{strict.key}}`
	in := func(name, fields string, w want, s *sent) testCase {
		if w.kind == "" && w.upstream == "" {
			w.upstream = "granted"
		}
		return testCase{name: "grants: " + name, peers: fixtures, in: "{" + fields + "}", want: w, sent: s}
	}
	without := func(field, grant, fields string) testCase {
		return in(field+" is refused without "+grant, `"url":"https://{peer}/a",`+fields, want{kind: "NOT_GRANTED", says: []string{field, grant, `"open"`}}, nil)
	}
	bad := func(name, fields, field string, says ...string) testCase {
		return in(name, fields, want{kind: "INVALID_REQUEST", fields: []string{field}, says: says}, nil)
	}
	unsent := func(name, fields, kind string, safe bool, says ...string) testCase {
		return in(name, fields, want{kind: kind, safe: safe, says: says, attempts: []string{"FIRST GET UNSENT " + kind}}, nil)
	}
	redirected := in("request_host holds for the first hop alone", `"url":"http://granted.test:{peer.port}/a","request_host":"inner.example"`,
		want{upstream: "granted", history: []string{"GET http://granted.test:{peer.port}/a 302 -> http://granted.test:{other.port}/b"},
			attempts: []string{"FIRST GET ANSWERED 302", "hop 1 FIRST GET ANSWERED 200"}}, &sent{has: []string{"Host: granted.test:{other.port}"}})
	redirected.peers = to(302, "http://granted.test:{other.port}/b")
	redirected.also = func(ps peers) []string {
		return hostOf(ps["peer"], "inner.example")
	}
	return []testCase{
		without("proxy", "request_proxy", `"proxy":"http://127.0.0.1:3128"`),
		without("ca_pem", "request_ca", `"ca_pem":{strict.ca}`),
		without("client_cert", "request_client_cert", pair),
		without("skip_verify", "unsafe_skip_verify", `"skip_verify":true`),
		without("request_host", "unsafe_request_host", `"request_host":"inner.example"`),

		unsent("a stranger's certificate without ca_pem", secure, "TLS_CERT_UNTRUSTED", false),
		in("ca_pem is trusted", secure+`,"ca_pem":{strict.ca}`, want{}, &sent{line: "GET /a HTTP/1.1"}),
		unsent("ca_pem is trusted instead of the others", strict+`,"ca_pem":{strict.ca},`+pair, "TLS_CERT_UNTRUSTED", false),
		unsent("ca_pem does not vouch for other names", `"url":"https://granted.test:{other.port}/a","ca_pem":{strict.ca}`, "TLS_CERT_NAME_MISMATCH", false),
		bad("ca_pem that is none", secure+`,"ca_pem":"PEM"`, "ca_pem", "BEGIN"),
		in("client_cert is presented", strict+","+pair, want{content: `bytes "client"`}, nil),
		bad("client_cert without a key", strict+`,"client_cert":{"cert_pem":{strict.cert}}`, "client_cert", "both"),
		bad("client_cert with another's key", strict+`,"client_cert":{"cert_pem":{strict.ca},"key_pem":{strict.key}}`, "client_cert", "together"),
		in("skip_verify takes any certificate", `"url":"https://granted.test:{other.port}/a","skip_verify":true`, want{}, &sent{line: "GET /a HTTP/1.1"}),
		in("request_host is sent", plain+`,"request_host":"inner.example:8443"`, want{}, &sent{line: "GET /a HTTP/1.1", has: []string{"Host: inner.example:8443"}}),
		redirected,
		bad("request_host that is a URL", plain+`,"request_host":"inner.example/path"`, "request_host", "not a host"),
		bad("request_host with a line break", plain+`,"request_host":"a\r\nX: y"`, "request_host", "not a host"),
	}
}

// hostOf holds that the peer's first request was for host.
func hostOf(p peer, host string) []string {
	for _, line := range ofRaw(p.raw.Requests()[0], peers{"peer": p}.mask()).Header {
		if line == "Host: "+host {
			return nil
		}
	}
	return []string{"the first request was not for " + host}
}

// TestLedgerShowsTheHostThatWasSent: request_host, and not the URL's.
func TestLedgerShowsTheHostThatWasSent(t *testing.T) {
	w := newWorld(t)
	ps := peers{"peer": of(testpeer.Raw(t, testpeer.OK))}
	for name, through := range map[string]door{"gRPC": w.overGRPC, "REST": w.overREST} {
		a := through(t, testCase{in: `{"url":"http://granted.test:{peer.port}/","request_host":"inner.example"}`}.request(t, ps), ps.mask())
		if !slices.Contains(a.last, "Host: inner.example") {
			t.Errorf("over %s the ledger says that %q was sent, want Host: inner.example", name, a.last)
		}
	}
}
