package egress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

func TestGuardDenies(t *testing.T) {
	for _, inner := range []string{"127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "0.0.0.0"} {
		four := netip.MustParseAddr(inner).As4()
		embed := func(prefix string, at int, xor byte) string {
			raw := netip.MustParseAddr(prefix).As16()
			for i, b := range four {
				raw[at+i] = b ^ xor
			}
			return netip.AddrFrom16(raw).String()
		}
		for _, form := range []string{
			inner, "::ffff:" + inner, embed("64:ff9b::", 12, 0), embed("64:ff9b:1::", 12, 0),
			embed("2002::", 2, 0), embed("2001::", 12, 0xff), embed("::ffff:0:0:0", 12, 0), embed("::", 12, 0),
		} {
			if err := (guard{}).judge(netip.MustParseAddr(form)); !errors.Is(err, fault.AddressDenied) {
				t.Errorf("judge(%s) = %v, want ADDRESS_DENIED", form, err)
			}
		}
	}
	for _, s := range []string{
		"100.64.0.1", "172.31.255.255", "192.0.0.1", "192.88.99.1", "198.19.0.1", "224.0.0.1", "255.255.255.255",
		"::", "::1", "fe80::1", "fec0::1", "fd12::1", "ff02::1", "2001:db8::1", "3fff::1", "5f00::1", "100::1",
		"168.63.129.16", "fd00:ec2::254", "2002:0808:0808::1",
	} {
		if err := (guard{}).judge(netip.MustParseAddr(s)); !errors.Is(err, fault.AddressDenied) {
			t.Errorf("judge(%s) = %v, want ADDRESS_DENIED", s, err)
		}
	}
	for _, s := range []string{"8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"} {
		if err := (guard{}).judge(netip.MustParseAddr(s)); err != nil {
			t.Errorf("judge(%s) = %v, want it allowed", s, err)
		}
	}
}

func TestGuardOpensByName(t *testing.T) {
	g := guard{allow: []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("64:ff9b::/96")}}
	for s, want := range map[string]bool{
		"127.0.0.1": true, "::ffff:127.0.0.1": true, "169.254.1.1": true, "10.0.0.1": false,
		"169.254.169.254": false, "::ffff:169.254.169.254": false,
		"64:ff9b::808:808": true, "64:ff9b::7f00:1": true, "64:ff9b::a00:1": false, "2002:808:808::": false,
	} {
		if err := g.judge(netip.MustParseAddr(s)); (err == nil) != want {
			t.Errorf("judge(%s) = %v, want allowed %v", s, err, want)
		}
	}
}

// fakeResolver answers from a list, one answer a call; the last one repeats.
type fakeResolver struct {
	answers [][]string
	err     error
	calls   int
}

func (r *fakeResolver) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	if r.err != nil {
		return nil, r.err
	}
	i := min(r.calls, len(r.answers)-1)
	r.calls++
	var out []netip.Addr
	for _, s := range r.answers[i] {
		out = append(out, netip.MustParseAddr(s))
	}
	return out, ctx.Err()
}

// patience is how long a dial may take where no test is about that.
const patience = 30 * time.Second

func upstream(allow ...string) *policy.Upstream {
	up := &policy.Upstream{Name: "u", Base: &policy.Route{Settings: policy.Settings{
		Timeouts: policy.Timeouts{Connect: policy.Clock{Default: patience}, TLS: patience},
		Sizes:    policy.Sizes{ResponseHeader: 64 << 10},
	}}}
	for _, s := range allow {
		up.AllowAddresses = append(up.AllowAddresses, netip.MustParsePrefix(s))
	}
	return up
}

func get(t *testing.T, p *Pools, up *policy.Upstream, url string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p.For(up).RoundTrip(req)
}

func TestOneBadAnswerDeniesTheName(t *testing.T) {
	hits := 0
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits++ }))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	p := NewPools(Config{Resolver: &fakeResolver{answers: [][]string{{"8.8.8.8", "127.0.0.1"}}}})
	defer p.Close()
	_, err := get(t, p, upstream(), "http://mixed.example:"+port+"/")
	if !errors.Is(err, fault.AddressDenied) || !strings.Contains(err.Error(), "mixed.example") {
		t.Errorf("a mixed answer gives %v, want ADDRESS_DENIED naming the host", err)
	}
	if hits != 0 {
		t.Errorf("the loopback listener was reached %d times", hits)
	}
}

func TestTheJudgedAddressIsDialled(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	r := &fakeResolver{answers: [][]string{{"127.0.0.1"}, {"10.0.0.1"}}}
	p := NewPools(Config{Resolver: r})
	defer p.Close()
	res, err := get(t, p, upstream("127.0.0.0/8"), "http://flip.example:"+port+"/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if r.calls != 1 {
		t.Errorf("the name was resolved %d times, want once", r.calls)
	}
}

func TestHappyEyeballsFallsBack(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	p := NewPools(Config{Resolver: &fakeResolver{answers: [][]string{{"127.0.0.2", "127.0.0.3", "127.0.0.1"}}}})
	defer p.Close()
	// The server listens on 127.0.0.1 only: the two before it refuse.
	res, err := get(t, p, upstream("127.0.0.0/8"), "http://many.example:"+port+"/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

func TestResolverFaults(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"not found": {&net.DNSError{Err: "no such host", IsNotFound: true}, fault.DNSError},
		"timeout":   {&net.DNSError{Err: "i/o timeout", IsTimeout: true}, fault.DNSTimeout},
		"servfail":  {&net.DNSError{Err: "server misbehaving", IsTemporary: true}, fault.DNSError},
	} {
		p := NewPools(Config{Resolver: &fakeResolver{err: c.err}})
		_, err := get(t, p, upstream(), "http://x.example/")
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		p.Close()
	}
}

func TestPoolsSurviveASnapshot(t *testing.T) {
	p := NewPools(Config{})
	defer p.Close()
	a, b := upstream("127.0.0.0/8"), upstream("127.0.0.0/8")
	if p.For(a) != p.For(b) {
		t.Error("an unchanged upstream of a new snapshot got a new pool")
	}
	if p.For(a) == p.For(upstream()) {
		t.Error("an upstream that lost its opened range kept the pool with connections into it")
	}
}
