package testpeer

import (
	"bytes"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Script serves one connection. It runs on a goroutine of its own, so it must
// not call t.Fatal; the connection is closed when it returns.
type Script func(c *RawConn)

// RawServer serves every accepted connection with one script. Its Await methods
// fail the test, so they belong on the test's own goroutine.
type RawServer struct {
	// URL is the base without a final slash: http://127.0.0.1:port, or https
	// where the server speaks or pretends TLS.
	URL string
	// Addr is host:port.
	Addr string

	t      testing.TB
	l      *net.TCPListener
	tls    *tls.Config
	script Script
	done   chan struct{}
	wg     sync.WaitGroup
	sent   atomic.Int64

	watch    watch
	closed   bool
	conns    int
	ended    int
	open     map[*RawConn]struct{}
	requests [][]byte
}

// Raw serves each accepted connection with script.
func Raw(t testing.TB, script Script) *RawServer {
	t.Helper()
	return startRaw(t, "http", nil, script)
}

// RawTLS is Raw inside TLS. The script starts after the handshake and sees the
// plain bytes; [RawConn.Reset] resets the TCP connection beneath.
func RawTLS(t testing.TB, cert tls.Certificate, script Script) *RawServer {
	t.Helper()
	config := &tls.Config{
		Certificates: []tls.Certificate{cert},
		NextProtos:   []string{"http/1.1"},
	}
	return startRaw(t, "https", config, script)
}

func startRaw(t testing.TB, scheme string, config *tls.Config, script Script) *RawServer {
	t.Helper()
	l := listen(t)
	s := &RawServer{
		URL: scheme + "://" + l.Addr().String(), Addr: l.Addr().String(),
		t: t, l: l, tls: config, script: script,
		done: make(chan struct{}), open: map[*RawConn]struct{}{},
	}
	s.wg.Go(s.accept)
	t.Cleanup(s.close)
	return s
}

// Conns is how many connections were accepted so far.
func (s *RawServer) Conns() (n int) {
	s.watch.read(func() { n = s.conns })
	return n
}

// Open is how many accepted connections are still being served.
func (s *RawServer) Open() (n int) {
	s.watch.read(func() { n = len(s.open) })
	return n
}

// Sent is how many bytes the scripts handed to the kernel, over all
// connections (before TLS).
func (s *RawServer) Sent() int64 { return s.sent.Load() }

// Requests are the requests that scripts have read so far, in order of their
// heads' arrival: head and body verbatim, chunk framing and trailers included.
// A torn body is there as far as it came; a torn head is not.
func (s *RawServer) Requests() (all [][]byte) {
	s.watch.read(func() {
		for _, r := range s.requests {
			all = append(all, bytes.Clone(r))
		}
	})
	return all
}

// AwaitRequests blocks until n request heads were read, or fails the test.
func (s *RawServer) AwaitRequests(n int) {
	s.t.Helper()
	if !s.watch.settled(func() bool { return len(s.requests) >= n }) {
		s.t.Fatalf("testpeer: %d requests did not arrive within %v: got %d", n, patience, len(s.Requests()))
	}
}

// AwaitEnded blocks until n connections were served to their end (the script
// returned, or the client hung up on it), or fails the test.
func (s *RawServer) AwaitEnded(n int) {
	s.t.Helper()
	if !s.watch.settled(func() bool { return s.ended >= n }) {
		s.t.Fatalf("testpeer: %d connections did not end within %v; %d are open", n, patience, s.Open())
	}
}

func (s *RawServer) accept() {
	for {
		tcp, err := s.l.AcceptTCP()
		if err != nil {
			select {
			case <-s.done:
				return
			case <-time.After(time.Millisecond): // out of descriptors, or a client that was gone first
				continue
			}
		}
		var c *RawConn
		s.watch.update(func() {
			if s.closed {
				return
			}
			c = newRawConn(s, tcp, s.conns)
			s.conns++
			s.open[c] = struct{}{}
		})
		if c == nil {
			_ = tcp.Close()
			return
		}
		s.wg.Go(c.serve)
	}
}

// close hangs up on everyone and waits for the scripts to notice.
func (s *RawServer) close() {
	close(s.done)
	_ = s.l.Close()
	s.watch.update(func() {
		s.closed = true
		for c := range s.open {
			_ = c.tcp.Close()
		}
	})
	if !s.watch.settled(func() bool { return len(s.open) == 0 }) {
		s.t.Errorf("testpeer: %d scripts still run %v after their server was closed; "+
			"a script that waits for something else must watch RawConn.Done too", s.Open(), patience)
		return
	}
	s.wg.Wait()
}
