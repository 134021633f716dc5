package policy

import (
	"net/netip"
	"strings"
)

// Connection is how an upstream is reached: everything that shapes a connection
// beside its address, and so what its pool is keyed by.
type Connection struct {
	// AllowAddresses may be dialled although they are special.
	AllowAddresses []netip.Prefix
	// Proxy is the forward proxy; nil: none.
	Proxy *Proxy
	// TLS is what is asked of the upstream's TLS.
	TLS TLS
}

// Proxy is a forward proxy.
type Proxy struct {
	// Scheme is `http`, `https`, `socks5` or `socks5h`; empty with FromEnvironment.
	Scheme string
	// Host and Port are where it listens; Host is a canonical name or address.
	Host string
	Port uint16
	// Username and Password are what it asks for; empty: nothing.
	Username string
	Password SecretRef
	// NoProxy are the hosts that are reached without it.
	NoProxy []NoProxy
	// FromEnvironment takes HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.
	FromEnvironment bool
	// UnsafeResolves hands the proxy names instead of judged addresses; plain http
	// then goes to an HTTP proxy in absolute form.
	UnsafeResolves bool
	// CAFile is what the certificate of an https proxy is judged by; empty: the
	// system's authorities.
	CAFile string
}

// NoProxy is one entry of a no-proxy list: a host pattern or a range.
type NoProxy struct {
	// Prefix, if valid, is a range of addresses.
	Prefix netip.Prefix
	// Host is an exact name, or with Suffix the part behind `*.`; empty with
	// Suffix: any host.
	Host   string
	Suffix bool
	// Port is 0 for any.
	Port uint16
}

// Matches says whether a host is reached without the proxy. A range means
// addresses that stand in the URL; names are not resolved for it.
func (n NoProxy) Matches(host string, port uint16) bool {
	if n.Port != 0 && n.Port != port {
		return false
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case n.Prefix.IsValid():
		return err == nil && n.Prefix.Contains(addr.Unmap())
	case !n.Suffix:
		return n.Host == host
	case n.Host == "":
		return true
	default:
		return err != nil && strings.HasSuffix(host, "."+n.Host)
	}
}

// TLS is what is asked of an upstream's TLS.
type TLS struct {
	// CAFile is a PEM bundle trusted instead of the system's; empty: the system's.
	CAFile string
	// CertFile is the client certificate chain as PEM; empty: none.
	CertFile string
	// Key is its private key as PEM.
	Key SecretRef
	// MinVersion is the least version, as crypto/tls numbers them.
	MinVersion uint16
	// ServerName is asked for (SNI) and verified instead of the host.
	ServerName string
	// Pins are SHA-256 digests of SubjectPublicKeyInfo (RFC 7469 section 2.4), one
	// of which the verified chain must hold; empty: any.
	Pins [][32]byte
	// SkipVerify accepts any certificate; Pins hold all the same, for the leaf.
	SkipVerify bool
}

// SecretRef names a secret: `env:NAME` or `file:/absolute/path`. It is a name
// and no secret; internal/secret reads the value.
type SecretRef string
