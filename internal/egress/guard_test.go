package egress

import (
	"bufio"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// registered are the blocks of IANA's registries.
func registered(t *testing.T) (all []netip.Prefix) {
	t.Helper()
	f, err := os.Open("testdata/iana-special-purpose.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if block, _, _ := strings.Cut(lines.Text(), " "); block != "#" {
			all = append(all, netip.MustParsePrefix(block))
		}
	}
	if len(all) != 51 {
		t.Fatalf("the registries have %d blocks, want 51", len(all))
	}
	return all
}

// somewhere is a random address of p. Those that are IPv4 inside IPv6 stay what
// they are.
func somewhere(p netip.Prefix) netip.Addr {
	raw := p.Addr().AsSlice()
	for i := range raw {
		fixed := min(max(p.Bits()-8*i, 0), 8)
		raw[i] |= byte(rand.IntN(256)) & (0xff >> fixed)
	}
	addr, _ := netip.AddrFromSlice(raw)
	return addr
}

// TestGuardKnowsTheRegistries: no address of a registered block is dialled, and
// none but those are refused.
func TestGuardKnowsTheRegistries(t *testing.T) {
	blocks := registered(t)
	for _, p := range blocks {
		if p.Addr().Is4In6() {
			continue // is IPv4 itself
		}
		last := p.Addr()
		for range 200 {
			addr := somewhere(p)
			last = max2(last, addr)
			if err := (guard{}).judge(addr); !errors.Is(err, fault.AddressDenied) {
				t.Errorf("%s of the registered %s: got %v, want ADDRESS_DENIED", addr, p, err)
			}
		}
		for _, addr := range []netip.Addr{p.Addr(), last} {
			if err := (guard{}).judge(addr); !errors.Is(err, fault.AddressDenied) {
				t.Errorf("%s of the registered %s: got %v, want ADDRESS_DENIED", addr, p, err)
			}
		}
	}
	// Multicast has registries of its own, and so has what of IPv6 is no unicast.
	outside := func(addr netip.Addr) bool {
		for _, p := range append(blocks, netip.MustParsePrefix("224.0.0.0/4")) {
			if p.Contains(addr) {
				return false
			}
		}
		_, form := unwrap(addr)
		return form == plainForm
	}
	for _, all := range []string{"0.0.0.0/0", "2000::/3"} {
		for range 20_000 {
			addr := somewhere(netip.MustParsePrefix(all))
			if _, known := metadata[addr]; !known && outside(addr) && (guard{}).judge(addr) != nil {
				t.Fatalf("the public %s is refused: %v", addr, (guard{}).judge(addr))
			}
		}
	}
	for _, reserved := range []string{"::/8", "200::/7", "400::/6", "800::/5", "1000::/4", "4000::/3", "6000::/3", "8000::/3", "a000::/3", "c000::/3", "e000::/4", "f000::/5", "f800::/6", "fe00::/9", "fec0::/10", "ff00::/8"} {
		for range 50 {
			if addr := somewhere(netip.MustParsePrefix(reserved)); (guard{}).judge(addr) == nil {
				t.Errorf("%s of the reserved %s is not refused", addr, reserved)
			}
		}
	}
}

func max2(a, b netip.Addr) netip.Addr {
	if a.Less(b) {
		return b
	}
	return a
}

// TestBordersOfTheRegistries: a block ends where it ends.
func TestBordersOfTheRegistries(t *testing.T) {
	for _, pair := range [][2]string{ // the last or first address of a block, and its public neighbour
		{"10.255.255.255", "11.0.0.0"}, {"10.0.0.0", "9.255.255.255"}, {"100.64.0.0", "100.63.255.255"},
		{"100.127.255.255", "100.128.0.0"}, {"127.0.0.0", "126.255.255.255"}, {"127.255.255.255", "128.0.0.0"},
		{"169.254.0.0", "169.253.255.255"}, {"169.254.255.255", "169.255.0.0"}, {"172.16.0.0", "172.15.255.255"},
		{"172.31.255.255", "172.32.0.0"}, {"192.0.0.255", "192.0.1.0"}, {"192.168.0.0", "192.167.255.255"},
		{"192.168.255.255", "192.169.0.0"}, {"198.18.0.0", "198.17.255.255"}, {"198.19.255.255", "198.20.0.0"},
		{"203.0.113.255", "203.0.114.0"}, {"224.0.0.0", "223.255.255.255"}, {"0.255.255.255", "1.0.0.0"},
		{"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"}, {"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
		{"2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"}, {"3fff::", "3ffe:ffff::1"}, {"3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"},
		{"2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::"}, {"1fff:ffff::", "2000::"}, {"4000::", "3fff:ffff::"},
	} {
		if err := (guard{}).judge(netip.MustParseAddr(pair[0])); err == nil {
			t.Errorf("%s is not refused", pair[0])
		}
		if err := (guard{}).judge(netip.MustParseAddr(pair[1])); err != nil {
			t.Errorf("%s: %v, want it allowed", pair[1], err)
		}
	}
}

// knownMetadata are the addresses that the clouds' own pages give.
var knownMetadata = []string{
	"169.254.169.254", "fd00:ec2::254", "169.254.170.2", "169.254.170.23", "fd00:ec2::23", // AWS, and most others
	"169.254.169.252", "fd20:ce::254", // Google
	"168.63.129.16",                     // Azure
	"192.0.0.192", "fd00:c1::a9fe:a9fe", // Oracle
	"100.100.100.200", "fd00:100::100:200", // Alibaba
	"169.254.0.23", "169.254.10.10", // Tencent
	"169.254.42.42", "fd00:42::42", // Scaleway
	"169.254.169.250",   // Rancher
	"fd00:a9fe:a9fe::1", // Linode
	"fe80::a9fe:a9fe",   // OpenStack
}

// TestEveryFormOfEveryMetadataAddress: nothing opens them, in no form.
func TestEveryFormOfEveryMetadataAddress(t *testing.T) {
	for _, addr := range knownMetadata {
		if metadata[netip.MustParseAddr(addr)] == "" {
			t.Errorf("%s is not known for metadata", addr)
		}
	}
	if len(metadata) != len(knownMetadata) {
		t.Errorf("%d addresses are known for metadata, and %d tested", len(metadata), len(knownMetadata))
	}
	everything := guard{allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
	forms := 0
	for addr := range metadata {
		all := []netip.Addr{addr}
		if addr.Is4() {
			all = append(all, embed(addr)...)
		}
		for _, form := range all {
			forms++
			if err := everything.judge(form); !errors.Is(err, fault.AddressDenied) || !strings.Contains(err.Error(), "nothing opens") {
				t.Errorf("%s, which is %s: got %v, want ADDRESS_DENIED that nothing opens", form, addr, err)
			}
		}
	}
	if forms < 100 {
		t.Errorf("%d forms were tried, want each of each address", forms)
	}
	for _, addr := range embed(netip.MustParseAddr("127.0.0.1")) {
		if err := everything.judge(addr); err != nil {
			t.Errorf("%s, opened: %v", addr, err)
		}
	}
}

// embed gives an IPv4 address in each IPv6 form that carries one.
func embed(addr netip.Addr) (all []netip.Addr) {
	four := addr.As4()
	put := func(prefix string, xor byte, at ...int) {
		raw := netip.MustParseAddr(prefix).As16()
		for i, place := range at {
			raw[place] = four[i] ^ xor
		}
		all = append(all, netip.AddrFrom16(raw))
	}
	for _, prefix := range []string{"::ffff:0:0", "::", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::", "64:ff9b:1:8:0:0::",
		"2001:db8::5efe:0:0", "2600::200:5efe:0:0", "fe80::5efe:0:0"} {
		put(prefix, 0, 12, 13, 14, 15)
	}
	put("64:ff9b:1::", 0, 6, 7, 9, 10)
	put("64:ff9b:1::", 0, 7, 9, 10, 11)
	put("64:ff9b:1::", 0, 9, 10, 11, 12)
	put("2002::", 0, 2, 3, 4, 5)
	put("2002:0:0:1::1", 0, 2, 3, 4, 5)
	put("2001::", 0xff, 12, 13, 14, 15)
	put("2001:0:808:808:8000:63bf:0:0", 0xff, 12, 13, 14, 15)
	return all
}

// TestFormsAreClosedAndOpened: IPv4 inside IPv6 is refused whatever it is, until
// both the range and what is inside are open.
func TestFormsAreClosedAndOpened(t *testing.T) {
	public, private := netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("10.1.2.3")
	sixes := guard{allow: []netip.Prefix{netip.MustParsePrefix("::/0")}}
	for i, addr := range embed(public) {
		if addr.Is4In6() {
			continue
		}
		if err := (guard{}).judge(addr); !errors.Is(err, fault.AddressDenied) {
			t.Errorf("%s, closed: got %v, want ADDRESS_DENIED", addr, err)
		}
		if err := sixes.judge(addr); err != nil {
			t.Errorf("%s, opened: %v", addr, err)
		}
		inside := embed(private)[i]
		if err := sixes.judge(inside); !errors.Is(err, fault.AddressDenied) || !strings.Contains(err.Error(), "inside IPv6") {
			t.Errorf("%s, its range opened: got %v, want ADDRESS_DENIED for what is inside", inside, err)
		}
	}
	// A translator with a longer prefix reads other bytes than one with a shorter.
	two := netip.MustParseAddr("64:ff9b:1:a01:0:203:808:808") // 10.1.2.3 and 8.8.8.8... by byte 8
	if err := sixes.judge(two); err == nil {
		t.Errorf("%s is 10.1.0.2 to one translator and 8.8.8.8 to another, and was allowed", two)
	}
}

func TestNamesOfMetadata(t *testing.T) {
	for _, host := range []string{"metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
		"instance-data.eu-west-1.compute.internal", "metadata.tencentyun.com", "rancher-metadata",
		"metadata.azure.internal", "api.metadata.cloud.ibm.com", "metadata.packet.net", "metadata.platformequinix.com"} {
		r := &fakeResolver{answers: [][]string{{"127.0.0.1"}}}
		p := NewPools(Config{Resolver: r})
		defer p.Close()
		up := upstream("0.0.0.0/0", "::/0")
		if _, err := fetch(t, p.For(up), "http://"+host+":1/"); !errors.Is(err, fault.AddressDenied) || !strings.Contains(err.Error(), host) {
			t.Errorf("%s: got %v, want ADDRESS_DENIED with its name", host, err)
		}
		if _, err := p.Judge(t.Context(), up, host); !errors.Is(err, fault.AddressDenied) {
			t.Errorf("Judge %s: got %v, want ADDRESS_DENIED", host, err)
		}
		if r.calls != 0 {
			t.Errorf("%s was resolved", host)
		}
	}
	for _, host := range []string{"METADATA.google.internal", "metadata.google.internal.", "0x7f000001", "127.1", "ｅ.example", "a%2eb", ""} {
		if err := judgeName(host); !errors.Is(err, fault.AddressDenied) {
			t.Errorf("%q: got %v, want ADDRESS_DENIED: it is no canonical name", host, err)
		}
	}
	for _, host := range []string{"metadata.example.com", "metadata", "instance-data.example.com", "my_service.internal", "xn--bcher-kva.example"} {
		if err := judgeName(host); err != nil {
			t.Errorf("%s: %v, want it allowed", host, err)
		}
	}
}

// TestBrokenResolversDeny: what cannot be judged is not dialled.
func TestBrokenResolversDeny(t *testing.T) {
	for name, c := range map[string]struct {
		answer []netip.Addr
		err    error
		want   fault.Kind
	}{
		"no address":    {nil, nil, fault.DNSError},
		"a failure":     {[]netip.Addr{netip.MustParseAddr("127.0.0.1")}, errors.New("broken"), fault.DNSError},
		"a zero one":    {[]netip.Addr{{}}, nil, fault.AddressDenied},
		"one of a zone": {[]netip.Addr{netip.MustParseAddr("fe80::1%lo")}, nil, fault.AddressDenied},
		"good and zero": {[]netip.Addr{netip.MustParseAddr("127.0.0.1"), {}}, nil, fault.AddressDenied},
	} {
		p := NewPools(Config{Resolver: given{c.answer, c.err}})
		defer p.Close()
		if _, err := fetch(t, p.For(upstream("0.0.0.0/0", "::/0")), "http://x.example:1/"); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

// given answers with what it is.
type given struct {
	addrs []netip.Addr
	err   error
}

func (g given) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return g.addrs, g.err
}

// TestTheSocketJudgesAgain: an address that came past every judgement before is
// not dialled all the same.
func TestTheSocketJudgesAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := netip.MustParseAddrPort(l.Addr().String())
	for name, d := range map[string]dialer{
		"the guard":     {},
		"own listeners": {guard: anyAddress, own: func() []netip.AddrPort { return []netip.AddrPort{at} }},
	} {
		if c, err := d.connectOne(t.Context(), at); !errors.Is(err, fault.AddressDenied) {
			t.Errorf("%s: got %v, %v; want ADDRESS_DENIED", name, c, err)
		}
	}
	open := dialer{guard: anyAddress}
	c, err := open.connectOne(t.Context(), at)
	if err != nil {
		t.Fatalf("what is open is not dialled: %v", err)
	}
	defer c.Close()
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if first.RemoteAddr().String() != c.LocalAddr().String() {
		t.Errorf("%s came before %s: a refused address was dialled", first.RemoteAddr(), c.LocalAddr())
	}
}

// TestOwnResolverIsGo: libc's reads `0x7f.1` as 127.0.0.1, and has files and modules
// of its own.
func TestOwnResolverIsGo(t *testing.T) {
	p := NewPools(Config{})
	defer p.Close()
	full, ok := p.cfg.Resolver.(fullNames)
	if !ok {
		t.Fatalf("the resolver is a %T, want one that takes names with a dot as they are", p.cfg.Resolver)
	}
	if r, ok := full.resolver.(*net.Resolver); !ok || !r.PreferGo || r == net.DefaultResolver {
		t.Errorf("the resolver is %#v, want Go's", full.resolver)
	}
}
