package policy

import (
	"fmt"
	"net/netip"
	"slices"
)

// nat64Lengths are those of RFC 6052 section 2.2.
var nat64Lengths = []int{32, 40, 48, 56, 64, 96}

// nat64 reads the prefixes of the network's own translators.
func (c *compiler) nat64(list []string) []netip.Prefix {
	var out []netip.Prefix
	for i, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil || !p.Addr().Is6() || p.Addr().Is4In6() || p.Masked() != p || !slices.Contains(nat64Lengths, p.Bits()) || p.Addr().As16()[8] != 0 {
			c.failf(fmt.Sprintf("nat64_prefixes[%d]", i), "%q is no prefix of RFC 6052: write an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, with zeros behind it and in bits 64 to 71", text)
			continue
		}
		if slices.Contains(out, p) {
			c.failf(fmt.Sprintf("nat64_prefixes[%d]", i), "%q stands here twice: leave one out", text)
		}
		out = append(out, p)
	}
	return out
}
