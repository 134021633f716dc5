package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// framed is a connection of the gRPC door, inside TLS if there is any. It watches
// the client's frames, and counts what was answered and not yet taken: grpc-go holds
// that without bound, for a client that opens no window.
type framed struct {
	net.Conn
	frames frames
	tally  *tally
	answer time.Duration

	credit  atomic.Int64 // bytes sent that frames has not counted yet
	untaken atomic.Int64 // bytes of answers that lie here
	moved   atomic.Int64 // when some were taken last, in Unix nanoseconds

	mu     sync.Mutex
	room   chan struct{} // closed when untaken falls below mostUntaken; nil: nobody waits
	clock  *time.Timer   // nil: nothing lies here
	closed bool
	// left are the calls that are over but for a short answer that lies here: those
	// that ended in this round, which lasts for Bounds.Answer, and in the one before.
	left   [2]int
	round  int // counted up; left[round%2] is its
	turned time.Time
}

const (
	// mostUntaken is how many bytes of answers may lie untaken on one connection
	// before more of them wait with their calls.
	mostUntaken = 16 << 20
	// largestControl is the largest frame, in bytes, that HTTP/2 sends of itself and
	// that answers no call: PING.
	largestControl = 17
)

func newFramed(conn net.Conn, b Bounds, t *tally) *framed {
	return &framed{Conn: conn, frames: newFrames(), tally: t, answer: b.Answer}
}

func (c *framed) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if sent := c.credit.Load(); sent >= idlePerByte {
		c.credit.Add(-sent)
		c.frames.idle.give(sent / idlePerByte)
	}
	if bad := c.frames.see(p[:n]); bad != nil {
		c.close(bad)
		return 0, bad
	}
	return n, err
}

func (c *framed) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.credit.Add(int64(n))
	if n > largestControl {
		c.moved.Store(time.Now().UnixNano())
	}
	return n, err
}

// close ends the connection, and says why.
func (c *framed) close(why error) {
	c.tally.note(func(log *slog.Logger, count int) {
		log.Warn("connections were closed for what their clients did", "why", why.Error(), "count", count, "last", c.RemoteAddr().String())
	})
	_ = c.Close()
}

// Close stops the clock.
func (c *framed) Close() error {
	c.mu.Lock()
	c.closed = true
	if c.clock != nil {
		c.clock.Stop()
	}
	c.mu.Unlock()
	return c.Conn.Close()
}

// owe notes n bytes of an answer that are on their way.
func (c *framed) owe(n int64) {
	if c.untaken.Add(n) != n {
		return
	}
	c.moved.Store(time.Now().UnixNano())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clock == nil && !c.closed {
		c.turned = time.Now()
		c.clock = time.AfterFunc(c.answer, c.due)
	}
}

// took notes that n bytes of them were sent, or that their call ended.
func (c *framed) took(n int64) {
	c.moved.Store(time.Now().UnixNano())
	left := c.untaken.Add(-n)
	if left >= mostUntaken || left+n < mostUntaken {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
}

var errUntaken = errors.New("nothing was taken of the answers")

// due closes a connection on which answers lie and nothing moves, or a short one lies
// for too long whatever else moves.
func (c *framed) due() {
	now := time.Now()
	since := now.Sub(time.Unix(0, c.moved.Load()))
	c.mu.Lock()
	stale := c.turn(now)
	switch {
	case c.closed:
	case c.untaken.Load() == 0:
		c.clock = nil
	case since < c.answer && !stale:
		c.clock.Reset(c.answer - since)
	default:
		c.mu.Unlock()
		c.close(errUntaken)
		return
	}
	c.mu.Unlock()
}

// turn begins a new round if one is over, and says that calls are left of the one
// before that.
func (c *framed) turn(now time.Time) (stale bool) {
	if now.Sub(c.turned) < c.answer {
		return false
	}
	stale = c.left[(c.round+1)%2] > 0
	c.round++
	c.turned = now
	return stale
}

// debt is what one call has sent and its client has not taken.
type debt struct {
	conn  *framed
	bytes atomic.Int64
	// over says that the handler is done, and round is then where conn has it in
	// left; below 0: nowhere. Both are conn.mu's.
	over  bool
	round int
}

// mostLeft is how many bytes of an answer are a short one: grpc-go takes as many
// without waiting for the client, so the call ends over them. What is longer, and
// comes slowly, is under the clock of its connection.
const mostLeft = 64 << 10

func (d *debt) owe(n int64) {
	d.bytes.Add(n)
	d.conn.owe(n)
}

// pay notes that n bytes were sent, or that nobody wants them any more.
func (d *debt) pay(n int64) {
	if d.bytes.Add(-n) == 0 {
		d.conn.mu.Lock()
		if d.over && d.round >= 0 {
			d.conn.left[d.round%2]--
			d.round = -1
		}
		d.conn.mu.Unlock()
	}
	d.conn.took(n)
}

// leave says that the handler is done.
func (d *debt) leave() {
	if d.bytes.Load() == 0 {
		return
	}
	c := d.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if owes := d.bytes.Load(); owes == 0 || owes > mostLeft {
		return
	}
	d.over, d.round = true, c.round
	c.left[c.round%2]++
}

// wait returns when there is room for another answer; an error: in time, there was
// none.
func (c *framed) wait(ctx context.Context) error {
	for c.untaken.Load() >= mostUntaken {
		c.mu.Lock()
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		if c.untaken.Load() < mostUntaken {
			return nil // it fell before there was a room to close
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// ownEnd is a connection's own address, by which its calls find it: the peer of a
// call is all that grpc-go hands them.
type ownEnd struct {
	net.Addr
	conn *framed
}

func (c *framed) LocalAddr() net.Addr { return ownEnd{c.Conn.LocalAddr(), c} }

// framedOf gives the connection of a call; nil: it came by another way.
func framedOf(ctx context.Context) *framed {
	if p, ok := peer.FromContext(ctx); ok {
		if end, ok := p.LocalAddr.(ownEnd); ok {
			return end.conn
		}
	}
	return nil
}

// doorCredentials begin the connections of the gRPC door.
type doorCredentials struct {
	// TransportCredentials are TLS; nil: the door speaks plaintext.
	credentials.TransportCredentials
	bounds Bounds
	places places
	tally  *tally
}

// ServerHandshake gives a watched connection.
func (d doorCredentials) ServerHandshake(raw net.Conn) (conn net.Conn, info credentials.AuthInfo, err error) {
	if l, ok := raw.(*link); ok {
		limitUnacked(l.Conn)
	}
	if d.TransportCredentials == nil {
		return newFramed(raw, d.bounds, d.tally), nil, nil
	}
	err = shake(raw, d.places, d.bounds.Handshake, func(c net.Conn) (err error) {
		conn, info, err = d.TransportCredentials.ServerHandshake(c)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return newFramed(conn, d.bounds, d.tally), info, nil
}

// Info says what is spoken.
func (d doorCredentials) Info() credentials.ProtocolInfo {
	if d.TransportCredentials == nil {
		return credentials.ProtocolInfo{SecurityProtocol: "insecure"}
	}
	return d.TransportCredentials.Info()
}

// Clone gives d, which never changes.
func (d doorCredentials) Clone() credentials.TransportCredentials { return d }
