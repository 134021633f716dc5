package egress

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// proxy is one forward proxy, and how to reach and use it.
type proxy struct {
	scheme string // http, https, socks5 or socks5h
	at     endpoint
	// resolves: it is handed names. Else it is asked for judged addresses.
	resolves  bool
	username  string
	password  func() (secret.Value, error) // nil: none
	dialer    dialer
	tls       *material // of an https proxy
	handshake time.Duration
}

// String is the proxy for messages and the ledger: no user name, no password.
func (px *proxy) String() string { return px.scheme + "://" + px.at.String() }

// anyAddress guards the way to a proxy that an operator wrote down: it may be
// private or loopback. Metadata stays denied, as ever.
var anyAddress = guard{allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}

// newProxy makes the proxy of a policy. d is how its upstream is dialled.
func newProxy(cfg Config, c *policy.Proxy, d dialer, handshake time.Duration) *proxy {
	px := &proxy{
		scheme: c.Scheme, at: endpoint{c.Host, c.Port}, resolves: c.UnsafeResolves,
		username: c.Username, dialer: d, handshake: handshake,
	}
	px.dialer.guard = guard{anyAddress.allow, d.guard.nat64}
	if c.Password != "" {
		px.password = func() (secret.Value, error) {
			if cfg.Secrets == nil {
				return secret.Value{}, errors.New("no source of secrets is set up")
			}
			return cfg.Secrets.Get(string(c.Password))
		}
	}
	px.secureWith(cfg, c.CAFile)
	return px
}

// secureWith sets up TLS to an https proxy.
func (px *proxy) secureWith(cfg Config, caFile string) {
	if px.scheme == "https" {
		px.tls = newMaterial(cfg, policy.TLS{CAFile: caFile}, &tls.Config{
			RootCAs: cfg.RootCAs, NextProtos: []string{"http/1.1"},
		})
	}
}

// absolute says that plain-http requests go to the proxy in absolute form (RFC
// 9112 section 3.2.2), not through a tunnel.
func (px *proxy) absolute() bool {
	return px != nil && px.resolves && (px.scheme == "http" || px.scheme == "https")
}

// credentials are the user name and password to show; ok: there are any.
func (px *proxy) credentials() (username, password string, ok bool, err error) {
	if px.password == nil {
		return px.username, "", px.username != "", nil
	}
	v, err := px.password()
	if err != nil {
		return "", "", false, fault.Wrap(fault.ProxyAuthRequired, err, "the password of the proxy "+px.String()+" cannot be read")
	}
	return px.username, v.Reveal(), true, nil
}

// authorization is the Proxy-Authorization field's value (RFC 7617), or "".
func (px *proxy) authorization() (string, error) {
	username, password, ok, err := px.credentials()
	if err != nil || !ok {
		return "", err
	}
	if strings.Contains(username, ":") {
		return "", fault.New(fault.ProxyAuthRequired, "the user name for the proxy "+px.String()+" has a colon, which basic authentication cannot carry (RFC 7617 section 2)")
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password)), nil
}

// reach opens a connection to the proxy itself, TLS included.
func (px *proxy) reach(ctx context.Context, rec *Record, limit time.Duration) (net.Conn, error) {
	c, err := px.dialer.reach(ctx, rec, px.at, limit)
	if err != nil {
		return nil, px.unreachable(err)
	}
	if own := beneath(c); own != nil {
		own.via = px.String()
	}
	if px.tls == nil {
		return c, nil
	}
	cfg, err := px.tls.config(px.at.host)
	if err != nil {
		_ = c.Close()
		return nil, px.insecure(err)
	}
	tc, err := handshake(ctx, c, cfg, px.at.host, min(px.handshake, limit))
	if err != nil {
		return nil, px.insecure(err)
	}
	return tc, nil
}

// unreachable tells a failure to reach the proxy from one to reach the upstream.
func (px *proxy) unreachable(err error) error {
	f := fault.From(err)
	switch f.Kind {
	case fault.AddressDenied:
		return fault.Wrap(fault.AddressDenied, errors.Unwrap(f), "the proxy "+px.String()+": "+f.Message)
	case fault.DNSError, fault.DNSTimeout, fault.ConnectionRefused, fault.ConnectionReset, fault.HostUnreachable, fault.ConnectTimeout:
		return fault.Wrap(fault.ProxyUnreachable, errors.Unwrap(f), "the proxy "+px.String()+" cannot be reached: "+f.Message)
	}
	return err
}

// insecure is unreachable for TLS to the proxy.
func (px *proxy) insecure(err error) error {
	f := fault.From(err)
	switch f.Kind {
	case fault.TLSTimeout, fault.TLSCertExpired, fault.TLSCertName, fault.TLSCertUntrusted, fault.TLSHandshake:
		return fault.Wrap(fault.ProxyTLS, errors.Unwrap(f), "no TLS session with the proxy "+px.String()+": "+f.Message)
	}
	return err
}
