package egress

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// behind are the addresses of RFC 6052 section 2.4, its own examples and some like
// them: 192.0.2.33 by each length of prefix, and the bytes that it stands in.
var behind = map[string]struct {
	example string
	at      [4]int
}{
	"2001:db8::/32":         {"2001:db8:c000:221::", [4]int{4, 5, 6, 7}},
	"2001:db8:100::/40":     {"2001:db8:1c0:2:21::", [4]int{5, 6, 7, 9}},
	"2001:db8:122::/48":     {"2001:db8:122:c000:2:2100::", [4]int{6, 7, 9, 10}},
	"2001:db8:122:300::/56": {"2001:db8:122:3c0:0:221::", [4]int{7, 9, 10, 11}},
	"2001:db8:122:344::/64": {"2001:db8:122:344:c0:2:2100::", [4]int{9, 10, 11, 12}},
	"2001:db8:122:344::/96": {"2001:db8:122:344::192.0.2.33", [4]int{12, 13, 14, 15}},
	"64:ff9b::/96":          {"64:ff9b::192.0.2.33", [4]int{12, 13, 14, 15}},
	"64:ff9b:1::/48":        {"64:ff9b:1:c000:2:2100::", [4]int{6, 7, 9, 10}},
	"fd00:64::/96":          {"fd00:64::192.0.2.33", [4]int{12, 13, 14, 15}},
	"2600:1f00:64::/96":     {"2600:1f00:64::192.0.2.33", [4]int{12, 13, 14, 15}},
}

// into puts an IPv4 address in the place of the example's.
func into(t *testing.T, prefix, four string) netip.Addr {
	t.Helper()
	raw, b := netip.MustParseAddr(behind[prefix].example).As16(), netip.MustParseAddr(four).As4()
	for i, at := range behind[prefix].at {
		if was := [4]byte{192, 0, 2, 33}[i]; raw[at] != was {
			t.Fatalf("byte %d of the example behind %s is %d, want %d", at, prefix, raw[at], was)
		}
		raw[at] = b[i]
	}
	return netip.AddrFrom16(raw)
}

func nat64Of(prefixes ...string) func() []netip.Prefix {
	var all []netip.Prefix
	for _, p := range prefixes {
		all = append(all, netip.MustParsePrefix(p))
	}
	return func() []netip.Prefix { return all }
}

// TestNAT64: behind a prefix of the network's own, what counts is the address
// inside, by every length of RFC 6052.
func TestNAT64(t *testing.T) {
	for prefix := range behind {
		g := guard{nat64: nat64Of(prefix)}
		for four, allowed := range map[string]bool{
			"8.8.8.8": true, "1.1.1.1": true, "172.32.0.1": true,
			"10.1.2.3": false, "127.0.0.1": false, "169.254.169.254": false, "168.63.129.16": false, "192.168.0.1": false,
			"0.0.0.0": false, "0.1.2.3": false, "100.64.0.1": false, "224.0.0.1": false, "255.255.255.255": false, "192.0.2.33": false,
		} {
			addr := into(t, prefix, four)
			if err := g.judge(addr); (err == nil) != allowed || err != nil && !errors.Is(err, fault.AddressDenied) {
				t.Errorf("%s, which is %s behind %s: got %v, want allowed %v", addr, four, prefix, err, allowed)
			}
			if g.closed(addr) == allowed {
				t.Errorf("%s, which is %s behind %s: closed is %v", addr, four, prefix, !allowed)
			}
		}
		open := guard{allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, nat64: g.nat64}
		if err := open.judge(into(t, prefix, "10.1.2.3")); err != nil {
			t.Errorf("10.1.2.3 behind %s, opened: %v", prefix, err)
		}
		outer := guard{allow: []netip.Prefix{netip.MustParsePrefix("::/0")}, nat64: g.nat64}
		if err := outer.judge(into(t, prefix, "10.1.2.3")); err == nil || !strings.Contains(err.Error(), "10.1.2.3, private") {
			t.Errorf("10.1.2.3 behind %s, whose range is open: got %v", prefix, err)
		}
		for _, meta := range []string{"169.254.169.254", "168.63.129.16", "100.100.100.200"} {
			if err := open.judge(into(t, prefix, meta)); err == nil || !strings.Contains(err.Error(), "nothing opens") {
				t.Errorf("%s behind %s: got %v, want that nothing opens it", meta, prefix, err)
			}
		}
	}
}

// TestNAT64IsDeniedInDoubt: several readings, none, and none that is good.
func TestNAT64IsDeniedInDoubt(t *testing.T) {
	both := nat64Of("2600:64::/32", "2600:64:0:1::/96")
	for name, c := range map[string]struct {
		nat64 func() []netip.Prefix
		addr  string
		want  string // of the error; empty: allowed
	}{
		"not behind it":                   {nat64Of("2600:64::/96"), "2600:64::1:808:808", ""},
		"IPv4":                            {nat64Of("2600:64::/96"), "8.8.8.8", ""},
		"IPv4, private":                   {nat64Of("2600:64::/96"), "10.1.2.3", "private"},
		"bits 64 to 71 are set":           {nat64Of("2600:64::/32"), "2600:64:808:808:100::", "no address of RFC 6052"},
		"the same, behind 96 bits":        {nat64Of("2600:64:0:0:100::/96"), "2600:64:0:0:100::808:808", "no address of RFC 6052"},
		"a length that is none":           {nat64Of("2600:64::/80"), "2600:64::808:808", "no address of RFC 6052"},
		"two prefixes, one reads 0.0.0.1": {both, "2600:64:0:1::808:808", "this network"},
		"a form inside the suffix":        {nat64Of("2600:64::/32"), "2600:64:808:808:0:5efe:a00:1", ""},
		"metadata of IPv6":                {nat64Of("fd00:ec2::/96"), "fd00:ec2::254", "nothing opens"},
		"mapped":                          {nat64Of("2600:64::/96"), "::ffff:10.1.2.3", "private"},
	} {
		err := guard{nat64: c.nat64}.judge(netip.MustParseAddr(c.addr))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %s gives %v, want %q", name, c.addr, err, c.want)
		}
	}
}

// TestNAT64OverTheWire: the prefixes of Config reach every guard there is.
func TestNAT64OverTheWire(t *testing.T) {
	nat64 := nat64Of("::/96") // ::1 is behind it, as 0.0.0.1
	for _, answer := range []string{"::1", "::127.0.0.1"} {
		p := NewPools(Config{Resolver: &fakeResolver{answers: [][]string{{answer}}}, NAT64: nat64})
		defer p.Close()
		up := upstream("::/0")
		if _, err := fetch(t, p.For(up), "http://x.example:1/"); !errors.Is(err, fault.AddressDenied) || !strings.Contains(err.Error(), "nat64_prefixes") {
			t.Errorf("%s: got %v, want ADDRESS_DENIED by nat64_prefixes", answer, err)
		}
		verdicts, err := p.Judge(t.Context(), up, "x.example")
		if err != nil || len(verdicts) != 1 || verdicts[0].Allowed || !strings.Contains(verdicts[0].Reason, "nat64_prefixes") {
			t.Errorf("Judge %s: got %+v, %v; want it refused by nat64_prefixes", answer, verdicts, err)
		}
	}
}
