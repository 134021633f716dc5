package egress

import (
	"net/netip"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// guard judges addresses. allow opens special ranges; nothing opens metadata.
type guard struct {
	allow []netip.Prefix
	// nat64 gives the prefixes of the network's own translators; nil: none.
	nat64 func() []netip.Prefix
}

// judge gives nil if addr may be dialled, else why not. An IPv4 address inside
// an IPv6 one is judged as what it is: the packet ends up there.
func (g guard) judge(addr netip.Addr) error {
	if addr.Zone() != "" || !addr.IsValid() {
		return fault.Newf(fault.AddressDenied, "address %s is denied: it has a zone or is malformed", addr)
	}
	inside, form := unwrap(addr)
	if form == mapped {
		addr, inside, form = inside[0], nil, plainForm
	}
	translated, ok, err := g.translated(addr)
	for _, a := range append(append(inside, translated...), addr) {
		if name, ok := metadata[a]; ok {
			return fault.Newf(fault.AddressDenied, "address %s is denied: %s, which nothing opens", addr, name)
		}
	}
	switch {
	case err != nil:
		return err
	case ok:
		return g.judgeTranslated(addr, translated)
	}
	if form == plainForm {
		if reason := special(addr); reason != "" && !g.opens(addr) {
			return denied(addr, reason)
		}
		return nil
	}
	for _, inner := range inside {
		if reason := special(inner); reason != "" && !g.opens(inner) {
			return denied(addr, reason+" inside IPv6 ("+form+")")
		}
	}
	if !g.opens(addr) {
		return denied(addr, "IPv4 inside IPv6 ("+form+")")
	}
	return nil
}

// judgeTranslated is judge for an address that a translator of the network takes
// for those inside it. What the outer one is in no registry says.
func (g guard) judgeTranslated(addr netip.Addr, inside []netip.Addr) error {
	for _, inner := range inside {
		if reason := special(inner); reason != "" && !g.opens(inner) {
			return denied(addr, inner.String()+", "+reason+", behind nat64_prefixes")
		}
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

// closed says that addr is reached only because policy opened it.
func (g guard) closed(addr netip.Addr) bool { return guard{nat64: g.nat64}.judge(addr.Unmap()) != nil }

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

// judgeName gives nil if a name may be resolved, else why not. A name in any
// spelling but the one that policy judged is a way around policy.
func judgeName(host string) error {
	if h, err := target.ParseHost(host); err != nil || h.Name != host {
		return fault.Newf(fault.AddressDenied, "host %q is denied: it is not in its one spelling", host)
	}
	cloud, known := metadataNames[host]
	if !known && strings.HasPrefix(host, "instance-data.") && strings.HasSuffix(host, ".internal") {
		cloud, known = metadataNames["instance-data"], true // AWS has one for each region
	}
	if known {
		return fault.Newf(fault.AddressDenied, "host %s is denied: %s, which nothing opens", host, cloud)
	}
	return nil
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
