package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"
)

// Config is what all pools share.
type Config struct {
	// Resolver resolves names. Default: Go's own, and names with a dot are absolute.
	Resolver Resolver
	// RootCAs are trusted instead of the system's where policy names no bundle.
	RootCAs *x509.CertPool
	// Secrets gives what policy refers to. Default: nobody, and what needs a secret
	// fails.
	Secrets Secrets
	// Log hears of files that cannot be used. Default: nobody does.
	Log *slog.Logger
	// Own gives the addresses that this process listens on, as its listeners say
	// them: no call goes there, whatever policy opens. It is asked at each dial.
	// Default: none.
	Own func() []netip.AddrPort
	// NAT64 gives the prefixes by which the network's own translators reach IPv4 (RFC
	// 6052), each of 32, 40, 48, 56, 64 or 96 bits: an address behind one is judged
	// as the IPv4 address in it, which alone counts. It is asked at each dial.
	// Default: none.
	NAT64 func() []netip.Prefix
	// LoopToken is added to CDN-Loop (RFC 8586) in requests to addresses that policy
	// opened: see NewLoopToken. Default: nothing is.
	LoopToken string
	// Closed hears of each connection that was established and is closed now: its
	// place, as Connections has it, and how long it was open. It must neither block
	// nor ask pools for a transport. Default: nobody does.
	Closed func(upstream, address string, port uint16, lived time.Duration)

	census *census // of the Pools; nil: nobody counts
}

// pool is the connections of one upstream.
type pool struct {
	dialer    dialer
	counter   *counter
	routes    *routes // nil: no proxy
	tls       *material
	handshake time.Duration
	maxHead   int64
	transport atomic.Pointer[transport]
}

// clientTLS is what all TLS with upstreams has in common.
func clientTLS(cfg Config) *tls.Config {
	return &tls.Config{RootCAs: cfg.RootCAs, NextProtos: []string{"h2", "http/1.1"}}
}

func newPool(cfg Config, spec Spec, base *tls.Config) *pool {
	p := &pool{
		dialer: dialer{
			guard:    guard{spec.Connection.AllowAddresses, cfg.NAT64},
			own:      cfg.Own,
			resolver: cfg.Resolver,
			connect:  spec.Connect,
			dns:      spec.DNS,
			token:    cfg.LoopToken,
		},
		counter:   newCounter(cfg.census, spec.Name),
		tls:       newMaterial(cfg, spec.Connection.TLS, base),
		handshake: spec.TLSHandshake,
		maxHead:   spec.ResponseHeader,
	}
	p.routes = newRoutes(cfg, spec, p.dialer)
	p.transport.Store(p.newTransport())
	p.tls.changed = func() { p.transport.Swap(p.newTransport()).retire() }
	return p
}

func (p *pool) newTransport() *transport {
	return &transport{base: &http.Transport{
		DialContext:            p.counter.counted(p.dialPlain, false),
		DialTLSContext:         p.counter.counted(p.dialTLS, true),
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConns:           4096,
		MaxIdleConnsPerHost:    1024, // Go's default of 2 doubles the cost of a call
		IdleConnTimeout:        90 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: p.maxHead,
		ReadBufferSize:         16 << 10,
		WriteBufferSize:        16 << 10,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}}
}

// RoundTrip makes a call on the connections that are in use now: a rotated
// certificate replaces them.
func (p *pool) RoundTrip(req *http.Request) (*http.Response, error) {
	return p.transport.Load().RoundTrip(p.dialer.marked(req))
}

// retire closes idle connections, as soon as no call can be hurt by it.
func (p *pool) retire() {
	p.counter.retire()
	p.transport.Load().retire()
}

// roundTripper is the way in.
func (p *pool) roundTripper() http.RoundTripper {
	if r := p.routes; r != nil && (r.fixed.absolute() || r.http.absolute()) {
		return absolute{p}
	}
	return p
}

func (p *pool) dialPlain(ctx context.Context, _, hostport string) (net.Conn, error) {
	px, err := p.routes.choose("http", hostport)
	if err != nil {
		return nil, err
	}
	if px != nil {
		return p.via(ctx, px, hostport, px.absolute())
	}
	c, err := p.dialer.dial(ctx, hostport)
	if err != nil {
		return nil, err // not c: a nil *conn is no nil net.Conn
	}
	return c, nil
}

func (p *pool) dialTLS(ctx context.Context, _, hostport string) (net.Conn, error) {
	c, err := p.dialForTLS(ctx, hostport)
	if err != nil {
		return nil, err
	}
	tc, err := p.secure(ctx, c, hostport)
	if err != nil {
		return nil, err
	}
	return tc, nil
}

// dialForTLS opens what TLS with hostport is spoken on.
func (p *pool) dialForTLS(ctx context.Context, hostport string) (net.Conn, error) {
	px, err := p.routes.choose("https", hostport)
	if err != nil {
		return nil, err
	}
	if px != nil {
		return p.via(ctx, px, hostport, false)
	}
	c, err := p.dialer.dial(ctx, hostport)
	if err != nil {
		return nil, err
	}
	return c, nil
}
