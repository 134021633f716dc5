package egress

import (
	"net/netip"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// The forms in which IPv4 hides in IPv6.
const (
	plainForm = ""
	mapped    = "IPv4-mapped"
)

// fourBytes are the places of an IPv4 address in an IPv6 one.
type fourBytes [4]int

// atEnd is where most forms have it.
var atEnd = []fourBytes{{12, 13, 14, 15}}

// embedding is an IPv6 range whose addresses carry an IPv4 address.
type embedding struct {
	prefix netip.Prefix
	form   string
	// at are the places that it may have. There are several where the length of
	// the operator's prefix decides (RFC 6052 section 2.2).
	at []fourBytes
	// inverted: each bit is.
	inverted bool
}

var embeddings = []embedding{
	{prefix: netip.MustParsePrefix("::ffff:0:0/96"), form: mapped, at: atEnd},
	{prefix: netip.MustParsePrefix("::ffff:0:0:0/96"), form: "IPv4-translated, RFC 2765", at: atEnd},
	{prefix: netip.MustParsePrefix("64:ff9b::/96"), form: "NAT64, RFC 6052", at: atEnd},
	{prefix: netip.MustParsePrefix("64:ff9b:1::/48"), form: "local NAT64, RFC 8215",
		at: []fourBytes{{6, 7, 9, 10}, {7, 9, 10, 11}, {9, 10, 11, 12}, {12, 13, 14, 15}}},
	{prefix: netip.MustParsePrefix("2002::/16"), form: "6to4, RFC 3056", at: []fourBytes{{2, 3, 4, 5}}},
	{prefix: netip.MustParsePrefix("2001::/32"), form: "Teredo, RFC 4380", at: atEnd, inverted: true},
}

// rfc6052 are the places of the IPv4 address behind a translator's prefix, by its
// length (RFC 6052 section 2.2). Bits 64 to 71 are left out, and zero.
var rfc6052 = map[int]fourBytes{
	32: {4, 5, 6, 7}, 40: {5, 6, 7, 9}, 48: {6, 7, 9, 10}, 56: {7, 9, 10, 11}, 64: {9, 10, 11, 12}, 96: {12, 13, 14, 15},
}

// translated gives the addresses that translators of the network's own prefixes
// (RFC 6052, RFC 7050) take addr for; ok: one has such a prefix. Which one gets the
// packet nobody here knows, so each reading counts.
func (g guard) translated(addr netip.Addr) (inside []netip.Addr, ok bool, err error) {
	if g.nat64 == nil || !addr.Is6() {
		return nil, false, nil
	}
	raw := addr.As16()
	for _, p := range g.nat64() {
		if !p.Contains(addr) {
			continue
		}
		ok = true
		at, known := rfc6052[p.Bits()]
		if !known || raw[8] != 0 {
			err = fault.Newf(fault.AddressDenied, "address %s is denied: it is behind %s of nat64_prefixes and no address of RFC 6052", addr, p)
			continue
		}
		inside = append(inside, netip.AddrFrom4([4]byte{raw[at[0]], raw[at[1]], raw[at[2]], raw[at[3]]}))
	}
	return inside, ok, err
}

// unwrap gives the addresses that addr may carry, and how.
func unwrap(addr netip.Addr) ([]netip.Addr, string) {
	if addr.Is4() {
		return nil, plainForm
	}
	raw := addr.As16()
	for _, e := range embeddings {
		if within(e.prefix, raw) {
			return e.read(raw), e.form
		}
	}
	end := netip.AddrFrom4([4]byte(raw[12:]))
	switch {
	case [12]byte(raw[:12]) == [12]byte{} && raw[12] != 0: // ::, ::1 and their neighbours are addresses of their own
		return []netip.Addr{end}, "IPv4-compatible, RFC 4291"
	case raw[8]&^2 == 0 && raw[9] == 0 && raw[10] == 0x5e && raw[11] == 0xfe: // below any prefix
		return []netip.Addr{end}, "ISATAP, RFC 5214"
	}
	return nil, plainForm
}

// read gives each address that raw can be read as. Where there are several, those
// in 0.0.0.0/8 are left out: they are the zeros that another reading leaves.
func (e embedding) read(raw [16]byte) (all []netip.Addr) {
	if e.inverted {
		for i := range raw {
			raw[i] ^= 0xff
		}
	}
	for _, at := range e.at {
		if four := [4]byte{raw[at[0]], raw[at[1]], raw[at[2]], raw[at[3]]}; four[0] != 0 {
			all = append(all, netip.AddrFrom4(four))
		}
	}
	if all == nil {
		at := e.at[len(e.at)-1]
		all = append(all, netip.AddrFrom4([4]byte{raw[at[0]], raw[at[1]], raw[at[2]], raw[at[3]]}))
	}
	return all
}

// within is Prefix.Contains without its refusal to see an IPv4-mapped address as
// an IPv6 one. The length of p is in whole bytes.
func within(p netip.Prefix, raw [16]byte) bool {
	base, n := p.Addr().As16(), p.Bits()/8
	return string(base[:n]) == string(raw[:n])
}
