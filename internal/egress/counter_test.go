package egress

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestConnectionsOfARotatedCertificate: the connections of both are one place's.
func TestConnectionsOfARotatedCertificate(t *testing.T) {
	ca := testpeer.NewCA(t)
	base := testpeer.TLS(t, hello, ca.Issue(testpeer.CertOpts{Names: []string{"target.example"}}), testpeer.TLSOpts{ClientCA: ca.Pool(), HTTP1Only: true})
	at := number(t, base)
	path, v := filepath.Join(t.TempDir(), "client.pem"), &vault{}
	rotate := func() {
		cert, key := testpeer.PEM(t, ca.Issue(testpeer.CertOpts{Client: true}))
		replace(t, path, cert)
		v.set("env:KEY", string(key))
	}
	rotate()
	p, dead := counting(t, Config{RootCAs: ca.Pool(), Secrets: v})
	up := lists(t, "target.example:*")
	up.TLS = policy.TLS{CertFile: path, Key: "env:KEY"}
	rt := impatient(p, up)
	old := begin(t, rt, plainURL(base))
	rotate()
	noticed := begin(t, rt, plainURL(base)) // a handshake looks at the files
	next := begin(t, rt, plainURL(base))
	expectPlaces(t, p, Connections{Address: "target.example", Port: at, Active: 3})
	next.end(t)
	expectPlaces(t, p, Connections{Address: "target.example", Port: at, Active: 2, Idle: 1})
	old.end(t)
	noticed.end(t)
	begin(t, rt, plainURL(base)).end(t)
	closeAll(old, noticed)
	expectPlaces(t, p, Connections{Address: "target.example", Port: at, Idle: 1})
	dead.expect(t, place{"u", "target.example", at}, 2)
}

// TestConnectionsThroughProxies are told by their target.
func TestConnectionsThroughProxies(t *testing.T) {
	ca := testpeer.NewCA(t)
	cert := ca.Issue(testpeer.CertOpts{Names: []string{"target.example"}})
	inTLS := ca.Issue(testpeer.CertOpts{})
	bases := map[string]string{"http": testpeer.HTTP(t, hello), "https": testpeer.TLS(t, hello, cert, testpeer.TLSOpts{})}
	for name, c := range map[string]struct {
		proxy   *policy.Proxy
		resolve bool
	}{
		"http":               {proxyAt("http", testpeer.NewForward(t, nil, "", "").Addr), false},
		"https":              {proxyAt("https", testpeer.NewForward(t, &inTLS, "", "").Addr), false},
		"SOCKS":              {proxyAt("socks5", testpeer.Microsocks(t, "", "")), false},
		"http, its names":    {proxyAt("http", testpeer.Squid(t, "", "", "")), true},
		"https, its own way": {proxyAt("https", testpeer.NewForward(t, &inTLS, "", "").Addr), true},
	} {
		for scheme, base := range bases {
			p, dead := counting(t, Config{RootCAs: ca.Pool()})
			up := lists(t, "*.example:*", "127.0.0.1:*")
			c.proxy.UnsafeResolves = c.resolve
			up.Proxy = c.proxy
			address, url := "*.example", plainURL(base)
			if c.resolve { // nobody has taught it the name
				if scheme == "https" {
					continue
				}
				address, url = "127.0.0.1", base+"/"
			}
			at := number(t, base)
			y := begin(t, p.For(up), url)
			if Via(y.conn) == "" {
				t.Errorf("%s, %s: it went without the proxy", name, scheme)
			}
			expectPlaces(t, p, Connections{Address: address, Port: at, Active: 1})
			y.end(t)
			expectPlaces(t, p, Connections{Address: address, Port: at, Idle: 1})
			p.Close()
			expectPlaces(t, p, Connections{Address: address, Port: at})
			dead.expect(t, place{"u", address, at}, 1)
		}
	}
	p, dead := counting(t, Config{})
	up := lists(t, "*.example:*")
	up.Proxy = proxyAt("http", testpeer.ClosedPort(t))
	if _, err := fetch(t, p.For(up), plainURL(bases["http"])); err == nil || !strings.Contains(err.Error(), "proxy") {
		t.Errorf("no proxy: got %v", err)
	}
	expectPlaces(t, p)
	dead.expect(t, place{}, 0)
}

// TestPortsThatPolicyLeavesOpen are known as such, whatever else is listed.
func TestPortsThatPolicyLeavesOpen(t *testing.T) {
	for _, c := range []struct {
		hosts   []string
		port    uint16
		address string
		open    bool
	}{
		{[]string{"a.example"}, 443, "a.example", false},
		{[]string{"a.example"}, 80, "", true},
		{[]string{"a.example:8443"}, 8443, "a.example", false},
		{[]string{"a.example:*"}, 443, "a.example", true},
		{[]string{"*:*", "a.example:1"}, 443, "*", true},
		{[]string{"*:*", "a.example:65535"}, 443, "*", true},
		{[]string{"*:*", "a.example:8443"}, 8443, "a.example", false},
	} {
		k := newCounter(newCensus(nil), "u")
		k.latest.Store(lists(t, c.hosts...))
		at, open := k.placeOf(endpoint{"a.example", c.port}, true)
		if want := (place{"u", c.address, c.port}); at != want || open != c.open {
			t.Errorf("%v has port %d at %+v, open %v; want %+v, open %v", c.hosts, c.port, at, open, want, c.open)
		}
	}
}

// TestManyTriesBalance: whatever way uses, releases and the end of a connection
// fall, nothing is left in use.
func TestManyTriesBalance(t *testing.T) {
	p, _ := counting(t, Config{})
	k := newCounter(p.cfg.census, "u")
	for range 200 {
		n := p.cfg.census.dials(place{"u", "a.example", 1}, false)
		ours, theirs := net.Pipe()
		c := &conn{Conn: ours}
		k.opened(n, c)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 20 {
					Use(c)
					Release(c)
				}
			})
		}
		all.Go(func() {
			for _, at := range p.Connections() {
				if at.Active < 0 || at.Idle < 0 || at.Active+at.Idle > 1 {
					t.Errorf("got %+v", at)
				}
			}
		})
		all.Go(func() { _ = c.Close() })
		all.Wait()
		_ = theirs.Close()
		if got := n.active.Load(); got != 0 {
			t.Fatalf("%d connections are in use, want none", got)
		}
	}
	expectPlaces(t, p, Connections{Address: "a.example", Port: 1})
}

// held is a connection of a pool that is made by hand.
func held(t testing.TB) *conn {
	t.Helper()
	one, two := net.Pipe()
	t.Cleanup(func() { _ = one.Close(); _ = two.Close() })
	c := &conn{Conn: one}
	s := newCensus(nil)
	newCounter(s, "u").opened(s.dials(place{"u", "a.example", 443}, false), c)
	return c
}

// TestUseCostsNothing on the heap.
func TestUseCostsNothing(t *testing.T) {
	var c net.Conn = held(t)
	if got := testing.AllocsPerRun(100, func() { Use(c); Release(c) }); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}

// BenchmarkUse is what each try pays, on a connection of its own and on one that is
// shared.
func BenchmarkUse(b *testing.B) {
	b.Run("alone", func(b *testing.B) {
		var c net.Conn = held(b)
		for b.Loop() {
			Use(c)
			Release(c)
		}
	})
	b.Run("shared", func(b *testing.B) {
		var c net.Conn = held(b)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				Use(c)
				Release(c)
			}
		})
	})
}

// BenchmarkPlaceOf is what a dial pays besides two turns of a lock.
func BenchmarkPlaceOf(b *testing.B) {
	hosts := make([]string, 0, 10_000)
	for i := range cap(hosts) {
		hosts = append(hosts, fmt.Sprintf("h%d.example", i))
	}
	k := newCounter(newCensus(func(string, string, uint16, time.Duration) {}), "u")
	k.settled.Store(lists(b, hosts...))
	for b.Loop() {
		if at, _ := k.placeOf(endpoint{"h77.example", 443}, true); at.address != "h77.example" {
			b.Fatal(at)
		}
	}
}
