package egress

import (
	"context"
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
}

// Dialed is how a connection came about.
type Dialed struct {
	// DNS, Connect and TLS are the phases' durations; 0: it did not take place.
	DNS, Connect, TLS time.Duration
	// Address is the one that answered, else the first that was tried.
	Address string
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
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dialed
}

func (r *Record) resolved(took time.Duration) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dialed.DNS = took
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

func (r *Record) secured(took time.Duration) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dialed.TLS = took
}
