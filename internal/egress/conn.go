package egress

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"
)

// conn counts what was written, so that a failed request can be told apart from
// one that never left, and tells who asks that it was closed.
type conn struct {
	net.Conn
	written atomic.Int64
	reading atomic.Bool // a Read waits for the peer
	closed  atomic.Bool
	onClose atomic.Pointer[func()]
	// via is the proxy that it goes to, as Record has it; empty: none.
	via    string
	opened bool // policy opened the address; false on the way through a proxy

	// at counts it; nil: nobody does, as it is not established yet.
	at    *count
	since time.Time    // it is established
	uses  atomic.Int64 // tries that hold it, and parted once it is closed
}

// parted is more than all uses that there can be.
const parted = 1 << 62

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.closed.Store(true)
	if f := c.onClose.Swap(nil); f != nil {
		(*f)()
	}
	if c.at != nil {
		if uses := c.uses.Or(parted); uses < parted {
			c.at.parts(uses > 0, time.Since(c.since))
		}
	}
	return err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// Use counts c among the connections in use (Connections), for a try that has got
// it. The try must Release it once, however it ends. What is no connection of a
// pool is not counted.
func Use(c net.Conn) {
	if own := beneath(c); own != nil && own.at != nil && own.uses.Add(1) == 1 {
		own.at.active.Add(1)
	}
}

// Release undoes Use, also of a connection that was closed meanwhile.
func Release(c net.Conn) {
	if own := beneath(c); own != nil && own.at != nil && own.uses.Add(-1) == 0 {
		own.at.active.Add(-1)
	}
}

// OnClose has f called, once, when c is closed from this side, as the transport
// does on any failure; nil: nothing is. Only one f is kept, so c, a connection of
// a pool, must carry one request at a time. f must not block.
func OnClose(c net.Conn, f func()) {
	own := beneath(c)
	switch {
	case own == nil:
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
	}
	if own := beneath(c); own != nil {
		return own.written.Load(), exclusive
	}
	return 0, false
}

// Via gives the proxy that c, a connection of a pool, goes through, as
// scheme://host:port; empty: none.
func Via(c net.Conn) string {
	if own := beneath(c); own != nil {
		return own.via
	}
	return ""
}

// beneath gives the TCP connection under c: there is one session of TLS on it,
// or two through an https proxy, or none.
func beneath(c net.Conn) *conn {
	for {
		switch layer := c.(type) {
		case *conn:
			return layer
		case *tls.Conn:
			c = layer.NetConn()
		default:
			return nil
		}
	}
}
