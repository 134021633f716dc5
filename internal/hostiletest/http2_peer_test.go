package hostiletest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// script2 serves one HTTP/2 connection. It ends when a write or a read fails.
type script2 func(c *conn2)

// conn2 is the server's side of a connection: frames, and nobody who keeps their
// order.
type conn2 struct {
	*http2.Framer
	nc    net.Conn
	done  <-chan struct{}
	block bytes.Buffer
	coder *hpack.Encoder
}

// gone ends a script whose client hung up.
type gone struct{ error }

func must(err error) {
	if err != nil {
		panic(gone{err})
	}
}

// serve2 serves the first connection with script, and the others as they should be.
func serve2(script script2) func(*testing.T) server {
	return listen2(func(c *conn2, index int64) {
		if index > 0 {
			good2(c)
			return
		}
		script(c)
	})
}

// every2 serves all connections with script.
func every2(script script2) func(*testing.T) server {
	return listen2(func(c *conn2, _ int64) { script(c) })
}

// unread2 serves all connections with a script that writes first of all. In TLS
// 1.2 that is on the heels of the handshake.
func unread2(script script2) func(*testing.T) server {
	return serveTLS(tls.VersionTLS12, func(c *conn2, _ int64) { script(c) })
}

func listen2(script func(*conn2, int64)) func(*testing.T) server {
	return serveTLS(tls.VersionTLS13, func(c *conn2, index int64) {
		_, err := io.ReadFull(c.nc, make([]byte, len(http2.ClientPreface)))
		must(err)
		script(c, index)
	})
}

func serveTLS(version uint16, script func(*conn2, int64)) func(*testing.T) server {
	return func(t *testing.T) server {
		ca := testpeer.NewCA(t)
		config := &tls.Config{Certificates: []tls.Certificate{ca.Issue(testpeer.CertOpts{})}, NextProtos: []string{"h2"}, MaxVersion: version}
		l, err := tls.Listen("tcp4", "127.0.0.1:0", config)
		if err != nil {
			t.Fatal(err)
		}
		var conns atomic.Int64
		var running sync.WaitGroup
		done := make(chan struct{})
		running.Go(func() {
			for {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				index := conns.Add(1) - 1
				running.Go(func() { play2(nc, done, func(c *conn2) { script(c, index) }) })
			}
		})
		t.Cleanup(func() {
			close(done)
			_ = l.Close()
			running.Wait()
		})
		return server{url: "https://" + l.Addr().String(), conns: func() int { return int(conns.Load()) }, roots: ca.Pool()}
	}
}

// play2 runs a script behind the handshake, until it or the test ends.
func play2(nc net.Conn, done <-chan struct{}, script script2) {
	ended := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-done:
		case <-ended:
		}
		_ = nc.Close()
	})
	defer watch.Wait()
	defer close(ended)
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(gone); !ok {
				panic(r)
			}
		}
	}()
	must(nc.(*tls.Conn).Handshake())
	c := &conn2{Framer: http2.NewFramer(nc, nc), nc: nc, done: done}
	c.coder = hpack.NewEncoder(&c.block)
	script(c)
}

// request waits for the head of the next request and gives its stream.
func (c *conn2) request() uint32 {
	for {
		f, err := c.ReadFrame()
		var stream http2.StreamError
		if errors.As(err, &stream) {
			continue
		}
		must(err)
		switch f := f.(type) {
		case *http2.HeadersFrame:
			return f.StreamID
		case *http2.SettingsFrame:
			if !f.IsAck() {
				must(c.WriteSettingsAck())
			}
		}
	}
}

// listen waits for the head of a request and says nothing meanwhile.
func (c *conn2) listen() {
	for {
		f, err := c.ReadFrame()
		must(err)
		if _, ok := f.(*http2.HeadersFrame); ok {
			return
		}
	}
}

// begin greets, and waits for the first request.
func (c *conn2) begin(settings ...http2.Setting) uint32 {
	must(c.WriteSettings(settings...))
	return c.request()
}

// fields codes pairs of names and values.
func (c *conn2) fields(pairs ...string) []byte {
	c.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		must(c.coder.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}))
	}
	return bytes.Clone(c.block.Bytes())
}

func (c *conn2) headers(stream uint32, end bool, pairs ...string) {
	must(c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.fields(pairs...), EndStream: end, EndHeaders: true}))
}

// ok answers as a good server does.
func (c *conn2) ok(stream uint32) {
	c.headers(stream, false, ":status", "200")
	must(c.WriteData(stream, true, []byte("ok")))
}

// stall discards what comes until the client hangs up.
func (c *conn2) stall() {
	_, _ = io.Copy(io.Discard, c.nc)
}

// freeze reads nothing, until the test is over.
func (c *conn2) freeze() { <-c.done }

func (c *conn2) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.done:
		panic(gone{net.ErrClosed})
	}
}

func good2(c *conn2) {
	for stream := c.begin(); ; stream = c.request() {
		c.ok(stream)
	}
}
