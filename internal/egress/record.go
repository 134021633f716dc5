package egress

import (
	"context"
	"crypto/tls"
	"net/netip"
	"sync"
	"time"
)

// Record is what one try wants of a dial and learns from it. The transport may
// dial in the background for longer than the try lives, so reading goes through
// Dialed, which copies.
type Record struct {
	connect time.Duration

	mu     sync.Mutex
	dialed Dialed
	bare   bool // the upstream asked for a client certificate, and there is none
}

// Dialed is how a connection came about.
type Dialed struct {
	// DNS, Connect and TLS are the phases' durations; 0: it did not take place.
	// Through a proxy, DNS is its name's and the target's together, and Connect
	// lasts until the proxy has connected.
	DNS, Connect, TLS time.Duration
	// Address is the one that answered, else the first that was tried; through a
	// proxy it is the proxy's.
	Address string
	// Proxy is scheme://host:port of the proxy; empty: none.
	Proxy string
	// Target is the judged address that the proxy was asked to connect to; empty
	// without a proxy, and where the proxy resolves the name.
	Target string
}

type recordKey struct{}

// WithRecord makes dials under ctx note what they do in r, and take at most
// connect (0: the upstream's default).
func WithRecord(ctx context.Context, r *Record, connect time.Duration) context.Context {
	r.connect = connect
	return context.WithValue(ctx, recordKey{}, r)
}

func recordFrom(ctx context.Context) *Record {
	r, _ := ctx.Value(recordKey{}).(*Record)
	return r
}

// Dialed gives what is known so far.
func (r *Record) Dialed() Dialed {
	if r == nil {
		return Dialed{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dialed
}

// begin forgets the dial before: one try may need two.
func (r *Record) begin() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dialed, r.bare = Dialed{}, false
}

// through notes the proxy.
func (r *Record) through(proxy string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dialed.Proxy = proxy
}

// asking notes the address that a proxy is asked for.
func (r *Record) asking(target netip.AddrPort) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dialed.Target = target.String()
}

// tunnelled notes how long the way through the proxy took, names apart.
func (r *Record) tunnelled(took time.Duration) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dialed.Connect = max(took, 0)
}

func (r *Record) resolved(took time.Duration) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dialed.DNS += took
}

// connecting notes the first address before it is dialled: a try that a clock
// ends meanwhile reads the record before connected is called.
func (r *Record) connecting(first netip.AddrPort) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dialed.Address = first.String()
}

func (r *Record) connected(took time.Duration, c *conn) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dialed.Connect = took
	if c != nil {
		r.dialed.Address = c.RemoteAddr().String()
	}
}

// noCertificate is a tls.Config's GetClientCertificate where there is none.
func (r *Record) noCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bare = true
	}
	return &tls.Certificate{}, nil
}

func (r *Record) wentBare() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bare
}

func (r *Record) secured(took time.Duration) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dialed.TLS = took
}
