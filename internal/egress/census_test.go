package egress

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// lists compiles an upstream `u` that may call loopback and has these hosts.
func lists(t testing.TB, hosts ...string) *policy.Upstream {
	t.Helper()
	return listsBy(t, "http, https", hosts...)
}

func listsBy(t testing.TB, schemes string, hosts ...string) *policy.Upstream {
	t.Helper()
	text := "upstreams:\n  - name: u\n    schemes: [" + schemes + "]\n    unsafe_allow_addresses: [127.0.0.0/8]\n    hosts:\n"
	for _, h := range hosts {
		text += "      - " + strconv.Quote(h) + "\n"
	}
	s, err := policy.Parse("census.yaml", []byte(text), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Upstreams[0]
}

// everywhere resolves each name to loopback.
type everywhere struct{}

func (everywhere) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// counting are pools that resolve each name to loopback, and what they tell of
// connections that were closed.
func counting(t testing.TB, cfg Config) (*Pools, *obituaries) {
	t.Helper()
	dead := &obituaries{}
	cfg.Resolver, cfg.Closed = everywhere{}, dead.hear
	p := NewPools(cfg)
	t.Cleanup(p.Close)
	return p, dead
}

// obituaries are the places of closed connections.
type obituaries struct {
	mu    sync.Mutex
	heard map[place]int
	wrong []time.Duration
}

func (o *obituaries) hear(upstream, address string, port uint16, lived time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.heard == nil {
		o.heard = map[place]int{}
	}
	o.heard[place{upstream, address, port}]++
	if lived <= 0 {
		o.wrong = append(o.wrong, lived)
	}
}

// expect waits for so many of a place, and no other.
func (o *obituaries) expect(t *testing.T, at place, n int) {
	t.Helper()
	eventually(t, func() string {
		o.mu.Lock()
		defer o.mu.Unlock()
		all := 0
		for _, of := range o.heard {
			all += of
		}
		if o.heard[at] != n || all != n || len(o.wrong) > 0 {
			return fmt.Sprintf("closed: %v, lifetimes %v; want %d of %v alone", o.heard, o.wrong, n, at)
		}
		return ""
	})
}

// eventually waits until wrong has nothing to say.
func eventually(t *testing.T, wrong func() string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		switch text := wrong(); {
		case text == "":
			return
		case time.Now().After(end):
			t.Fatal(text)
		}
	}
}

// expectPlaces waits for exactly these, of upstream `u`.
func expectPlaces(t *testing.T, p *Pools, want ...Connections) {
	t.Helper()
	for i := range want {
		want[i].Upstream = "u"
	}
	eventually(t, func() string {
		if got := p.Connections(); !slices.Equal(got, want) {
			return fmt.Sprintf("connections:\n  %+v, want\n  %+v", got, want)
		}
		return ""
	})
}

// try is a request that has its answer's head, counted as the engine does it.
type try struct {
	conn net.Conn
	res  *http.Response
}

func begin(t testing.TB, rt http.RoundTripper, url string) *try {
	t.Helper()
	y := &try{}
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		Release(y.conn) // one before, which took nothing
		y.conn = i.Conn
		Use(y.conn)
	}})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if y.res, err = rt.RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	return y
}

// end gives the connection back.
func (y *try) end(t testing.TB) {
	t.Helper()
	if _, err := io.Copy(io.Discard, y.res.Body); err != nil {
		t.Error(err)
	}
	_ = y.res.Body.Close()
	Release(y.conn)
}

// closeAll closes what tries had.
func closeAll(all ...*try) {
	for _, y := range all {
		_ = y.conn.Close()
	}
}

// number is the port of a URL.
func number(t testing.TB, base string) uint16 {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(port)
}

func TestConnectionsOfKeepAlive(t *testing.T) {
	at := number(t, testpeer.HTTP(t, hello))
	p, dead := counting(t, Config{})
	rt := p.For(listsBy(t, "http", "*.example.com:*"))
	expectPlaces(t, p)
	url := fmt.Sprintf("http://api.example.com:%d/", at)
	var all []*try
	for range 3 {
		all = append(all, begin(t, rt, url))
	}
	expectPlaces(t, p, Connections{Address: "*.example.com", Port: at, Active: 3})
	all[0].end(t)
	expectPlaces(t, p, Connections{Address: "*.example.com", Port: at, Active: 2, Idle: 1})
	all[0] = begin(t, rt, url)
	expectPlaces(t, p, Connections{Address: "*.example.com", Port: at, Active: 3})
	for _, y := range all {
		y.end(t)
	}
	expectPlaces(t, p, Connections{Address: "*.example.com", Port: at, Idle: 3})
	dead.expect(t, place{}, 0)
	p.Close()
	expectPlaces(t, p, Connections{Address: "*.example.com", Port: at}) // the pool lives
	dead.expect(t, place{"u", "*.example.com", at}, 3)
}

func TestConnectionsOfHTTP2(t *testing.T) {
	ca := testpeer.NewCA(t)
	at := number(t, testpeer.TLS(t, hello, ca.Issue(testpeer.CertOpts{Names: []string{"api.example.com"}}), testpeer.TLSOpts{}))
	p, dead := counting(t, Config{RootCAs: ca.Pool()})
	rt := p.For(listsBy(t, "https", "api.example.com:*", "*"))
	var all []*try
	for range 50 {
		all = append(all, begin(t, rt, fmt.Sprintf("https://api.example.com:%d/", at)))
	}
	for _, y := range all {
		expectPlaces(t, p, Connections{Address: "api.example.com", Port: at, Active: 1})
		if y.res.ProtoMajor != 2 {
			t.Fatalf("got %s, want HTTP/2", y.res.Proto)
		}
		y.end(t)
	}
	expectPlaces(t, p, Connections{Address: "api.example.com", Port: at, Idle: 1})
	p.Close()
	dead.expect(t, place{"u", "api.example.com", at}, 1)
}

// TestFailedDials: they are counted while they last, and leave nothing.
func TestFailedDials(t *testing.T) {
	p, dead := counting(t, Config{RootCAs: testpeer.NewCA(t).Pool()})
	rt := p.For(lists(t, "*:*"))
	for name, url := range map[string]string{
		"refused":       "http://" + testpeer.ClosedPort(t),
		"untrusted":     testpeer.TLS(t, hello, testpeer.NewCA(t).Issue(testpeer.CertOpts{}), testpeer.TLSOpts{}),
		"TLS reset":     "https://" + testpeer.TLSReset(t).Addr,
		"inner address": "http://10.0.0.1",
	} {
		if _, err := fetch(t, rt, url+"/"); err == nil {
			t.Errorf("%s: it was answered", name)
		}
		expectPlaces(t, p)
	}
	enough := make(chan struct{})
	mute := testpeer.Raw(t, func(c *testpeer.RawConn) {
		c.ReadSome()
		<-enough
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+mute.Addr+"/", nil)
		if err == nil {
			_, err = rt.RoundTrip(req)
		}
		done <- err
	}()
	at := number(t, mute.URL)
	expectPlaces(t, p, Connections{Address: "*", Port: at, Dialing: 1})
	cancel()
	if err := <-done; err == nil {
		t.Error("half a handshake was answered")
	}
	expectPlaces(t, p, Connections{Address: "*", Port: at, Dialing: 1}) // the transport dials on
	close(enough)
	expectPlaces(t, p)
	dead.expect(t, place{}, 0)
}

// TestConnectionsThatEndWhileInUse: Release comes later, and balances all the same.
func TestConnectionsThatEndWhileInUse(t *testing.T) {
	srv := testpeer.Raw(t, testpeer.CutBodyReset)
	at := number(t, srv.URL)
	p, dead := counting(t, Config{})
	y := begin(t, p.For(lists(t, "127.0.0.1:*")), srv.URL+"/")
	defer y.res.Body.Close()
	if _, err := y.res.Body.Read(make([]byte, 100)); err == nil {
		_, err = y.res.Body.Read(make([]byte, 100))
		if err == nil {
			t.Fatal("the body was not cut")
		}
	}
	expectPlaces(t, p, Connections{Address: "127.0.0.1", Port: at})
	dead.expect(t, place{"u", "127.0.0.1", at}, 1)
	Release(y.conn)
	Use(y.conn) // of a late hook
	Release(y.conn)
	_ = y.conn.Close()
	expectPlaces(t, p, Connections{Address: "127.0.0.1", Port: at})
	dead.expect(t, place{"u", "127.0.0.1", at}, 1)
}

// TestIdleConnectionsThatThePeerCloses are open no more.
func TestIdleConnectionsThatThePeerCloses(t *testing.T) {
	enough := make(chan struct{})
	srv := testpeer.Raw(t, func(c *testpeer.RawConn) {
		c.ReadSome()
		c.Write(testpeer.Response(200, "ok"))
		<-enough
	})
	p, dead := counting(t, Config{})
	y := begin(t, p.For(lists(t, "127.0.0.1:*")), srv.URL+"/")
	y.end(t)
	at := number(t, srv.URL)
	expectPlaces(t, p, Connections{Address: "127.0.0.1", Port: at, Idle: 1})
	close(enough)
	expectPlaces(t, p, Connections{Address: "127.0.0.1", Port: at})
	dead.expect(t, place{"u", "127.0.0.1", at}, 1)
}

// TestPlacesOfPrunedPools are told until their last connection is closed, together
// with those of the pool that came after.
func TestPlacesOfPrunedPools(t *testing.T) {
	base := testpeer.HTTP(t, hello)
	at := number(t, base)
	p, dead := counting(t, Config{})
	old := lists(t, "127.0.0.1:*")
	rt := p.For(old)
	y := begin(t, rt, base)
	next := lists(t, "127.0.0.1:*")
	next.Base.Timeouts.TLS++
	z := begin(t, p.For(next), base)
	expectPlaces(t, p, Connections{Address: "127.0.0.1", Port: at, Active: 2})
	p.Prune([]*policy.Upstream{next})
	expectPlaces(t, p, Connections{Address: "127.0.0.1", Port: at, Active: 2})
	y.end(t)
	expectPlaces(t, p, Connections{Address: "127.0.0.1", Port: at, Active: 1})
	p.Prune(nil)
	expectPlaces(t, p, Connections{Address: "127.0.0.1", Port: at, Active: 1})
	z.end(t)
	expectPlaces(t, p)
	late := begin(t, rt, base) // of a call that began before
	expectPlaces(t, p, Connections{Address: "127.0.0.1", Port: at, Active: 1})
	late.end(t)
	closeAll(late)
	expectPlaces(t, p)
	dead.expect(t, place{"u", "127.0.0.1", at}, 3)
	if len(p.cfg.census.counts)+len(p.cfg.census.places) != 0 {
		t.Error("the census keeps what is gone")
	}
}

// TestPlacesOfANewSnapshot: a pool lives on, and its hosts are the new ones, also
// where calls of the old snapshot still come.
func TestPlacesOfANewSnapshot(t *testing.T) {
	at := number(t, testpeer.HTTP(t, hello))
	p, _ := counting(t, Config{})
	old := lists(t, "*.example.com:*")
	rt := p.For(old)
	next := lists(t, "*.example.com:*", "api.example.com:*", "new.example:*")
	call := func(up *policy.Upstream, host string) {
		t.Helper()
		if p.For(up) != rt {
			t.Fatal("the snapshot brought a pool of its own")
		}
		begin(t, rt, fmt.Sprintf("http://%s:%d/", host, at)).end(t)
	}
	call(next, "new.example")
	expectPlaces(t, p, Connections{Address: "new.example", Port: at, Idle: 1})
	p.Prune([]*policy.Upstream{next})
	call(old, "api.example.com")
	expectPlaces(t, p, Connections{Address: "api.example.com", Port: at, Idle: 1}, Connections{Address: "new.example", Port: at, Idle: 1})
	call(old, "of.no.entry")
	expectPlaces(t, p, Connections{Address: "", Port: at, Idle: 1},
		Connections{Address: "api.example.com", Port: at, Idle: 1}, Connections{Address: "new.example", Port: at, Idle: 1})
}

// TestPortsAreBounded: past 64 places the ports that callers choose are told together.
func TestPortsAreBounded(t *testing.T) {
	p, dead := counting(t, Config{})
	listed := number(t, testpeer.HTTP(t, hello))
	rt := p.For(lists(t, "*:*", fmt.Sprintf("listed.example:%d", listed)))
	const more = 6
	var all []*try
	for range mostPlaces + more {
		all = append(all, begin(t, rt, fmt.Sprintf("http://any.example:%d/", number(t, testpeer.HTTP(t, hello)))))
	}
	all = append(all, begin(t, rt, fmt.Sprintf("http://listed.example:%d/", listed)))
	places := p.Connections()
	if len(places) != mostPlaces+2 {
		t.Fatalf("%d places, want %d", len(places), mostPlaces+2)
	}
	if first := (Connections{"u", "*", 0, more, 0, 0}); places[0] != first {
		t.Errorf("got %+v, want %+v", places[0], first)
	}
	if last := (Connections{"u", "listed.example", listed, 1, 0, 0}); places[len(places)-1] != last {
		t.Errorf("got %+v, want %+v", places[len(places)-1], last)
	}
	for _, y := range all {
		y.end(t)
	}
	closeAll(all...)
	eventually(t, func() string {
		if n := len(p.Connections()); n != mostPlaces {
			return fmt.Sprintf("%d places are left, want %d", n, mostPlaces)
		}
		return ""
	})
	p.Prune(nil)
	expectPlaces(t, p)
	dead.mu.Lock()
	defer dead.mu.Unlock()
	if dead.heard[place{"u", "*", 0}] != more || len(dead.heard) != mostPlaces+2 {
		t.Errorf("closed: %v", dead.heard)
	}
}

// TestListedPortsAreToldApart, however many hosts there are.
func TestListedPortsAreToldApart(t *testing.T) {
	base := testpeer.HTTP(t, hello)
	at := number(t, base)
	p, _ := counting(t, Config{})
	var hosts []string
	for i := range mostPlaces + 9 {
		hosts = append(hosts, fmt.Sprintf("h%03d.example:%d", i, at))
	}
	rt := p.For(lists(t, hosts...))
	var want []Connections
	for _, h := range hosts {
		begin(t, rt, "http://"+h+"/").end(t)
		want = append(want, Connections{Address: strings.TrimSuffix(h, fmt.Sprintf(":%d", at)), Port: at, Idle: 1})
	}
	expectPlaces(t, p, want...)
	p.Close()
	for i := range want {
		want[i].Idle = 0
	}
	expectPlaces(t, p, want[:mostPlaces]...)
}

// TestOwnPoolsCount for their upstream.
func TestOwnPoolsCount(t *testing.T) {
	base := testpeer.HTTP(t, hello)
	at := number(t, base)
	fw := testpeer.NewForward(t, nil, "", "")
	p, _ := counting(t, Config{})
	up := lists(t, "target.example:*")
	y := begin(t, p.For(up), plainURL(base))
	px, err := ParseProxy("http://" + fw.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.ForCall(lists(t, "other.example:*"), Override{Proxy: px}); err != nil {
		t.Fatal(err)
	}
	own, err := p.ForCall(up, Override{Proxy: px}) // the same pool, of a newer snapshot
	if err != nil {
		t.Fatal(err)
	}
	z := begin(t, own, plainURL(base))
	expectPlaces(t, p, Connections{Address: "target.example", Port: at, Active: 2})
	p.Prune([]*policy.Upstream{up})
	z.end(t)
	expectPlaces(t, p, Connections{Address: "target.example", Port: at, Active: 1})
	y.end(t)
	expectPlaces(t, p, Connections{Address: "target.example", Port: at, Idle: 1})
}

// TestUseOfOthers: nil and what no pool has made are nobody's to count.
func TestUseOfOthers(t *testing.T) {
	one, two := net.Pipe()
	defer one.Close()
	defer two.Close()
	for _, c := range []net.Conn{nil, one, &conn{Conn: two}} {
		Use(c)
		Release(c)
	}
}
