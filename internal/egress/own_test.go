package egress

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// ears are listeners of this process that must hear nothing.
func ears(t *testing.T, at string) (own, string) {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Skipf("this machine cannot listen on %s: %v", at, err)
	}
	heard := make(chan int, 1)
	go func() {
		n := 0
		for {
			c, err := l.Accept()
			if err != nil {
				heard <- n
				return
			}
			n++
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		if n := <-heard; n != 0 {
			t.Errorf("the listener on %s heard %d connections", at, n)
		}
	})
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return Listening(l), port
}

// TestOwnListenersAreRefused, by each address at which they would answer.
func TestOwnListenersAreRefused(t *testing.T) {
	mine := []string{"127.0.0.1", "127.0.0.2", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "own.example", "both.example"}
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if p := netip.MustParsePrefix(a.String()); !p.Addr().IsLinkLocalUnicast() { // needs a zone, which no URL has
			mine = append(mine, strings.TrimSuffix(net.JoinHostPort(p.Addr().String(), ""), ":"))
		}
	}
	for _, c := range []struct {
		listen string
		hosts  []string
	}{
		{"127.0.0.1:0", []string{"127.0.0.1", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "own.example", "both.example"}},
		{"[::1]:0", []string{"[::1]", "[::]", "0.0.0.0"}},
		{"0.0.0.0:0", mine},
		{"[::]:0", mine},
	} {
		o, port := ears(t, c.listen)
		p := NewPools(Config{Own: o, Resolver: &names{table: map[string][]string{
			"own.example": {"127.0.0.1"}, "both.example": {"127.0.0.9", "127.0.0.1"},
		}}})
		defer p.Close()
		rt := p.For(upstream("0.0.0.0/0", "::/0"))
		for _, host := range c.hosts {
			for _, scheme := range []string{"http", "https"} {
				if _, err := fetch(t, rt, scheme+"://"+host+":"+port+"/"); !errors.Is(err, fault.AddressDenied) || !strings.Contains(err.Error(), "itself") {
					t.Errorf("listening on %s, %s://%s: got %v, want ADDRESS_DENIED for the own listener", c.listen, scheme, host, err)
				}
			}
		}
	}
}

// TestOwnListenerAsProxy: a proxy is an address like any other.
func TestOwnListenerAsProxy(t *testing.T) {
	o, port := ears(t, "127.0.0.1:0")
	for _, scheme := range []string{"http", "https", "socks5"} {
		up := upstream("127.0.0.0/8")
		up.Proxy = proxyAt(scheme, "127.0.0.1:"+port)
		p := NewPools(Config{Own: o})
		defer p.Close()
		if _, err := fetch(t, p.For(up), "http://127.0.0.1:9/"); !errors.Is(err, fault.AddressDenied) {
			t.Errorf("%s: got %v, want ADDRESS_DENIED", scheme, err)
		}
	}
}

// TestOthersListenersAreReached: the own ones alone are refused.
func TestOthersListenersAreReached(t *testing.T) {
	o, port := ears(t, "127.0.0.1:0")
	other := testpeer.HTTP(t, hello)
	p := NewPools(Config{Own: o})
	defer p.Close()
	if g, err := fetch(t, p.For(upstream("127.0.0.0/8")), other); err != nil || g.status != 200 {
		t.Errorf("another port: got %+v, %v", g, err)
	}
	n := netip.MustParseAddrPort("127.0.0.1:" + port)
	for s, want := range map[string]bool{
		"127.0.0.1": true, "0.0.0.0": true, "::": true, "::ffff:127.0.0.1": true, "64:ff9b::7f00:1": true, "2002:7f00:1::": true,
		"127.0.0.2": false, "::1": false, "8.8.8.8": false,
	} {
		if err := o.judge(guard{}, netip.AddrPortFrom(netip.MustParseAddr(s), n.Port())); (err != nil) != want {
			t.Errorf("%s: got %v, want refused %v", s, err, want)
		}
	}
}

// TestTheSocketRefusesOwnListeners: no path into the dialer skips the check.
func TestTheSocketRefusesOwnListeners(t *testing.T) {
	o, port := ears(t, "127.0.0.1:0")
	d := dialer{guard: anyAddress, own: o, connect: patience}
	if _, err := d.connectOne(t.Context(), netip.MustParseAddrPort("127.0.0.1:"+port)); !errors.Is(err, fault.AddressDenied) {
		t.Errorf("got %v, want ADDRESS_DENIED", err)
	}
	d = dialer{connect: patience}
	if _, err := d.connectOne(t.Context(), netip.MustParseAddrPort("127.0.0.1:"+port)); !errors.Is(err, fault.AddressDenied) {
		t.Errorf("the guard at the socket: got %v, want ADDRESS_DENIED", err)
	}
}

// TestNoProxyLeadsBack: a proxy is not asked for an own listener, nor for a name
// of metadata where it resolves names.
func TestNoProxyLeadsBack(t *testing.T) {
	o, port := ears(t, "127.0.0.1:0")
	for _, scheme := range []string{"http", "socks5"} {
		for _, resolves := range []bool{false, true} {
			silent, at := ears(t, "127.0.0.1:0")
			_ = silent
			up := upstream("127.0.0.0/8")
			up.Proxy = proxyAt(scheme, "127.0.0.1:"+at)
			up.Proxy.UnsafeResolves = resolves
			p := NewPools(Config{Own: o, Resolver: &names{table: map[string][]string{"own.example": {"127.0.0.1"}}}})
			defer p.Close()
			urls := []string{"http://127.0.0.1:" + port + "/", "http://metadata.google.internal/", "https://metadata.google.internal/"}
			if !resolves {
				urls = append(urls, "http://own.example:"+port+"/", "https://own.example:"+port+"/")
			}
			for _, url := range urls {
				if _, err := fetch(t, p.For(up), url); !errors.Is(err, fault.AddressDenied) {
					t.Errorf("%s, resolves %v, %s: got %v, want ADDRESS_DENIED", scheme, resolves, url, err)
				}
			}
		}
	}
}

// TestOwnListenersBehindNAT64: the network's translator leads back to a public
// address of this machine.
func TestOwnListenersBehindNAT64(t *testing.T) {
	g := guard{nat64: func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("2a00:1:2:3::/96")} }}
	o := own(func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort("9.9.9.9:8080")} })
	at := netip.MustParseAddr("2a00:1:2:3::909:909")
	if err := g.judge(at); err != nil {
		t.Fatalf("the guard: %v, want nothing against a public address", err)
	}
	if err := o.judge(g, netip.AddrPortFrom(at, 8080)); !errors.Is(err, fault.AddressDenied) {
		t.Errorf("got %v, want ADDRESS_DENIED for the own listener", err)
	}
	if err := o.judge(g, netip.AddrPortFrom(at, 8081)); err != nil {
		t.Errorf("another port: %v", err)
	}
}
