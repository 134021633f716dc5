package egress

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// The bytes of SOCKS 5 (RFC 1928) and of its password authentication (RFC 1929).
const (
	socksVersion     = 5
	socksNoAuth      = 0
	socksPassword    = 2
	socksNoMethod    = 0xff
	socksConnect     = 1
	socksIPv4        = 1
	socksName        = 3
	socksIPv6        = 4
	passwordVersion  = 1
	maxPasswordField = 255
)

// greet agrees on how to authenticate, and does so.
func (px *proxy) greet(c net.Conn) error {
	username, password, known, err := px.credentials()
	if err != nil {
		return err
	}
	hello := []byte{socksVersion, 1, socksNoAuth}
	if known {
		if n := len(username); n == 0 || n > maxPasswordField || len(password) > maxPasswordField {
			return fault.Newf(fault.ProxyAuthRequired, "the user name or the password for the proxy %s does not have the 1 to %d bytes that SOCKS can carry (RFC 1929)", px, maxPasswordField)
		}
		hello = []byte{socksVersion, 2, socksNoAuth, socksPassword}
	}
	if _, err := c.Write(hello); err != nil {
		return err
	}
	var answer [2]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return err
	}
	switch {
	case answer[0] != socksVersion:
		return px.notSOCKS()
	case answer[1] == socksNoAuth:
		return nil
	case answer[1] == socksPassword && known:
		return px.authenticate(c, username, password)
	case answer[1] == socksNoMethod && known:
		return fault.New(fault.ProxyAuthRequired, "the proxy "+px.String()+" takes neither no authentication nor a user name and password")
	case answer[1] == socksNoMethod:
		return fault.New(fault.ProxyAuthRequired, "the proxy "+px.String()+" wants a user name and a password, and none are set for it")
	default:
		return px.notSOCKS()
	}
}

func (px *proxy) authenticate(c net.Conn, username, password string) error {
	b := []byte{passwordVersion, byte(len(username))}
	b = append(b, username...)
	b = append(b, byte(len(password)))
	b = append(b, password...)
	if _, err := c.Write(b); err != nil {
		return err
	}
	var answer [2]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return err
	}
	if answer[1] != 0 {
		return fault.New(fault.ProxyAuthRequired, "the proxy "+px.String()+" does not accept the user name and password that it was shown")
	}
	return nil
}

// ask has the proxy connect to a destination.
func (px *proxy) ask(c net.Conn, to destination) error {
	b := []byte{socksVersion, socksConnect, 0}
	switch addr := to.addr.Unmap(); {
	case addr.Is4():
		b = append(append(b, socksIPv4), addr.AsSlice()...)
	case addr.Is6():
		b = append(append(b, socksIPv6), addr.AsSlice()...)
	case len(to.name) > maxPasswordField:
		return fault.Newf(fault.ProxyDenied, "the name %s is longer than the %d bytes that SOCKS can carry", to.name, maxPasswordField)
	default:
		b = append(append(b, socksName, byte(len(to.name))), to.name...)
	}
	if _, err := c.Write(binary.BigEndian.AppendUint16(b, to.port)); err != nil {
		return err
	}
	var answer [4]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return err
	}
	if answer[0] != socksVersion {
		return px.notSOCKS()
	}
	if answer[1] != 0 {
		return px.socksRefused(answer[1], to)
	}
	return px.skipBound(c, answer[3])
}

// skipBound reads over the address that the proxy connects from.
func (px *proxy) skipBound(c net.Conn, form byte) error {
	var n int64
	switch form {
	case socksIPv4:
		n = int64(netip.IPv4Unspecified().BitLen() / 8)
	case socksIPv6:
		n = int64(netip.IPv6Unspecified().BitLen() / 8)
	case socksName:
		var length [1]byte
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return err
		}
		n = int64(length[0])
	default:
		return px.notSOCKS()
	}
	_, err := io.CopyN(io.Discard, c, n+2) // and the port
	return err
}

func (px *proxy) notSOCKS() error {
	return fault.New(fault.ProxyBadResponse, "the proxy "+px.String()+" does not speak SOCKS 5; is it an HTTP proxy?")
}

// socksReplies are the failures of RFC 1928 section 6.
var socksReplies = map[byte]struct {
	kind fault.Kind
	text string
}{
	1: {fault.ProxyDenied, "general failure"},
	2: {fault.ProxyDenied, "its rules do not allow it"},
	3: {fault.HostUnreachable, "network unreachable"},
	4: {fault.HostUnreachable, "host unreachable"},
	5: {fault.ConnectionRefused, "connection refused"},
	6: {fault.ConnectTimeout, "time to live expired"},
	7: {fault.ProxyDenied, "it does not know CONNECT"},
	8: {fault.HostUnreachable, "it does not know this type of address"},
}

func (px *proxy) socksRefused(reply byte, to destination) error {
	r, known := socksReplies[reply]
	switch {
	case !known:
		return fault.Newf(fault.ProxyBadResponse, "the proxy %s refuses to connect to %s with a SOCKS reply that there is not: %d", px, to, reply)
	case r.kind == fault.ProxyDenied:
		return fault.Newf(fault.ProxyDenied, "the proxy %s refuses to connect to %s: %s", px, to, r.text)
	default:
		return fault.Newf(r.kind, "the proxy %s says that it cannot reach %s: %s", px, to, r.text)
	}
}
