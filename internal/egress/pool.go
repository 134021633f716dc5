package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// Config is what all pools share.
type Config struct {
	// Resolver resolves names. Default: Go's own resolver, which unlike libc's
	// reads `0x7f.1` as no address.
	Resolver Resolver
	// RootCAs are trusted instead of the system's.
	RootCAs *x509.CertPool
}

// Pools holds a connection pool for each upstream. Pools outlive snapshots: an
// upstream whose connections would be made the same way keeps them. Safe for
// concurrent use; Close when done.
type Pools struct {
	cfg Config

	mu    sync.Mutex
	pools map[string]*pool
}

// NewPools makes an empty set of pools.
func NewPools(cfg Config) *Pools {
	if cfg.Resolver == nil {
		cfg.Resolver = &net.Resolver{PreferGo: true}
	}
	return &Pools{cfg: cfg, pools: map[string]*pool{}}
}

// For gives the transport of up. It follows no redirect, keeps no cookie, reads
// no environment, undoes no coding and adds no header that net/http can be told
// to leave out.
func (p *Pools) For(up *policy.Upstream) http.RoundTripper {
	key := poolKey(up)
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.pools[key]; known != nil {
		return known.transport
	}
	made := newPool(p.cfg, up)
	p.pools[key] = made
	return made.transport
}

// Close closes idle connections; those in use close when their calls end.
func (p *Pools) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pool := range p.pools {
		pool.transport.CloseIdleConnections()
	}
}

// poolKey is everything that shapes a connection.
func poolKey(up *policy.Upstream) string {
	return fmt.Sprintf("%s|%v|%s|%s|%d", up.Name, up.AllowAddresses, up.Timeouts.Connect.Default, up.Timeouts.TLS, up.Sizes.ResponseHeader)
}

// pool is the connections of one upstream.
type pool struct {
	dialer    dialer
	tls       *tls.Config
	handshake time.Duration
	transport *http.Transport
}

func newPool(cfg Config, up *policy.Upstream) *pool {
	p := &pool{
		dialer: dialer{
			guard:    guard{allow: up.AllowAddresses},
			resolver: cfg.Resolver,
			connect:  up.Timeouts.Connect.Default,
		},
		tls: &tls.Config{
			RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12,
			NextProtos:         []string{"h2", "http/1.1"},
			ClientSessionCache: tls.NewLRUClientSessionCache(64),
		},
		handshake: up.Timeouts.TLS,
	}
	p.transport = &http.Transport{
		DialContext:            p.dialPlain,
		DialTLSContext:         p.dialTLS,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConns:           4096,
		MaxIdleConnsPerHost:    1024, // Go's default of 2 doubles the cost of a call
		IdleConnTimeout:        90 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: up.Sizes.ResponseHeader,
		ReadBufferSize:         16 << 10,
		WriteBufferSize:        16 << 10,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
	return p
}

func (p *pool) dialPlain(ctx context.Context, _, hostport string) (net.Conn, error) {
	c, err := p.dialer.dial(ctx, hostport)
	if err != nil {
		return nil, err // not c: a nil *conn is no nil net.Conn
	}
	return c, nil
}

func (p *pool) dialTLS(ctx context.Context, _, hostport string) (net.Conn, error) {
	c, err := p.dialer.dial(ctx, hostport)
	if err != nil {
		return nil, err
	}
	tc, err := p.secure(ctx, c, hostport)
	if err != nil {
		return nil, err
	}
	return tc, nil
}

// OnClose has f called, once, when c is closed from this side, as the transport
// does on any failure; nil: nothing is. Only one f is kept, so c, a connection of
// a pool, must carry one request at a time. f must not block.
func OnClose(c net.Conn, f func()) {
	if tc, ok := c.(*tls.Conn); ok {
		c = tc.NetConn()
	}
	own, ok := c.(*conn)
	switch {
	case !ok:
	case f == nil:
		own.onClose.Store(nil)
	default:
		own.onClose.Store(&f)
	}
}

// Written gives how many bytes have gone out on c, a connection of a pool, and
// whether c carries one request at a time (HTTP/1.1), so that the number says
// something about that request.
func Written(c net.Conn) (n int64, exclusive bool) {
	exclusive = true
	if tc, ok := c.(*tls.Conn); ok {
		exclusive = tc.ConnectionState().NegotiatedProtocol != "h2"
		c = tc.NetConn()
	}
	if own, ok := c.(*conn); ok {
		return own.written.Load(), exclusive
	}
	return 0, false
}
