package egress

import (
	"net/netip"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// guard judges addresses. allow opens special ranges; nothing opens metadata.
type guard struct {
	allow []netip.Prefix
}

// judge gives nil if addr may be dialled, else why not. An IPv4 address inside
// an IPv6 one is judged as what it is: the packet ends up there.
func (g guard) judge(addr netip.Addr) error {
	if addr.Zone() != "" || !addr.IsValid() {
		return fault.Newf(fault.AddressDenied, "address %s is denied: it has a zone or is malformed", addr)
	}
	inner, form := unwrap(addr)
	if name, ok := metadata[inner]; ok {
		return fault.Newf(fault.AddressDenied, "address %s is denied: %s, which nothing opens", addr, name)
	}
	if form == mapped {
		addr, form = inner, plainForm
	}
	if form == plainForm {
		if reason := special(addr); reason != "" && !g.opens(addr) {
			return denied(addr, reason)
		}
		return nil
	}
	if reason := special(inner); reason != "" && !g.opens(inner) {
		return denied(addr, reason+" inside IPv6 ("+form+")")
	}
	if !g.opens(addr) {
		return denied(addr, "IPv4 inside IPv6 ("+form+")")
	}
	return nil
}

// opens says whether policy opened the range that addr is in.
func (g guard) opens(addr netip.Addr) bool {
	for _, p := range g.allow {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

func denied(addr netip.Addr, reason string) error {
	return fault.Newf(fault.AddressDenied,
		"address %s is denied: %s; an upstream opens it with unsafe_allow_addresses", addr, reason)
}

// judgeAll is judge over every answer of a resolver. One bad answer denies the
// name: dialling only the good ones would let a hostile zone decide, by the
// order and the failures it arranges, which one is tried next.
func (g guard) judgeAll(host string, addrs []netip.Addr) error {
	for _, addr := range addrs {
		if err := g.judge(addr); err != nil {
			if addr.String() == host {
				return err
			}
			return fault.Newf(fault.AddressDenied, "host %s: %s", host, fault.From(err).Message)
		}
	}
	return nil
}

// The forms in which IPv4 hides in IPv6.
const (
	plainForm = ""
	mapped    = "IPv4-mapped"
)

// embeddings are the IPv6 ranges that carry an IPv4 address, and the byte at
// which it begins.
var embeddings = []struct {
	prefix netip.Prefix
	at     int
	form   string
}{
	{netip.MustParsePrefix("::ffff:0:0/96"), 12, mapped},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12, "IPv4-translated, RFC 2765"},
	{netip.MustParsePrefix("64:ff9b::/96"), 12, "NAT64, RFC 6052"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12, "local NAT64, RFC 8215"},
	{netip.MustParsePrefix("2002::/16"), 2, "6to4, RFC 3056"},
	{netip.MustParsePrefix("2001::/32"), 12, "Teredo, RFC 4380"},
	{netip.MustParsePrefix("::/96"), 12, "IPv4-compatible, RFC 4291"},
}

// unwrap gives the address inside, and how it was wrapped.
func unwrap(addr netip.Addr) (netip.Addr, string) {
	if addr.Is4() {
		return addr, plainForm
	}
	raw := addr.As16()
	for _, e := range embeddings {
		if !prefix6Contains(e.prefix, raw) {
			continue
		}
		if e.at == 12 && e.form == "IPv4-compatible, RFC 4291" && raw[12] == 0 {
			break // :: and ::1 and their neighbours are addresses of their own
		}
		var four [4]byte
		copy(four[:], raw[e.at:e.at+4])
		if e.form == "Teredo, RFC 4380" {
			for i := range four {
				four[i] ^= 0xff
			}
		}
		return netip.AddrFrom4(four), e.form
	}
	return addr, plainForm
}

// prefix6Contains is Prefix.Contains without its refusal to see an IPv4-mapped
// address as an IPv6 one.
func prefix6Contains(p netip.Prefix, raw [16]byte) bool {
	base := p.Addr().As16()
	bits := p.Bits()
	for i := 0; i < bits/8; i++ {
		if base[i] != raw[i] {
			return false
		}
	}
	if rest := bits % 8; rest != 0 {
		mask := byte(0xff) << (8 - rest)
		return base[bits/8]&mask == raw[bits/8]&mask
	}
	return true
}

// special gives the name of the special-purpose range that addr is in, or "".
func special(addr netip.Addr) string {
	for _, r := range specialRanges {
		if r.prefix.Contains(addr) {
			return r.name
		}
	}
	return ""
}
