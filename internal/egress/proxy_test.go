package egress

import (
	"errors"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

const (
	proxyUser     = "fetchsvc"
	proxyPassword = "proxy-canary"
	passwordRef   = "env:PROXY_PASSWORD"
)

// aProxy is one kind of real proxy.
type aProxy struct {
	name, scheme string
	auth         bool
	denies       bool // may be told a port to deny
	start        func(t *testing.T, ca *testpeer.CA, user, password, denied string) string
}

var realProxies = []aProxy{
	{"squid", "http", false, true, startSquid},
	{"squid with a password", "http", true, true, startSquid},
	{"own over TLS", "https", false, false, startOwn},
	{"own over TLS with a password", "https", true, false, startOwn},
	{"microsocks", "socks5", false, false, startMicrosocks},
	{"microsocks with a password", "socks5", true, false, startMicrosocks},
	{"dante", "socks5", false, true, func(t *testing.T, _ *testpeer.CA, _, _, denied string) string { return testpeer.Dante(t, denied) }},
}

func startSquid(t *testing.T, _ *testpeer.CA, user, password, denied string) string {
	return testpeer.Squid(t, user, password, denied)
}

func startOwn(t *testing.T, ca *testpeer.CA, user, password, _ string) string {
	cert := ca.Issue(testpeer.CertOpts{})
	return testpeer.NewForward(t, &cert, user, password).Addr
}

func startMicrosocks(t *testing.T, _ *testpeer.CA, user, password, _ string) string {
	return testpeer.Microsocks(t, user, password)
}

// through sets up pools and an upstream that goes through a proxy.
func through(t *testing.T, ca *testpeer.CA, n *names, px *policy.Proxy) (*Pools, *policy.Upstream, *vault) {
	t.Helper()
	v := &vault{}
	v.set(passwordRef, proxyPassword)
	cfg := Config{Resolver: n, Secrets: v}
	if ca != nil {
		cfg.RootCAs = ca.Pool()
	}
	p := NewPools(cfg)
	t.Cleanup(p.Close)
	up := upstream("127.0.0.0/8")
	up.Proxy = px
	return p, up, v
}

func TestRealProxies(t *testing.T) {
	for _, kind := range realProxies {
		t.Run(kind.name, func(t *testing.T) {
			ca := testpeer.NewCA(t)
			cert := ca.Issue(testpeer.CertOpts{Names: []string{"target.example", "two.example"}})
			plain, secure := testpeer.HTTP(t, hello), testpeer.TLS(t, hello, cert, testpeer.TLSOpts{})
			old := testpeer.TLS(t, hello, cert, testpeer.TLSOpts{HTTP1Only: true})
			deniedPort := portOf(t, testpeer.HTTP(t, hello))
			user, password := "", ""
			if kind.auth {
				user, password = proxyUser, proxyPassword
			}
			addr := kind.start(t, ca, user, password, deniedPort)
			px := proxyAt(kind.scheme, addr)
			if kind.auth {
				px.Username, px.Password = proxyUser, passwordRef
			}
			// Nothing listens on 127.0.0.2: the next address has to be asked for.
			n := &names{table: map[string][]string{
				"target.example": {"127.0.0.1"}, "two.example": {"127.0.0.2", "127.0.0.1"}, "inner.example": {"10.0.0.1"},
			}}
			p, up, v := through(t, ca, n, px)
			rt := p.For(up)
			for name, c := range map[string]struct{ url, proto string }{
				"http":   {"http://target.example:" + portOf(t, plain), "HTTP/1.1"},
				"https":  {"https://target.example:" + portOf(t, old), "HTTP/1.1"},
				"HTTP/2": {"https://target.example:" + portOf(t, secure), "HTTP/2.0"},
				"second": {"https://two.example:" + portOf(t, old), "HTTP/1.1"},
			} {
				g, err := fetch(t, rt, c.url+"/")
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if g.status != 200 || !strings.HasPrefix(g.body, "hello from ") || g.proto != c.proto {
					t.Errorf("%s: got %d %q by %s, want a hello by %s", name, g.status, g.body, g.proto, c.proto)
				}
				want := Dialed{Proxy: kind.scheme + "://" + addr, Address: addr, Target: "127.0.0.1:" + portOf(t, c.url)}
				if g.dialed.Proxy != want.Proxy || g.dialed.Target != want.Target || g.dialed.Address != addr || g.dialed.Connect <= 0 {
					t.Errorf("%s: the record has %+v, want %+v and a time to connect", name, g.dialed, want)
				}
				if h1 := c.proto == "HTTP/1.1"; g.exclusive != h1 || h1 && g.written < int64(len("GET / HTTP/1.1")) {
					t.Errorf("%s: %d bytes written, exclusive %v", name, g.written, g.exclusive)
				}
				again, err := fetch(t, rt, c.url+"/")
				if err != nil || !again.reused {
					t.Errorf("%s: the connection was not used again (%v)", name, err)
				}
				p.Close()
				if c.proto == "HTTP/1.1" && again.closed.Load() != 1 {
					t.Errorf("%s: closing the connection was told %d times, want once", name, again.closed.Load())
				}
			}
			p.Close()
			faults := map[string]struct {
				url  string
				want fault.Kind
			}{
				"nobody listens": {"http://" + testpeer.ClosedPort(t) + "/", fault.ConnectionRefused},
				"inner address":  {"http://inner.example/", fault.AddressDenied},
				"inner literal":  {"https://10.0.0.1/", fault.AddressDenied},
				"no such name":   {"http://none.example/", fault.DNSError},
			}
			if kind.denies {
				faults["denied port"] = struct {
					url  string
					want fault.Kind
				}{"https://target.example:" + deniedPort + "/", fault.ProxyDenied}
			}
			for name, c := range faults {
				if _, err := fetch(t, rt, c.url); !errors.Is(err, c.want) {
					t.Errorf("%s: got %v, want %s", name, err, c.want)
				}
			}
			if !kind.auth {
				return
			}
			v.set(passwordRef, "wrong-canary")
			for what, up := range map[string]*policy.Upstream{"wrong password": up, "no password": noPassword(up)} {
				_, err := fetch(t, p.For(up), plainURL(plain))
				if !errors.Is(err, fault.ProxyAuthRequired) || strings.Contains(err.Error(), "canary") {
					t.Errorf("%s: got %v, want PROXY_AUTH_REQUIRED and no password in it", what, err)
				}
			}
			v.set(passwordRef, proxyPassword)
			if _, err := fetch(t, rt, plainURL(plain)); err != nil {
				t.Errorf("the password was put right: %v", err)
			}
		})
	}
}

func plainURL(base string) string {
	return strings.Replace(base, "127.0.0.1", "target.example", 1) + "/"
}

func noPassword(up *policy.Upstream) *policy.Upstream {
	other, px := *up, *up.Proxy
	px.Username, px.Password = "", ""
	other.Proxy = &px
	return &other
}

// TestTheProxyIsAskedForJudgedAddresses looks at what the proxy sees.
func TestTheProxyIsAskedForJudgedAddresses(t *testing.T) {
	ca := testpeer.NewCA(t)
	cert := ca.Issue(testpeer.CertOpts{Names: []string{"target.example"}})
	plain, secure := testpeer.HTTP(t, hello), testpeer.TLS(t, hello, cert, testpeer.TLSOpts{})
	fw := testpeer.NewForward(t, nil, proxyUser, proxyPassword)
	n := &names{table: map[string][]string{"target.example": {"127.0.0.1"}, "mixed.example": {"127.0.0.1", "10.0.0.1"}}}
	px := proxyAt("http", fw.Addr)
	px.Username, px.Password = proxyUser, passwordRef
	p, up, _ := through(t, ca, n, px)
	for _, base := range []string{plain, secure} {
		if _, err := fetch(t, p.For(up), plainURL(base)); err != nil {
			t.Fatal(err)
		}
	}
	for i, base := range []string{plain, secure} {
		want := testpeer.Asked{Method: "CONNECT", Target: "127.0.0.1:" + portOf(t, base), Host: "127.0.0.1:" + portOf(t, base),
			Authorization: "Basic ZmV0Y2hzdmM6cHJveHktY2FuYXJ5"}
		if got := fw.Asked()[i]; got != want {
			t.Errorf("the proxy was asked %+v, want %+v", got, want)
		}
	}
	if got := n.count("target.example"); got != 2 {
		t.Errorf("the name was resolved %d times for two connections", got)
	}
	before := len(fw.Asked())
	if _, err := fetch(t, p.For(up), "http://mixed.example/"); !errors.Is(err, fault.AddressDenied) {
		t.Errorf("a mixed answer: got %v, want ADDRESS_DENIED", err)
	}
	if len(fw.Asked()) != before {
		t.Errorf("the proxy was asked %+v for a denied host", fw.Asked()[before:])
	}
}

// TestUnsafeResolves: names go to the proxy, addresses are judged all the same.
func TestUnsafeResolves(t *testing.T) {
	ca := testpeer.NewCA(t)
	cert := ca.Issue(testpeer.CertOpts{Names: []string{"localhost"}})
	plain, secure := testpeer.HTTP(t, hello), testpeer.TLS(t, hello, cert, testpeer.TLSOpts{})
	own := ca.Issue(testpeer.CertOpts{})
	for _, c := range []struct {
		name, scheme string
		fw           *testpeer.Forward
	}{
		{"http", "http", testpeer.NewForward(t, nil, proxyUser, proxyPassword)},
		{"https", "https", testpeer.NewForward(t, &own, proxyUser, proxyPassword)},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := &names{}
			px := proxyAt(c.scheme, c.fw.Addr)
			px.UnsafeResolves, px.Username, px.Password = true, proxyUser, passwordRef
			p, up, v := through(t, ca, n, px)
			for _, u := range []string{"http://localhost:" + portOf(t, plain) + "/a%2fb?q", "https://localhost:" + portOf(t, secure) + "/"} {
				g, err := fetch(t, p.For(up), u)
				if err != nil {
					t.Fatal(err)
				}
				if g.dialed.Target != "" || g.dialed.Proxy != c.scheme+"://"+c.fw.Addr || g.dialed.Address != c.fw.Addr {
					t.Errorf("the record has %+v", g.dialed)
				}
			}
			asked := c.fw.Asked()
			if want := "http://localhost:" + portOf(t, plain) + "/a%2fb?q"; asked[0].Method != "GET" || asked[0].Target != want {
				t.Errorf("the proxy was asked %+v, want GET %s", asked[0], want)
			}
			if want := "localhost:" + portOf(t, secure); asked[1].Method != "CONNECT" || asked[1].Target != want {
				t.Errorf("the proxy was asked %+v, want CONNECT %s", asked[1], want)
			}
			if n.count("localhost") != 0 {
				t.Error("the name was resolved here")
			}
			for _, u := range []string{"http://10.0.0.1/", "https://10.0.0.1/", "http://169.254.169.254/"} {
				if _, err := fetch(t, p.For(up), u); !errors.Is(err, fault.AddressDenied) {
					t.Errorf("%s: got %v, want ADDRESS_DENIED", u, err)
				}
			}
			if got := len(c.fw.Asked()); got != 2 {
				t.Errorf("the proxy was asked %d times, want 2", got)
			}
			v.set(passwordRef, "wrong-canary")
			if _, err := fetch(t, p.For(up), "http://localhost:"+portOf(t, plain)+"/"); !errors.Is(err, fault.ProxyAuthRequired) {
				t.Errorf("a 407 in absolute form: got %v, want PROXY_AUTH_REQUIRED", err)
			}
		})
	}
	t.Run("socks5h", func(t *testing.T) {
		n := &names{}
		px := proxyAt("socks5h", testpeer.Microsocks(t, "", ""))
		px.UnsafeResolves = true
		p, up, _ := through(t, ca, n, px)
		for _, u := range []string{"http://localhost:" + portOf(t, plain) + "/", "https://localhost:" + portOf(t, secure) + "/"} {
			if _, err := fetch(t, p.For(up), u); err != nil {
				t.Error(err)
			}
		}
		if n.count("localhost") != 0 {
			t.Error("the name was resolved here")
		}
		if _, err := fetch(t, p.For(up), "http://10.0.0.1/"); !errors.Is(err, fault.AddressDenied) {
			t.Errorf("got %v, want ADDRESS_DENIED", err)
		}
	})
}

func TestNoProxy(t *testing.T) {
	plain := testpeer.HTTP(t, hello)
	port := portOf(t, plain)
	fw := testpeer.NewForward(t, nil, "", "")
	n := &names{table: map[string][]string{"target.example": {"127.0.0.1"}, "a.inner.example": {"127.0.0.1"}, "inner.example": {"127.0.0.1"}}}
	px := proxyAt("http", fw.Addr)
	px.NoProxy = []policy.NoProxy{{Host: "inner.example", Suffix: true}, {Host: "target.example", Port: 1}}
	p, up, _ := through(t, nil, n, px)
	for host, direct := range map[string]bool{"a.inner.example": true, "inner.example": false, "target.example": false} {
		g, err := fetch(t, p.For(up), "http://"+host+":"+port+"/")
		if err != nil {
			t.Fatal(err)
		}
		if (g.dialed.Proxy == "") != direct || (g.dialed.Address == fw.Addr) == direct {
			t.Errorf("%s: the record has %+v, want direct %v", host, g.dialed, direct)
		}
	}
	if got := len(fw.Asked()); got != 2 {
		t.Errorf("the proxy was asked %d times, want 2", got)
	}
}

func TestNoProxyMatches(t *testing.T) {
	ten := netip.MustParsePrefix("10.0.0.0/8")
	for _, c := range []struct {
		entry policy.NoProxy
		to    string
		want  bool
	}{
		{policy.NoProxy{Host: "a.example"}, "a.example:80", true},
		{policy.NoProxy{Host: "a.example"}, "b.a.example:80", false},
		{policy.NoProxy{Host: "a.example", Port: 80}, "a.example:80", true},
		{policy.NoProxy{Host: "a.example", Port: 80}, "a.example:81", false},
		{policy.NoProxy{Host: "a.example", Suffix: true}, "b.a.example:80", true},
		{policy.NoProxy{Host: "a.example", Suffix: true}, "a.example:80", false},
		{policy.NoProxy{Host: "a.example", Suffix: true}, "ba.example:80", false},
		{policy.NoProxy{Host: "0.0.1", Suffix: true}, "10.0.0.1:80", false},
		{policy.NoProxy{Suffix: true}, "any.example:80", true},
		{policy.NoProxy{Suffix: true}, "[2001:db8::1]:80", true},
		{policy.NoProxy{Prefix: ten}, "10.1.2.3:80", true},
		{policy.NoProxy{Prefix: ten}, "[::ffff:10.1.2.3]:80", true},
		{policy.NoProxy{Prefix: ten, Port: 1}, "10.1.2.3:80", false},
		{policy.NoProxy{Prefix: ten}, "11.1.2.3:80", false},
		{policy.NoProxy{Prefix: ten}, "ten.example:80", false},
	} {
		to, err := splitHostPort(c.to)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.entry.Matches(to.host, to.port); got != c.want {
			t.Errorf("%+v.Matches(%s) = %v, want %v", c.entry, c.to, got, c.want)
		}
	}
}

func TestTheEnvironmentIsIgnored(t *testing.T) {
	canary := testpeer.NewForward(t, nil, "", "")
	setProxies(t, "http://"+canary.Addr, "http://"+canary.Addr, "")
	plain := testpeer.HTTP(t, hello)
	n := &names{table: map[string][]string{"target.example": {"127.0.0.1"}}}
	p, up, _ := through(t, nil, n, nil)
	if _, err := fetch(t, p.For(up), plainURL(plain)); err != nil {
		t.Fatal(err)
	}
	if len(canary.Asked()) != 0 {
		t.Errorf("the environment's proxy was asked %+v", canary.Asked())
	}
}

func setProxies(t *testing.T, http, https, no string) {
	t.Helper()
	for name, value := range map[string]string{"HTTP_PROXY": http, "HTTPS_PROXY": https, "NO_PROXY": no, "ALL_PROXY": ""} {
		t.Setenv(name, value)
		t.Setenv(strings.ToLower(name), value)
	}
}

func TestFromEnvironment(t *testing.T) {
	ca := testpeer.NewCA(t)
	cert := ca.Issue(testpeer.CertOpts{Names: []string{"target.example", "direct.example"}})
	plain, secure := testpeer.HTTP(t, hello), testpeer.TLS(t, hello, cert, testpeer.TLSOpts{})
	one, two := testpeer.NewForward(t, nil, "u", "p:w"), testpeer.NewForward(t, nil, "", "")
	table := map[string][]string{"target.example": {"127.0.0.1"}, "direct.example": {"127.0.0.1"}}
	t.Run("both schemes", func(t *testing.T) {
		setProxies(t, "http://u:p%3Aw@"+one.Addr, two.Addr, "direct.example")
		p, up, _ := through(t, ca, &names{table: table}, &policy.Proxy{FromEnvironment: true})
		for _, base := range []string{plain, secure} {
			if _, err := fetch(t, p.For(up), plainURL(base)); err != nil {
				t.Fatal(err)
			}
			direct, err := fetch(t, p.For(up), strings.Replace(plainURL(base), "target", "direct", 1))
			if err != nil || direct.dialed.Proxy != "" {
				t.Errorf("NO_PROXY: got %+v, %v", direct.dialed, err)
			}
		}
		for _, fw := range []*testpeer.Forward{one, two} {
			if a := fw.Asked(); len(a) != 1 || !strings.HasPrefix(a[0].Target, "127.0.0.1:") {
				t.Errorf("a proxy was asked %+v, want one judged address", a)
			}
		}
	})
	t.Run("all", func(t *testing.T) {
		setProxies(t, "", "", "")
		t.Setenv("ALL_PROXY", "socks5h://"+testpeer.Microsocks(t, "", ""))
		p, up, _ := through(t, ca, &names{table: table}, &policy.Proxy{FromEnvironment: true})
		g, err := fetch(t, p.For(up), plainURL(secure))
		if err != nil || g.dialed.Target == "" {
			t.Errorf("got %+v, %v; want a judged address, as policy does not let the proxy resolve", g.dialed, err)
		}
	})
	t.Run("not readable", func(t *testing.T) {
		setProxies(t, "ftp://u:env-canary@proxy.example", "", "")
		p, up, _ := through(t, ca, &names{table: table}, &policy.Proxy{FromEnvironment: true})
		if _, err := fetch(t, p.For(up), plainURL(plain)); !errors.Is(err, fault.ProxyUnreachable) || strings.Contains(err.Error(), "canary") {
			t.Errorf("got %v, want PROXY_UNREACHABLE without the password", err)
		}
	})
	t.Run("none", func(t *testing.T) {
		setProxies(t, "", "", "")
		p, up, _ := through(t, ca, &names{table: table}, &policy.Proxy{FromEnvironment: true})
		if g, err := fetch(t, p.For(up), plainURL(plain)); err != nil || g.dialed.Proxy != "" {
			t.Errorf("got %+v, %v; want a direct connection", g.dialed, err)
		}
	})
}

// TestProxyOfItsOwnName: the proxy's name is resolved here, and its address may
// be private but never metadata.
func TestProxyOfItsOwnName(t *testing.T) {
	ca := testpeer.NewCA(t)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	cert := ca.Issue(testpeer.CertOpts{Names: []string{"proxy.example"}})
	fw := testpeer.NewForward(t, &cert, "", "")
	n := &names{table: map[string][]string{"proxy.example": {"127.0.0.1"}, "meta.example": {"169.254.169.254"}, "target.example": {"8.8.8.8"}}}
	px := proxyAt("https", "proxy.example:"+portOf(t, fw.Addr))
	px.CAFile = bundle
	p, up, _ := through(t, nil, n, px)
	up.AllowAddresses = nil // not even loopback: that is about targets
	_, err := fetch(t, p.For(up), "http://127.0.0.1:1/")
	if !errors.Is(err, fault.AddressDenied) {
		t.Errorf("a loopback target: got %v, want ADDRESS_DENIED", err)
	}
	up = upstream("127.0.0.0/8")
	up.Proxy = px
	if _, err := fetch(t, p.For(up), testpeer.HTTP(t, hello)); err != nil || n.count("proxy.example") == 0 {
		t.Errorf("got %v after %d look-ups of the proxy", err, n.count("proxy.example"))
	}
	up = upstream("0.0.0.0/0")
	up.Proxy = proxyAt("http", "meta.example:80")
	if _, err := fetch(t, p.For(up), "http://target.example/"); !errors.Is(err, fault.AddressDenied) || !strings.Contains(err.Error(), "the proxy http://meta.example:80") {
		t.Errorf("a proxy at the metadata address: got %v, want ADDRESS_DENIED that names the proxy", err)
	}
}

// TestAbsoluteFormLeavesTheRequestAlone: a stage above may send it again.
func TestAbsoluteFormLeavesTheRequestAlone(t *testing.T) {
	fw := testpeer.NewForward(t, nil, proxyUser, proxyPassword)
	px := proxyAt("http", fw.Addr)
	px.UnsafeResolves, px.Username, px.Password = true, proxyUser, passwordRef
	p, up, _ := through(t, nil, &names{}, px)
	req, err := http.NewRequestWithContext(t.Context(), "GET", testpeer.HTTP(t, hello)+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-A", "b")
	before := req.URL.String()
	res, err := p.For(up).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if req.URL.String() != before || len(req.Header) != 1 {
		t.Errorf("the request became %s with %v", req.URL, req.Header)
	}
}
