package egress

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// short is the connect clock of the tests that run into it. The proxy itself must be
// reached within it, on a starved machine too.
const short = time.Second

// saying answers a CONNECT with text and lingers.
func saying(text string) testpeer.Script {
	return func(c *testpeer.RawConn) {
		c.ReadHead()
		c.Write(text)
		c.Linger()
	}
}

func TestHTTPProxiesThatFail(t *testing.T) {
	tests := []struct {
		name   string
		script testpeer.Script
		want   fault.Kind
		says   string
		slow   bool // runs into the connect clock
	}{
		{name: "407", script: saying("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"), want: fault.ProxyAuthRequired, says: "none are set"},
		{name: "403", script: saying("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope"), want: fault.ProxyDenied, says: "403"},
		{name: "500", script: saying("HTTP/1.1 500 No\r\n\r\n"), want: fault.ProxyDenied, says: "500"},
		{name: "302", script: saying("HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n"), want: fault.ProxyDenied, says: "302"},
		{name: "502", script: saying("HTTP/1.1 502 Bad\r\n\r\n"), want: fault.HostUnreachable, says: "the proxy"},
		{name: "503", script: saying("HTTP/1.1 503 Bad\r\n\r\n"), want: fault.HostUnreachable, says: "says that it cannot reach"},
		{name: "504", script: saying("HTTP/1.1 504 Bad\r\n\r\n"), want: fault.ConnectTimeout, says: "says that it cannot reach"},
		{name: "RFC 9209", script: saying("HTTP/1.1 502 Bad\r\nProxy-Status: p; error=connection_refused\r\n\r\n"), want: fault.ConnectionRefused, says: "connection_refused"},
		{name: "Squid's word", script: saying("HTTP/1.1 503 Bad\r\nX-Squid-Error: ERR_CONNECT_FAIL 110\r\n\r\n"), want: fault.ConnectTimeout, says: "the proxy"},
		{name: "not HTTP", script: testpeer.NotHTTP, want: fault.ProxyBadResponse, says: "not HTTP"},
		{name: "not HTTP, no end", script: func(c *testpeer.RawConn) { c.Write("SSH-2.0-x"); c.Stall() }, want: fault.ProxyBadResponse, says: "not HTTP"},
		{name: "no status", script: saying("HTTP/1.1 abc\r\n\r\n"), want: fault.ProxyBadResponse, says: "not HTTP"},
		{name: "huge head", script: testpeer.EndlessHead, want: fault.ProxyBadResponse, says: "16384"},
		{name: "huge line", script: testpeer.EndlessLine, want: fault.ProxyBadResponse, says: "16384"},
		{name: "endless 1xx", script: testpeer.Flood1xx(100_000), want: fault.ProxyBadResponse, says: "16384"},
		{name: "closes", script: testpeer.CloseBeforeHead, want: fault.ProxyBadResponse, says: "hung up"},
		{name: "closes at once", script: testpeer.CloseOnAccept, want: fault.ProxyBadResponse, says: "hung up"},
		{name: "closes in the head", script: testpeer.CloseMidHead, want: fault.ProxyBadResponse, says: "hung up"},
		{name: "resets", script: testpeer.ResetBeforeHead, want: fault.ProxyBadResponse, says: "hung up"},
		{name: "hangs", script: testpeer.StallOnAccept, want: fault.ConnectTimeout, says: "did not connect to 127.0.0.1:9", slow: true},
		{name: "hangs in the head", script: testpeer.StallMidHead, want: fault.ConnectTimeout, says: "did not connect", slow: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // some wait for a clock
			srv := testpeer.Raw(t, tt.script)
			expect(t, proxyAt("http", srv.Addr), tt.slow, tt.want, tt.says)
		})
	}
}

// expect sends a request through px, which must fail so, and before anything of
// the request was sent.
func expect(t *testing.T, px *policy.Proxy, slow bool, want fault.Kind, says string) {
	t.Helper()
	p, up, _ := through(t, nil, &names{table: map[string][]string{"proxy.example": nil}}, px)
	if slow {
		up.Base.Timeouts.Connect.Default = short
	}
	g, err := fetch(t, p.For(up), "http://127.0.0.1:9/secret-path")
	if !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want %s with %q", err, want, says)
	}
	if g.dialed.Proxy != px.Scheme+"://"+(endpoint{px.Host, px.Port}).String() {
		t.Errorf("the record has %+v, want the proxy in it", g.dialed)
	}
	if g.written != 0 || g.exclusive {
		t.Error("the request had a connection")
	}
}

func TestProxiesOutOfReach(t *testing.T) {
	t.Run("refuses", func(t *testing.T) {
		expect(t, proxyAt("http", testpeer.ClosedPort(t)), false, fault.ProxyUnreachable, "nothing listens")
	})
	t.Run("swallows", func(t *testing.T) {
		expect(t, proxyAt("socks5", testpeer.Blackhole(t)), true, fault.ProxyUnreachable, "connect clock")
	})
	t.Run("has no name", func(t *testing.T) {
		expect(t, proxyAt("http", "proxy.example:80"), false, fault.ProxyUnreachable, "proxy.example does not exist")
	})
	ca := testpeer.NewCA(t)
	for name, c := range map[string]struct {
		addr string
		slow bool
		says string
	}{
		"untrusted":         {testpeer.RawTLS(t, ca.Issue(testpeer.CertOpts{}), testpeer.OK).Addr, false, "no authority"},
		"expired":           {testpeer.RawTLS(t, ca.Issue(testpeer.CertOpts{}.Expired()), testpeer.OK).Addr, false, "TLS session with the proxy"},
		"no TLS":            {testpeer.TLSGarbage(t).Addr, false, "not TLS"},
		"hangs in TLS":      {testpeer.TLSStall(t).Addr, true, "took longer"},
		"resets during TLS": {testpeer.TLSReset(t).Addr, false, "broke the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, proxyAt("https", c.addr), c.slow, fault.ProxyTLS, c.says)
		})
	}
}

// socksServer answers each message of a client, the greeting first, with the
// next of answers, and hangs after the last.
func socksServer(answers ...string) testpeer.Script {
	return func(c *testpeer.RawConn) {
		for _, a := range answers {
			c.ReadSome()
			c.Write(a)
		}
		c.Stall()
	}
}

func TestSOCKSProxiesThatFail(t *testing.T) {
	reply := func(code byte) testpeer.Script {
		return socksServer("\x05\x00", "\x05"+string([]byte{code})+"\x00\x01\x00\x00\x00\x00\x00\x00")
	}
	tests := []struct {
		name   string
		script testpeer.Script
		auth   bool
		slow   bool
		want   fault.Kind
		says   string
	}{
		{name: "general failure", script: reply(1), want: fault.ProxyDenied, says: "general failure"},
		{name: "not allowed", script: reply(2), want: fault.ProxyDenied, says: "rules"},
		{name: "network unreachable", script: reply(3), want: fault.HostUnreachable, says: "the proxy"},
		{name: "host unreachable", script: reply(4), want: fault.HostUnreachable, says: "says that it cannot reach 127.0.0.1:9"},
		{name: "refused", script: reply(5), want: fault.ConnectionRefused, says: "the proxy"},
		{name: "TTL", script: reply(6), want: fault.ConnectTimeout, says: "the proxy"},
		{name: "no CONNECT", script: reply(7), want: fault.ProxyDenied, says: "CONNECT"},
		{name: "address type", script: reply(8), want: fault.HostUnreachable, says: "type of address"},
		{name: "unheard of", script: reply(99), want: fault.ProxyBadResponse, says: "99"},
		{name: "no method", script: socksServer("\x05\xff"), want: fault.ProxyAuthRequired, says: "none are set"},
		{name: "no method for a password", script: socksServer("\x05\xff"), auth: true, want: fault.ProxyAuthRequired, says: "takes neither"},
		{name: "a method not offered", script: socksServer("\x05\x02"), want: fault.ProxyBadResponse, says: "SOCKS 5"},
		{name: "GSSAPI", script: socksServer("\x05\x01"), want: fault.ProxyBadResponse, says: "SOCKS 5"},
		{name: "wrong password", script: socksServer("\x05\x02", "\x01\x01"), auth: true, want: fault.ProxyAuthRequired, says: "does not accept"},
		{name: "SOCKS 4", script: socksServer("\x04\x00"), want: fault.ProxyBadResponse, says: "SOCKS 5"},
		{name: "HTTP", script: socksServer("HTTP/1.1 400 Bad Request\r\n\r\n"), want: fault.ProxyBadResponse, says: "SOCKS 5"},
		{name: "odd bound address", script: socksServer("\x05\x00", "\x05\x00\x00\x09\x00\x00\x00\x00\x00\x00"), want: fault.ProxyBadResponse, says: "SOCKS 5"},
		{name: "closes", script: testpeer.CloseOnAccept, want: fault.ProxyBadResponse, says: "hung up"},
		{name: "hangs at the greeting", script: testpeer.StallOnAccept, slow: true, want: fault.ProxyUnreachable, says: "greeting"},
		{name: "hangs at the request", script: socksServer("\x05\x00"), slow: true, want: fault.ConnectTimeout, says: "did not connect"},
		{name: "hangs in the reply", script: socksServer("\x05\x00", "\x05\x00\x00\x01"), slow: true, want: fault.ConnectTimeout, says: "did not connect"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // some wait for a clock
			px := proxyAt("socks5", testpeer.Raw(t, tt.script).Addr)
			if tt.auth {
				px.Username, px.Password = proxyUser, passwordRef
			}
			expect(t, px, tt.slow, tt.want, tt.says)
		})
	}
}

func TestSOCKSLimits(t *testing.T) {
	srv := testpeer.Raw(t, socksServer("\x05\x02"))
	px := proxyAt("socks5", srv.Addr)
	px.Username, px.Password = proxyUser, passwordRef
	p, up, v := through(t, nil, &names{}, px)
	v.set(passwordRef, strings.Repeat("x", 256))
	if _, err := fetch(t, p.For(up), "http://127.0.0.1:9/"); !errors.Is(err, fault.ProxyAuthRequired) || !strings.Contains(err.Error(), "255") {
		t.Errorf("got %v, want PROXY_AUTH_REQUIRED with the limit", err)
	}
}

// TestSecretOfTheProxyIsMissing: nothing is sent without it.
func TestSecretOfTheProxyIsMissing(t *testing.T) {
	srv := testpeer.Raw(t, saying("HTTP/1.1 200 OK\r\n\r\n"))
	px := proxyAt("http", srv.Addr)
	px.Username, px.Password = proxyUser, "env:NOWHERE"
	expect(t, px, false, fault.ProxyAuthRequired, "env:NOWHERE")
	if len(srv.Requests()) != 0 {
		t.Errorf("the proxy got %q", srv.Requests())
	}
}

// TestTheTunnelBeginsAfterTheHead: what a proxy sends with its answer belongs to
// the tunnel.
func TestTheTunnelBeginsAfterTheHead(t *testing.T) {
	for name, c := range map[string]struct{ scheme, answer string }{
		"CONNECT":           {"http", "HTTP/1.1 200 OK\r\nX: y\r\n\r\n"},
		"CONNECT after 1xx": {"http", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"},
		"SOCKS":             {"socks5", "\x05\x00\x00\x03\x04name\x00\x50"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := testpeer.Raw(t, func(c2 *testpeer.RawConn) {
				if c.scheme == "socks5" {
					c2.ReadSome()
					c2.Write("\x05\x00")
				}
				c2.ReadSome()
				c2.Write(c.answer + "the tunnel's own")
				c2.Linger()
			})
			d := dialer{guard: anyAddress, connect: patience}
			px := newProxy(Config{}, proxyAt(c.scheme, srv.Addr), d, patience)
			p := &pool{dialer: d}
			conn, err := p.via(t.Context(), px, "127.0.0.1:9", false)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if got, err := io.ReadAll(conn); err != nil || string(got) != "the tunnel's own" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// TestOneHangingAddressLeavesTimeForTheNext: the addresses share the clock.
func TestOneHangingAddressLeavesTimeForTheNext(t *testing.T) {
	srv := testpeer.Raw(t, func(c *testpeer.RawConn) {
		if h := c.ReadHead(); h.Target == "127.0.0.2:80" {
			c.Stall()
			return
		}
		c.Write("HTTP/1.1 200 OK\r\n\r\n")
		testpeer.OK(c)
	})
	n := &names{table: map[string][]string{"target.example": {"127.0.0.2", "127.0.0.1"}}}
	p, up, _ := through(t, nil, n, proxyAt("http", srv.Addr))
	up.Base.Timeouts.Connect.Default = 4 * time.Second
	g, err := fetch(t, p.For(up), "http://target.example/")
	if err != nil || g.dialed.Target != "127.0.0.1:80" {
		t.Errorf("got %+v, %v; want the second address", g.dialed, err)
	}
}

// TestCancelledAtTheProxy: the caller's reason wins, and the proxy is let go.
func TestCancelledAtTheProxy(t *testing.T) {
	for _, scheme := range []string{"http", "socks5"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		srv := testpeer.Raw(t, func(c *testpeer.RawConn) {
			c.ReadSome()
			cancel(fault.New(fault.Cancelled, "the test went away"))
			c.Stall()
		})
		d := dialer{guard: anyAddress, connect: patience}
		px := newProxy(Config{}, proxyAt(scheme, srv.Addr), d, patience)
		if _, err := (&pool{dialer: d}).via(ctx, px, "127.0.0.1:9", false); !errors.Is(err, fault.Cancelled) {
			t.Errorf("%s: got %v, want the cause", scheme, err)
		}
		srv.AwaitEnded(1)
	}
}

// TestBodyIsClosedWhenAbsoluteFormFails: net/http promises that of any transport.
func TestBodyIsClosedWhenAbsoluteFormFails(t *testing.T) {
	px := proxyAt("http", testpeer.ClosedPort(t))
	px.UnsafeResolves, px.Username, px.Password = true, proxyUser, "env:NOWHERE"
	p, up, _ := through(t, nil, &names{}, px)
	body := &closing{Reader: strings.NewReader("x")}
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://target.example/", body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.For(up).RoundTrip(req); !errors.Is(err, fault.ProxyAuthRequired) || !body.closed {
		t.Errorf("got %v, body closed %v", err, body.closed)
	}
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }
