package server

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// listener is a door's socket with a bound of the connections that are open. One
// over it is accepted and closed: left in the kernel's queue it would keep its
// client waiting, and good ones behind it.
type listener struct {
	net.Listener
	bounds Bounds
	tally  *tally

	mu        sync.Mutex
	open      int
	addresses map[netip.Prefix]int
}

func listen(l net.Listener, b Bounds, log *slog.Logger) *listener {
	return &listener{Listener: l, bounds: b, tally: &tally{log: log}, addresses: map[netip.Prefix]int{}}
}

// Accept gives connections that have a place. Its errors are the socket's; what
// serves backs off from those that pass, such as the end of open files.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := sourceOf(conn.RemoteAddr())
		if l.enter(from) {
			return &link{Conn: conn, answer: l.bounds.Answer, leave: func() { l.leave(from) }}, nil
		}
		_ = conn.Close()
		l.tally.note(func(log *slog.Logger, count int) {
			log.Warn("connections were refused: too many are open", "door", l.Addr().String(), "count", count, "last", from.String())
		})
	}
}

func (l *listener) enter(from netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.bounds.Connections || l.bounds.PerAddress > 0 && l.addresses[from] >= l.bounds.PerAddress {
		return false
	}
	l.open++
	l.addresses[from]++
	return true
}

func (l *listener) leave(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.addresses[from]--; l.addresses[from] == 0 {
		delete(l.addresses, from)
	}
}

// sourceOf is whom an address belongs to: of IPv6 everyone has a /64.
func sourceOf(addr net.Addr) netip.Prefix {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap()
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.WithZone("").Prefix(bits)
	return p
}

// link is one accepted connection. A Write on it ends when its client has taken
// nothing for the time of Bounds.Answer.
type link struct {
	net.Conn
	answer time.Duration
	leave  func()
	once   sync.Once
	armed  atomic.Int64 // when the clock was set, in Unix nanoseconds
	fixed  atomic.Bool  // somebody else set a deadline, which holds
}

// Close gives the place back.
func (l *link) Close() error {
	err := l.Conn.Close()
	l.once.Do(l.leave)
	return err
}

// CloseWrite tells the client that nothing more comes.
func (l *link) CloseWrite() error {
	if half, ok := l.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Write sends p; each part that the client takes starts the clock anew.
func (l *link) Write(p []byte) (sent int, err error) {
	for {
		l.arm()
		n, err := l.Conn.Write(p[sent:])
		sent += n
		timeout, ok := err.(net.Error)
		if err == nil || n == 0 || l.fixed.Load() || !ok || !timeout.Timeout() {
			return sent, err
		}
		l.armed.Store(0)
	}
}

// arm sets the clock, unless most of its time is left.
func (l *link) arm() {
	now := time.Now()
	if l.fixed.Load() || now.UnixNano()-l.armed.Load() < int64(l.answer/4) {
		return
	}
	l.armed.Store(now.UnixNano())
	_ = l.Conn.SetWriteDeadline(now.Add(l.answer))
}

// SetWriteDeadline takes the clock's place until it is called with no time.
func (l *link) SetWriteDeadline(t time.Time) error {
	l.fixed.Store(!t.IsZero())
	l.armed.Store(0)
	return l.Conn.SetWriteDeadline(t)
}

// SetDeadline is SetWriteDeadline for both ways.
func (l *link) SetDeadline(t time.Time) error {
	l.fixed.Store(!t.IsZero())
	l.armed.Store(0)
	return l.Conn.SetDeadline(t)
}
