package testpeer

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"time"
)

// RawConn is one accepted connection in the hands of a [Script].
//
// When the client has gone, or the test is over, every method that reads or
// writes ends the script on the spot, as t.FailNow ends a test: deferred calls
// run, nothing after it does. So scripts need no error handling, and
// `for { c.Write(block) }` stops by itself. Only Stall returns.
type RawConn struct {
	srv   *RawServer
	tcp   *net.TCPConn
	nc    net.Conn // tcp, or TLS over it
	br    *bufio.Reader
	index int
	at    int // which of srv.requests is being read
}

func newRawConn(s *RawServer, tcp *net.TCPConn, index int) *RawConn {
	c := &RawConn{srv: s, tcp: tcp, nc: tcp, index: index}
	if s.tls != nil {
		c.nc = tls.Server(tcp, s.tls)
	}
	c.br = bufio.NewReader(c.nc)
	return c
}

func (c *RawConn) serve() {
	defer func() {
		_ = c.nc.Close()
		_ = c.tcp.Close()
		c.srv.watch.update(func() {
			delete(c.srv.open, c)
			c.srv.ended++
		})
	}()
	if session, ok := c.nc.(*tls.Conn); ok && session.Handshake() != nil {
		return
	}
	c.srv.script(c)
}

// Index counts the server's connections from 0.
func (c *RawConn) Index() int { return c.index }

// Done is closed when the test is over. A script that waits for anything but
// this connection must wait for Done too.
func (c *RawConn) Done() <-chan struct{} { return c.srv.done }

// Write sends s as it is.
func (c *RawConn) Write(s string) { _, _ = (*connWriter)(c).Write([]byte(s)) }

// Writef sends formatted text.
func (c *RawConn) Writef(format string, args ...any) { c.Write(fmt.Sprintf(format, args...)) }

// Trickle sends data in pieces of n bytes with a pause after each.
func (c *RawConn) Trickle(data string, n int, pause time.Duration) {
	for len(data) > 0 {
		piece := min(n, len(data))
		c.Write(data[:piece])
		data = data[piece:]
		c.Pause(pause)
	}
}

// Pause waits, or ends the script when the test ends first.
func (c *RawConn) Pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.srv.done:
		runtime.Goexit()
	}
}

// ReadSome returns the bytes of the first read: something, not everything. It
// is not captured in Requests.
func (c *RawConn) ReadSome() []byte {
	_, err := c.br.Peek(1)
	c.check(err)
	b, err := c.br.Peek(c.br.Buffered())
	c.check(err)
	some := append([]byte(nil), b...)
	_, _ = c.br.Discard(len(b))
	return some
}

// Stall says nothing more and discards what comes, until the client hangs up or
// half-closes, or the test ends.
func (c *RawConn) Stall() { _, _ = io.Copy(io.Discard, c.br) }

// Freeze neither writes nor reads until the test ends, so that an upload runs
// into a full TCP window. It does not notice that the client hung up.
func (c *RawConn) Freeze() {
	<-c.srv.done
	runtime.Goexit()
}

// Reset ends the connection with a TCP RST: the client sees ECONNRESET once it
// has read what arrived before.
func (c *RawConn) Reset() {
	_ = c.tcp.SetLinger(0)
	_ = c.tcp.Close()
	runtime.Goexit()
}

// CloseWrite sends FIN (after close_notify in TLS); reading goes on.
func (c *RawConn) CloseWrite() {
	if session, ok := c.nc.(*tls.Conn); ok {
		c.check(session.CloseWrite())
	}
	c.check(c.tcp.CloseWrite())
}

// Close sends FIN and ends the script. What the client sent and nobody read
// turns the FIN into a RST, so read the request first, or Linger.
func (c *RawConn) Close() { runtime.Goexit() }

// Linger sends FIN and discards what comes until the client closes too: the
// polite end that lets the client read everything first.
func (c *RawConn) Linger() {
	c.CloseWrite()
	c.Stall()
	runtime.Goexit()
}

// check ends the script if the client has gone.
func (c *RawConn) check(err error) {
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		runtime.Goexit()
	}
}

// connWriter is a RawConn as an io.Writer, for the encoders of the standard library.
type connWriter RawConn

func (w *connWriter) Write(p []byte) (int, error) {
	c := (*RawConn)(w)
	n, err := c.nc.Write(p)
	c.srv.sent.Add(int64(n))
	c.check(err)
	return n, nil
}
