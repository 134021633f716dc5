package egress

import (
	"net"
	"net/netip"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// own knows where this process listens, so that no call comes back to it, whatever
// policy opens. nil: nowhere.
type own func() []netip.AddrPort

// Listening gives the addresses of listeners, for Config.Own.
func Listening(listeners ...net.Listener) func() []netip.AddrPort {
	var all []netip.AddrPort
	for _, l := range listeners {
		if at, ok := l.Addr().(*net.TCPAddr); ok {
			all = append(all, at.AddrPort())
		}
	}
	return func() []netip.AddrPort { return all }
}

// judge gives why at, which g lets pass, is not dialled.
func (o own) judge(g guard, at netip.AddrPort) error {
	if o == nil {
		return nil
	}
	candidates, _ := unwrap(at.Addr())
	translated, _, err := g.translated(at.Addr())
	if err != nil {
		return err
	}
	for _, addr := range append(append(candidates, translated...), at.Addr().Unmap()) {
		if o.has(netip.AddrPortFrom(addr, at.Port())) {
			return fault.Newf(fault.AddressDenied,
				"address %s is denied: this service listens there itself, and a call through it to it goes round in circles; nothing opens that", at)
		}
	}
	return nil
}

// judgeAll is judge over every address of a name.
func (o own) judgeAll(g guard, addrs []netip.Addr, port uint16) error {
	for _, addr := range addrs {
		if err := o.judge(g, netip.AddrPortFrom(addr, port)); err != nil {
			return err
		}
	}
	return nil
}

// has says that a connection to at would arrive at a listener of this process.
func (o own) has(at netip.AddrPort) bool {
	for _, l := range o() {
		if l.Port() != at.Port() {
			continue
		}
		addr := l.Addr().Unmap().WithZone("")
		switch {
		case addr == at.Addr():
			return true
		case at.Addr().IsUnspecified(): // means this machine to a dial
			return true
		case addr.IsUnspecified() && local(at.Addr()):
			return true
		}
	}
	return false
}

// local says that addr is one of this machine. In doubt it is.
func local(addr netip.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap().WithZone("") == addr {
			return true
		}
	}
	return false
}
