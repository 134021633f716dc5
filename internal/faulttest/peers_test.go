package faulttest

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// raw is a peer that runs scripts, one for each connection, the last one for all
// further ones.
func raw(scripts ...testpeer.Script) func(*testing.T, *world) peer {
	return func(t *testing.T, _ *world) peer {
		s := testpeer.Raw(t, testpeer.InTurn(scripts...))
		return peer{s.URL + "/", func() int { return len(s.Requests()) }}
	}
}

// answers is a peer with an answer for each request, the last one for all further
// ones.
func answers(responses ...string) func(*testing.T, *world) peer {
	return raw(testpeer.Answer(responses...))
}

// overTLS is a peer whose certificate is made by issue.
func overTLS(issue func(*world) tls.Certificate) func(*testing.T, *world) peer {
	return func(t *testing.T, w *world) peer {
		s := testpeer.RawTLS(t, issue(w), testpeer.OK)
		return peer{s.URL + "/", func() int { return len(s.Requests()) }}
	}
}

// connects counts connections where no request ever comes.
func connects(make func(testing.TB) *testpeer.RawServer) func(*testing.T, *world) peer {
	return func(t *testing.T, _ *world) peer {
		s := make(t)
		return peer{s.URL + "/", s.Conns}
	}
}

// uncounted is a peer of which it is a race what arrives.
func uncounted(made func(*testing.T, *world) peer) func(*testing.T, *world) peer {
	return func(t *testing.T, w *world) peer { return peer{url: made(t, w).url} }
}

// frames is one thing that an HTTP/2 peer does with a request.
type frames func(f *http2.Framer, stream uint32) error

// rst refuses the stream.
func rst(code http2.ErrCode) frames {
	return func(f *http2.Framer, stream uint32) error { return f.WriteRSTStream(stream, code) }
}

// goAway ends the connection; last is the last stream that was taken.
func goAway(last uint32, code http2.ErrCode) frames {
	return func(f *http2.Framer, stream uint32) error {
		if err := f.WriteGoAway(last, code, nil); err != nil {
			return err
		}
		return io.EOF
	}
}

// status answers without a body. HPACK has the common ones in its static table
// (RFC 7541 appendix A).
func status(index byte) frames {
	return func(f *http2.Framer, stream uint32) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{0x80 | index}, EndHeaders: true, EndStream: true})
	}
}

const (
	indexOf200 = 8
	indexOf500 = 14
)

// cut begins a body and breaks it off.
func cut(f *http2.Framer, stream uint32) error {
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{0x80 | indexOf200}, EndHeaders: true}); err != nil {
		return err
	}
	if err := f.WriteData(stream, false, []byte("part")); err != nil {
		return err
	}
	return f.WriteRSTStream(stream, http2.ErrCodeInternal)
}

// http2Peer does with request i what does[i] says, and with all further ones what
// the last says.
func http2Peer(does ...frames) func(*testing.T, *world) peer {
	return func(t *testing.T, w *world) peer {
		lis, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
			Certificates: []tls.Certificate{w.ca.Issue(testpeer.CertOpts{})}, NextProtos: []string{"h2"},
		})
		if err != nil {
			t.Fatal(err)
		}
		s := &http2Server{does: does}
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.accept(lis)
		}()
		t.Cleanup(func() { _ = lis.Close(); <-done })
		return peer{"https://" + lis.Addr().String() + "/", func() int { return int(s.requests.Load()) }}
	}
}

type http2Server struct {
	does     []frames
	requests atomic.Int64
}

func (s *http2Server) accept(lis net.Listener) {
	var conns []net.Conn
	var serving sync.WaitGroup
	for {
		c, err := lis.Accept()
		if err != nil {
			break
		}
		conns = append(conns, c)
		serving.Go(func() { s.serve(c) })
	}
	for _, c := range conns {
		_ = c.Close() // net/http keeps a connection that it will not use again
	}
	serving.Wait()
}

func (s *http2Server) serve(c net.Conn) {
	defer c.Close()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	f := http2.NewFramer(c, c)
	if f.WriteSettings() != nil {
		return
	}
	for {
		frame, err := f.ReadFrame()
		if err != nil || s.answer(f, frame) != nil {
			// What is unread when a connection closes turns the FIN into a RST, which may
			// overtake what was said.
			if err == nil || !errors.Is(err, io.EOF) {
				closeWrite(c)
				_, _ = io.Copy(io.Discard, c)
			}
			return
		}
	}
}

func closeWrite(c net.Conn) {
	if session, ok := c.(*tls.Conn); ok {
		_ = session.CloseWrite()
	}
}

func (s *http2Server) answer(f *http2.Framer, frame http2.Frame) error {
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			return f.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			return f.WritePing(true, frame.Data)
		}
	case *http2.HeadersFrame:
		n := int(s.requests.Add(1)) - 1
		return s.does[min(n, len(s.does)-1)](f, frame.StreamID)
	}
	return nil
}
