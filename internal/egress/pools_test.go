package egress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestEverySettingMakesAPool: a connection made under one setting must not serve
// an upstream with another.
func TestEverySettingMakesAPool(t *testing.T) {
	p := NewPools(Config{})
	defer p.Close()
	seen := map[http.RoundTripper]string{p.For(upstream()): "nothing"}
	for name, change := range map[string]func(*policy.Upstream){
		"name":         func(up *policy.Upstream) { up.Name = "v" },
		"addresses":    func(up *policy.Upstream) { up.AllowAddresses = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} },
		"connect":      func(up *policy.Upstream) { up.Base.Timeouts.Connect.Default++ },
		"dns":          func(up *policy.Upstream) { up.Base.Timeouts.DNS++ },
		"tls clock":    func(up *policy.Upstream) { up.Base.Timeouts.TLS++ },
		"header":       func(up *policy.Upstream) { up.Base.Sizes.ResponseHeader++ },
		"ca":           func(up *policy.Upstream) { up.TLS.CAFile = "/a" },
		"cert":         func(up *policy.Upstream) { up.TLS.CertFile = "/a" },
		"key":          func(up *policy.Upstream) { up.TLS.Key = "env:A" },
		"version":      func(up *policy.Upstream) { up.TLS.MinVersion = 0x304 },
		"server name":  func(up *policy.Upstream) { up.TLS.ServerName = "a" },
		"pins":         func(up *policy.Upstream) { up.TLS.Pins = [][32]byte{{1}} },
		"skip":         func(up *policy.Upstream) { up.TLS.SkipVerify = true },
		"proxy":        func(up *policy.Upstream) { up.Proxy = proxyAt("http", "p.example:1") },
		"proxy port":   func(up *policy.Upstream) { up.Proxy = proxyAt("http", "p.example:2") },
		"proxy user":   func(up *policy.Upstream) { up.Proxy = proxyAt("http", "p.example:1"); up.Proxy.Username = "a" },
		"proxy secret": func(up *policy.Upstream) { up.Proxy = proxyAt("http", "p.example:1"); up.Proxy.Password = "env:A" },
		"no proxy": func(up *policy.Upstream) {
			up.Proxy = proxyAt("http", "p.example:1")
			up.Proxy.NoProxy = []policy.NoProxy{{Host: "a"}}
		},
		"no proxy suffix": func(up *policy.Upstream) {
			up.Proxy = proxyAt("http", "p.example:1")
			up.Proxy.NoProxy = []policy.NoProxy{{Host: "a", Suffix: true}}
		},
	} {
		up := upstream()
		change(up)
		rt := p.For(up)
		if other, taken := seen[rt]; taken {
			t.Errorf("%s shares a pool with %s", name, other)
		}
		seen[rt] = name
		same := upstream()
		change(same)
		if p.For(same) != rt {
			t.Errorf("%s: the same settings in a new snapshot got a new pool", name)
		}
	}
}

// TestAKnownUpstreamCostsNothing: For is called for each attempt.
func TestAKnownUpstreamCostsNothing(t *testing.T) {
	p := NewPools(Config{})
	defer p.Close()
	up := upstream("127.0.0.0/8")
	if got := testing.AllocsPerRun(100, func() { p.For(up) }); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}

// TestPrune: what the new policy does not use is closed when it is idle, and a
// call in flight ends in peace.
func TestPrune(t *testing.T) {
	release := make(chan struct{})
	srv := testpeer.Slow(t, release)
	idle := testpeer.Raw(t, testpeer.OK)
	p := NewPools(Config{})
	defer p.Close()
	gone, kept := upstream("127.0.0.0/8"), upstream("127.0.0.0/8")
	kept.Name = "kept"
	for _, up := range []*policy.Upstream{gone, kept} {
		if _, err := fetch(t, p.For(up), idle.URL+"/"); err != nil {
			t.Fatal(err)
		}
	}
	rt, again := p.For(gone), p.For(kept)
	done := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(context.Background(), "GET", srv.URL, nil)
		if err == nil {
			var res *http.Response
			if res, err = rt.RoundTrip(req); err == nil {
				_, err = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		}
		done <- err
	}()
	srv.AwaitActive(1)
	next := upstream("127.0.0.0/8") // of the new snapshot
	next.Name = "kept"
	p.Prune([]*policy.Upstream{next})
	close(release)
	if err := <-done; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	idle.AwaitEnded(1)
	if len(p.pools) != 1 || p.For(next) != again || idle.Open() != 1 {
		t.Errorf("%d pools and %d connections are left, want the kept one", len(p.pools), idle.Open())
	}
}

func TestForCallProxy(t *testing.T) {
	plain := testpeer.HTTP(t, hello)
	fw := testpeer.NewForward(t, nil, proxyUser, proxyPassword)
	n := &names{table: map[string][]string{"target.example": {"127.0.0.1"}, "inner.example": {"10.0.0.1"}}}
	p := NewPools(Config{Resolver: n})
	defer p.Close()
	up := upstream("127.0.0.0/8")
	call := func(up *policy.Upstream, text string) (got, error) {
		t.Helper()
		px, err := ParseProxy(text)
		if err != nil {
			t.Fatal(err)
		}
		rt, err := p.ForCall(up, Override{Proxy: px})
		if err != nil {
			t.Fatal(err)
		}
		return fetch(t, rt, plainURL(plain))
	}
	good := "http://" + proxyUser + ":" + proxyPassword + "@" + fw.Addr
	if g, err := call(up, good); err != nil || g.dialed.Proxy != "http://"+fw.Addr || g.dialed.Target != "127.0.0.1:"+portOf(t, plain) {
		t.Errorf("got %+v, %v", g.dialed, err)
	}
	if g, err := call(up, good); err != nil || !g.reused {
		t.Errorf("the same settings again: reused %v, %v", g.reused, err)
	}
	if _, err := call(up, "http://"+proxyUser+":wrong-canary@"+fw.Addr); !errors.Is(err, fault.ProxyAuthRequired) || strings.Contains(err.Error(), "canary") {
		t.Errorf("another password: got %v, want PROXY_AUTH_REQUIRED: it must not share the connection", err)
	}
	// The caller's proxy is judged as the upstream's own addresses are.
	for _, text := range []string{good, "http://10.0.0.1:3128", "http://inner.example", "socks5://169.254.169.254:1"} {
		narrow := upstream("192.168.0.0/16")
		if _, err := call(narrow, text); !errors.Is(err, fault.AddressDenied) {
			t.Errorf("got %v, want ADDRESS_DENIED", err)
		}
	}
}

func TestParseProxy(t *testing.T) {
	for _, text := range []string{
		"", "proxy-canary", "ftp://u:canary@h:1", "http://u:canary@h/path", "http://u:canary@h?q=canary", "http://u:canary@h:0", "http://u:canary@h:99999",
		"http://u:canary@0x7f.1", "http://u:canary@", "socks5h://u:canary@h", "http://u:can ary@h:x", "http://[fe80::1%25eth0]:1", "http:u:canary@h",
	} {
		_, err := ParseProxy(text)
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.InvalidRequest || f.Violations[0].Field != "proxy" || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: got %v, want a violation of `proxy` without the password", text, err)
		}
	}
	p, err := ParseProxy("HTTPS://u%40x:p%3A@Proxy.Example")
	if err != nil {
		t.Fatal(err)
	}
	if p.Scheme != "https" || p.Host != "proxy.example" || p.Port != 443 || p.Username.Reveal() != "u@x" || p.Password.Reveal() != "p:" {
		t.Errorf("got %+v", p)
	}
	if text := fmt.Sprintf("%+v %#v", p, *p); strings.Contains(text, "u@x") || strings.Contains(text, "p:\"") {
		t.Errorf("it prints as %s", text)
	}
}

func TestForCallTLS(t *testing.T) {
	ca := testpeer.NewCA(t)
	base := testpeer.TLS(t, hello, ca.Issue(testpeer.CertOpts{Names: []string{"target.example"}}), testpeer.TLSOpts{ClientCA: ca.Pool()})
	cert, key := testpeer.PEM(t, ca.Issue(testpeer.CertOpts{Client: true}))
	_, otherKey := testpeer.PEM(t, ca.Issue(testpeer.CertOpts{Client: true}))
	p := NewPools(Config{Resolver: &names{table: map[string][]string{"target.example": {"127.0.0.1"}}}})
	defer p.Close()
	up := upstream("127.0.0.0/8")
	up.TLS = policy.TLS{CAFile: "/nonexistent", CertFile: "/nonexistent", Key: "env:NONE"}
	good := Override{CAPEM: ca.PEM(), CertPEM: cert, KeyPEM: secret.NewValue(string(key))}
	pinned := upstream("127.0.0.0/8")
	pinned.TLS.Pins = [][32]byte{{1}}
	skip := good
	skip.CAPEM, skip.SkipVerify = nil, true
	for name, c := range map[string]struct {
		up   *policy.Upstream
		o    Override
		want fault.Kind
	}{
		"good":                   {up, good, ""},
		"skips":                  {upstream("127.0.0.0/8"), skip, ""},
		"skips all but the pins": {pinned, skip, fault.TLSCertUntrusted},
		"no certificate":         {upstream("127.0.0.0/8"), Override{CAPEM: ca.PEM()}, fault.TLSHandshake},
		"another authority":      {upstream("127.0.0.0/8"), Override{CAPEM: testpeer.NewCA(t).PEM(), CertPEM: cert, KeyPEM: good.KeyPEM}, fault.TLSCertUntrusted},
	} {
		rt, err := p.ForCall(c.up, c.o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, err = fetch(t, rt, plainURL(base))
		if (err == nil) != (c.want == "") || c.want != "" && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		o     Override
		field string
	}{
		"no authority":  {Override{CAPEM: []byte("x")}, "ca_pem"},
		"torn":          {Override{CAPEM: append(ca.PEM(), ca.PEM()[:50]...)}, "ca_pem"},
		"no key":        {Override{CertPEM: cert}, "client_cert"},
		"only a key":    {Override{KeyPEM: good.KeyPEM}, "client_cert"},
		"no pair":       {Override{CertPEM: cert, KeyPEM: secret.NewValue(string(otherKey))}, "client_cert"},
		"key not PEM":   {Override{CertPEM: cert, KeyPEM: secret.NewValue("key-canary")}, "client_cert"},
		"chain not PEM": {Override{CertPEM: []byte("x"), KeyPEM: good.KeyPEM}, "client_cert"},
	} {
		_, err := p.ForCall(up, c.o)
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.InvalidRequest || f.Violations[0].Field != c.field || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %v, want a violation of %s", name, err, c.field)
		}
	}
}

func TestForCallKeepsFewPools(t *testing.T) {
	p := NewPools(Config{})
	defer p.Close()
	up := upstream("127.0.0.0/8")
	srv := testpeer.Raw(t, testpeer.OK)
	if rt, err := p.ForCall(up, Override{}); err != nil || rt != p.For(up) {
		t.Errorf("nothing overridden: another pool than the upstream's (%v)", err)
	}
	at := func(i int) http.RoundTripper {
		px, err := ParseProxy(fmt.Sprintf("http://127.0.0.1:%d", i+1))
		if err != nil {
			t.Fatal(err)
		}
		rt, err := p.ForCall(up, Override{Proxy: px})
		if err != nil {
			t.Fatal(err)
		}
		return rt
	}
	skip, err := p.ForCall(up, Override{SkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(t, skip, srv.URL+"/"); err != nil { // a connection that waits in the oldest pool
		t.Fatal(err)
	}
	first := at(0)
	for i := 1; i < maxOwn; i++ {
		at(0)
		at(i)
	}
	srv.AwaitEnded(1)
	if len(p.own) != maxOwn || p.order.Len() != maxOwn {
		t.Errorf("%d own pools, want %d", len(p.own), maxOwn)
	}
	if at(0) != first {
		t.Error("the pool that is used most was dropped")
	}
	p.Prune([]*policy.Upstream{up})
	if len(p.own) != 0 || p.order.Len() != 0 {
		t.Errorf("%d own pools after a reload, want none", len(p.own))
	}
}

func TestJudge(t *testing.T) {
	n := &names{table: map[string][]string{"mixed.example": {"8.8.8.8", "10.0.0.1", "169.254.169.254"}}}
	p := NewPools(Config{Resolver: n})
	defer p.Close()
	got, err := p.Judge(t.Context(), upstream("10.0.0.0/8"), "mixed.example")
	if err != nil || len(got) != 3 {
		t.Fatalf("got %+v, %v", got, err)
	}
	for i, want := range []struct {
		addr    string
		allowed bool
		reason  string
	}{{"8.8.8.8", true, ""}, {"10.0.0.1", true, ""}, {"169.254.169.254", false, "metadata"}} {
		g := got[i]
		if g.Addr.String() != want.addr || g.Allowed != want.allowed || !strings.Contains(g.Reason, want.reason) || (g.Reason == "") != want.allowed {
			t.Errorf("got %+v, want %+v", g, want)
		}
	}
	if got, err := p.Judge(t.Context(), upstream(), "127.0.0.1"); err != nil || len(got) != 1 || got[0].Allowed {
		t.Errorf("a literal: got %+v, %v", got, err)
	}
	if _, err := p.Judge(t.Context(), upstream(), "none.example"); !errors.Is(err, fault.DNSError) {
		t.Errorf("no such name: got %v, want DNS_ERROR", err)
	}
}

// stuck is a resolver that answers when the clock has run out.
type stuck struct{}

func (stuck) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestDNSClock(t *testing.T) {
	p := NewPools(Config{Resolver: stuck{}})
	defer p.Close()
	for name, c := range map[string]struct {
		dns, connect time.Duration
		says         string
	}{
		"dns":                   {50 * time.Millisecond, patience, "dns clock of 50ms"},
		"connect":               {0, 50 * time.Millisecond, "connect clock of 50ms"},
		"connect, the stricter": {patience, 50 * time.Millisecond, "connect clock of 50ms"},
	} {
		up := upstream()
		up.Base.Timeouts.DNS, up.Base.Timeouts.Connect.Default = c.dns, c.connect
		if _, err := fetch(t, p.For(up), "http://x.example/"); !errors.Is(err, fault.DNSTimeout) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want DNS_TIMEOUT by the %s", name, err, c.says)
		}
	}
}

// TestOverrideKeys: what two Overrides hold must not run together.
func TestOverrideKeys(t *testing.T) {
	a := Override{CAPEM: []byte("ab"), CertPEM: []byte("c")}
	b := Override{CAPEM: []byte("a"), CertPEM: []byte("bc")}
	if same := a; a.key() == b.key() || same.key() != a.key() {
		t.Error("keys do not tell Overrides apart")
	}
	if bytes.Contains([]byte(Override{Proxy: &CallProxy{Password: secret.NewValue("canary")}}.key()), []byte("canary")) {
		t.Error("the key holds the password")
	}
}
