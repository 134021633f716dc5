package contract

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// by is an echo, plain and over TLS, and a proxy that start makes.
func by(start func(t *testing.T, w *world) string) setup {
	return func(t *testing.T, w *world) peers {
		cert := w.ca.Issue(testpeer.CertOpts{Names: []string{"granted.test", "proxied.test"}})
		return peers{
			"peer": of(testpeer.Raw(t, testpeer.EchoScript)), "secure": of(testpeer.RawTLS(t, cert, testpeer.EchoScript)),
			"proxy": at(start(t, w)),
		}
	}
}

// byRaw is an echo and a proxy that runs script.
func byRaw(script testpeer.Script) setup {
	return by(func(t *testing.T, _ *world) string { return testpeer.Raw(t, script).Addr })
}

// saying reads what the client of a proxy says and answers with text.
func saying(answers ...string) testpeer.Script {
	return func(c *testpeer.RawConn) {
		for _, a := range answers {
			c.ReadSome()
			c.Write(a)
		}
		c.Linger()
	}
}

// proxyCases: a proxy of the call or of the policy, TLS through it, and each way
// it fails: on the proxy's side, with nothing of the request sent.
func proxyCases() []testCase {
	forward := func(username, password string) setup {
		return by(func(t *testing.T, _ *world) string { return testpeer.NewForward(t, nil, username, password).Addr })
	}
	fails := func(name, scheme string, peers setup, kind string, safe bool, says ...string) testCase {
		return testCase{name: "proxy: " + name, peers: peers, in: `{"url":"http://granted.test:{peer.port}/","proxy":"` + scheme + `://{proxy}","timeouts":{"connect":"10s"}}`,
			want: want{kind: kind, safe: safe, says: append(says, "proxy"), attempts: []string{"FIRST GET UNSENT " + kind}, notes: []string{"#1 through " + scheme + "://{proxy}"}}}.untouched()
	}
	tls := func(start func(testing.TB) *testpeer.RawServer) setup {
		return by(func(t *testing.T, _ *world) string { return start(t).Addr })
	}
	stranger := by(func(t *testing.T, _ *world) string {
		return testpeer.RawTLS(t, testpeer.NewCA(t).Issue(testpeer.CertOpts{}), testpeer.OK).Addr
	})
	works := func(name, url, proxy string, peers setup) testCase {
		return testCase{name: "proxy: " + name, peers: peers, in: `{"url":"` + url + `","proxy":"` + proxy + `"}`,
			want: want{upstream: "granted", notes: []string{"#1 through " + proxy[:strings.Index(proxy, "://")+3] + "{proxy}"}}, sent: &sent{line: "GET /a HTTP/1.1", not: []string{"Proxy-Authorization", "Proxy-Connection", "Via"}}}
	}
	wrong := fails("wrong password", "http", forward("user", "right"), "PROXY_AUTH_REQUIRED", false)
	wrong.in = strings.Replace(wrong.in, "http://{proxy}", "http://user:wrong-canary@{proxy}", 1)
	private := fails("at a private address", "http", nil, "ADDRESS_DENIED", false, "10.1.2.3", "private")
	private.in, private.want.notes = strings.Replace(private.in, "{proxy}", "10.1.2.3:3128", 1), []string{"#1 through http://10.1.2.3:3128"}
	hangs := fails("hangs", "http", byRaw(testpeer.StallOnAccept), "CONNECT_TIMEOUT", true)
	hangs.in = strings.Replace(hangs.in, `"10s"`, `"1s"`, 1)
	refused := func(name, proxy string, says ...string) testCase {
		return testCase{name: "proxy: refused: " + name, in: `{"url":"http://granted.test:{peer.port}/","proxy":"` + proxy + `"}`,
			want: want{kind: "INVALID_REQUEST", fields: []string{"proxy"}, says: says}}
	}
	const plain, secure = "http://granted.test:{peer.port}/a", "https://granted.test:{secure.port}/a"
	return append(policyProxyCases(),
		works("of the call, plain", plain, "http://{proxy}", forward("", "")),
		works("of the call, https through it", secure, "http://{proxy}", forward("", "")),
		works("of the call, with a password", plain, "http://user:pass-canary@{proxy}", forward("user", "pass-canary")),
		works("of the call, itself over TLS", secure, "https://{proxy}", by(func(t *testing.T, w *world) string {
			cert := w.ca.Issue(testpeer.CertOpts{})
			return testpeer.NewForward(t, &cert, "", "").Addr
		})),
		fails("refuses the connection", "http", by(func(t *testing.T, _ *world) string { return testpeer.ClosedPort(t) }), "PROXY_UNREACHABLE", true, "cannot be reached"),
		fails("refuses the connection by SOCKS", "socks5", by(func(t *testing.T, _ *world) string { return testpeer.ClosedPort(t) }), "PROXY_UNREACHABLE", true),
		fails("wants a password", "http", forward("user", "secret"), "PROXY_AUTH_REQUIRED", false, "none are set"),
		wrong,
		fails("wants a password by SOCKS", "socks5", byRaw(saying("\x05\xff")), "PROXY_AUTH_REQUIRED", false),
		fails("denies by 403", "http", byRaw(saying("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")), "PROXY_DENIED", false, "403"),
		fails("denies by its rules, SOCKS", "socks5", byRaw(saying("\x05\x00", "\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00")), "PROXY_DENIED", false, "rules"),
		fails("speaks no TLS", "https", tls(testpeer.TLSGarbage), "PROXY_TLS_FAILED", true, "not TLS"),
		fails("resets in TLS", "https", tls(testpeer.TLSReset), "PROXY_TLS_FAILED", true),
		fails("has a stranger's certificate", "https", stranger, "PROXY_TLS_FAILED", true, "no authority"),
		fails("speaks no HTTP", "http", byRaw(testpeer.NotHTTP), "PROXY_BAD_RESPONSE", true, "not HTTP"),
		fails("hangs up", "http", byRaw(testpeer.CloseBeforeHead), "PROXY_BAD_RESPONSE", true, "hung up"),
		fails("speaks no SOCKS", "socks5", byRaw(saying("HTTP/1.1 400 Bad Request\r\n\r\n")), "PROXY_BAD_RESPONSE", true, "SOCKS 5"),
		fails("cannot reach the upstream", "http", byRaw(saying("HTTP/1.1 502 Bad Gateway\r\n\r\n")), "HOST_UNREACHABLE", true, "cannot reach"),
		fails("says why it cannot", "http", byRaw(saying("HTTP/1.1 502 Bad Gateway\r\nProxy-Status: p; error=connection_refused\r\n\r\n")), "CONNECTION_REFUSED", true),
		hangs, private,
		refused("a proxy that resolves names", "socks5h://127.0.0.1:1080", "socks5"),
		refused("a proxy that is no URL", "127.0.0.1:3128", "http://proxy.example:3128"),
		refused("a proxy with a path", "http://127.0.0.1:3128/x", "path"),
		refused("a proxy of ftp", "ftp://127.0.0.1:3128", "http, https or socks5"),
	)
}

// policyProxyCases: the proxy of the policy, with a password from a secret.
func policyProxyCases() []testCase {
	in := func(name, url string, w want, s *sent) testCase {
		return testCase{name: "proxy: of the policy " + name, in: `{"url":"` + url + `"}`, want: w, sent: s,
			peers: by(func(_ *testing.T, w *world) string { return w.forward.Addr })}
	}
	through := []string{"#1 through http://{proxy}"}
	failed := func(kind string) want {
		return want{kind: kind, says: []string{"http://{proxy}"}, attempts: []string{"FIRST GET UNSENT " + kind}, notes: through}
	}
	gone := failed("CONNECTION_REFUSED")
	gone.safe, gone.says = true, []string{"the proxy"}
	closed := in("that finds the port closed", "http://proxied.test:{gone.port}/", gone, nil)
	closed.peers = func(t *testing.T, w *world) peers {
		return peers{"proxy": at(w.forward.Addr), "gone": at(testpeer.ClosedPort(t))}
	}
	return []testCase{
		in("is gone through", "http://proxied.test:{peer.port}/a", want{upstream: "proxied", notes: through}, &sent{line: "GET /a HTTP/1.1", has: []string{"Host: proxied.test:{peer.port}"}, not: []string{"Proxy-Authorization"}}),
		in("is gone through to https", "https://proxied.test:{secure.port}/a", want{upstream: "proxied", notes: through}, &sent{line: "GET /a HTTP/1.1"}),
		in("with a wrong password", "http://misproxied.test:{peer.port}/", failed("PROXY_AUTH_REQUIRED"), nil).untouched(),
		in("whose secret is missing", "http://secretless.test:{peer.port}/", failed("PROXY_AUTH_REQUIRED"), nil).untouched(),
		closed,
	}
}

// TestProxyIsAskedForJudgedAddresses: never for a name, which it would resolve
// past the guard.
func TestProxyIsAskedForJudgedAddresses(t *testing.T) {
	w := newWorld(t)
	up := testpeer.Raw(t, testpeer.OK)
	for name, through := range map[string]door{"gRPC": w.overGRPC, "REST": w.overREST} {
		t.Run(name, func(t *testing.T) {
			c := testCase{in: fmt.Sprintf(`{"url":"http://proxied.test:%s/"}`, of(up).port())}
			if a := through(t, c.request(t, nil), strings.NewReplacer()); a.Status != 200 {
				t.Fatalf("it ends with %s", a)
			}
		})
	}
	asked := w.forward.Asked()
	if len(asked) == 0 {
		t.Error("the proxy was not asked")
	}
	for _, a := range asked {
		if a.Method != "CONNECT" || a.Target != up.Addr || a.Authorization == "" {
			t.Errorf("the proxy was asked to %s %s (authorized: %v), want CONNECT %s with a password", a.Method, a.Target, a.Authorization != "", up.Addr)
		}
	}
}
