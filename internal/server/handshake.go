package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

// places are what TLS handshakes compute in, over both doors. A handshake holds one
// only while it computes: a client that keeps it waiting keeps nobody else waiting.
type places chan struct{}

// newPlaces leaves half of the CPUs to calls, whatever strangers begin.
func newPlaces() places { return make(places, max(1, runtime.GOMAXPROCS(0)/2)) }

// computing is a connection during its handshake. Only the handshake's goroutine
// uses it until end.
type computing struct {
	net.Conn
	places places
	until  time.Time
	held   bool
	over   bool
}

// shake runs a handshake of at most `within`.
func shake(conn net.Conn, p places, within time.Duration, handshake func(net.Conn) error) error {
	c := &computing{Conn: conn, places: p, until: time.Now().Add(within)}
	defer func() {
		c.release()
		c.over = true
	}()
	return handshake(c)
}

func (c *computing) Read(p []byte) (int, error) {
	if c.over {
		return c.Conn.Read(p)
	}
	c.release()
	n, err := c.Conn.Read(p)
	if err != nil {
		return n, err
	}
	return n, c.acquire()
}

func (c *computing) Write(p []byte) (int, error) {
	if c.over {
		return c.Conn.Write(p)
	}
	c.release()
	n, err := c.Conn.Write(p)
	if err != nil {
		return n, err
	}
	return n, c.acquire()
}

func (c *computing) acquire() error {
	timer := time.NewTimer(time.Until(c.until))
	defer timer.Stop()
	select {
	case c.places <- struct{}{}:
		c.held = true
		return nil
	case <-timer.C:
		return os.ErrDeadlineExceeded
	}
}

func (c *computing) release() {
	if c.held {
		c.held = false
		<-c.places
	}
}

// secured hands out TLS connections whose handshake is done: net/http would begin
// as many as come. Each that is under way has a goroutine, and a place of the
// listener beneath, which bounds them.
type secured struct {
	net.Listener
	config *tls.Config
	places places
	within time.Duration
	log    *slog.Logger

	ready  chan *tls.Conn
	broken chan error // why the socket accepts no more
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func secure(l net.Listener, config *tls.Config, p places, within time.Duration, log *slog.Logger) *secured {
	s := &secured{
		Listener: l, config: config, places: p, within: within, log: log,
		ready: make(chan *tls.Conn), broken: make(chan error, 1),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.run)
	return s
}

// Accept gives the next connection that speaks TLS.
func (s *secured) Accept() (net.Conn, error) {
	select {
	case conn := <-s.ready:
		return conn, nil
	case err := <-s.broken:
		s.broken <- err
		return nil, err
	}
}

// Close also ends the handshakes under way.
func (s *secured) Close() error {
	s.cancel()
	err := s.Listener.Close()
	s.wg.Wait()
	return err
}

// run accepts. It waits after a failure that passes, as net/http does.
func (s *secured) run() {
	const longest = time.Second
	for delay := 5 * time.Millisecond; ; {
		conn, err := s.Listener.Accept()
		if err == nil {
			delay = 5 * time.Millisecond
			s.wg.Go(func() { s.shake(conn) })
			continue
		}
		var passing interface{ Temporary() bool }
		if !errors.As(err, &passing) || !passing.Temporary() {
			s.broken <- err
			return
		}
		s.log.Debug("a door cannot accept", "error", err.Error(), "again_in", delay.String())
		select {
		case <-time.After(delay):
			delay = min(2*delay, longest)
		case <-s.ctx.Done():
		}
	}
}

func (s *secured) shake(raw net.Conn) {
	ctx, cancel := context.WithTimeout(s.ctx, s.within)
	defer cancel()
	var conn *tls.Conn
	err := shake(raw, s.places, s.within, func(c net.Conn) error {
		conn = tls.Server(c, s.config)
		return conn.HandshakeContext(ctx) // closes c when its time is over
	})
	if err != nil {
		var header tls.RecordHeaderError
		if errors.As(err, &header) && header.Conn != nil && looksLikeHTTP(header.RecordHeader) {
			sayPlainly(raw)
		}
		_ = raw.Close()
		s.log.Debug("no TLS with a client", "peer", raw.RemoteAddr().String(), "error", err.Error())
		return
	}
	select {
	case s.ready <- conn:
	case <-s.ctx.Done():
		_ = raw.Close()
	}
}

// looksLikeHTTP says that a client takes the door for one in plaintext.
func looksLikeHTTP(head [5]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH":
		return true
	}
	return false
}

// sayPlainly answers it, and reads a little of what it still sends: closing over that
// would be a reset, on which the answer may be thrown away.
func sayPlainly(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(lingers))
	_, _ = io.WriteString(conn, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nThis door speaks TLS: call it by https.\n")
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, conn, maxHeader)
	}
}
