package doortest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"
)

// awaitLog waits until the service's log has text.
func (w *world) awaitLog(t *testing.T, text string) {
	t.Helper()
	for late := time.Now().Add(patience); !strings.Contains(w.log.String(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("the log does not say %q:\n%s", text, w.log)
		}
	}
}

// raw is a hostile client's connection.
type raw struct {
	net.Conn
	t  testing.TB
	in *bufio.Reader
}

// plain connects to a door, and speaks no TLS.
func (a *attack) plain(addr string) *raw {
	a.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		a.Fatal(err)
	}
	return a.raw(conn)
}

func (a *attack) raw(conn net.Conn) *raw {
	a.conns = append(a.conns, conn)
	r := &raw{conn, a.T, bufio.NewReader(conn)}
	r.wait()
	return r
}

// dial connects to a door as it speaks, with the protocols of proto inside TLS.
func (a *attack) dial(addr string, protocols ...string) *raw {
	a.Helper()
	if a.tls == nil {
		return a.plain(addr)
	}
	config := a.tls.Clone()
	config.NextProtos = protocols
	var conn *tls.Conn
	if err := lenient(a.clock, func() (err error) {
		conn, err = tls.Dial("tcp", addr, config)
		return err
	}); err != nil {
		a.Fatal(err)
	}
	return a.raw(conn)
}

// wait begins a step of an attack, which has patience of its own.
func (r *raw) wait() { _ = r.SetDeadline(time.Now().Add(patience)) }

func (r *raw) send(text string) {
	r.t.Helper()
	if _, err := io.WriteString(r, text); err != nil {
		r.t.Fatalf("the attack could not be sent: %v", err)
	}
}

// pour sends what the server may not wait for the end of: it says so, or hangs up.
func (r *raw) pour(text string) { _, _ = io.WriteString(r, text) }

// awaitHangUp waits until the server has closed the connection, and reads nothing: a
// client that reads on is one that takes its answers.
func (r *raw) awaitHangUp() {
	r.t.Helper()
	r.wait()
	for {
		_, err := r.Write(frame(http2.FramePing, http2.FlagPingAck, 0, "12345678")) // means nothing
		if errors.Is(err, os.ErrDeadlineExceeded) {
			r.t.Fatal("the connection is still open")
		}
		if err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// end waits until the server has closed the connection, and gives what it said.
func (r *raw) end() string {
	r.t.Helper()
	r.wait()
	var text bytes.Buffer
	_, err := io.Copy(&text, r.in)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		r.t.Fatalf("the connection is still open; it said %.200q", text.String())
	}
	_ = r.Close()
	return text.String()
}

// flood sends text again and again, and reads what comes, until the server has had
// enough of it.
func (r *raw) flood(text []byte, most int) {
	r.t.Helper()
	r.wait()
	var reading sync.WaitGroup
	var err error
	reading.Go(func() { _, err = io.Copy(io.Discard, r.in) })
	for range most {
		if _, err := r.Write(text); err != nil {
			break
		}
	}
	reading.Wait()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		r.t.Fatal("the connection is still open")
	}
	_ = r.Close()
}

// answer reads one HTTP/1.1 answer: its status, and the reason of a problem.
func (r *raw) answer() string {
	r.t.Helper()
	r.wait()
	res, err := http.ReadResponse(r.in, nil)
	if err != nil {
		r.t.Fatalf("no answer: %v", err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	var problem struct{ Reason string }
	if json.Unmarshal(body, &problem) == nil && problem.Reason != "" {
		return fmt.Sprint(res.StatusCode, " ", problem.Reason)
	}
	return fmt.Sprint(res.StatusCode)
}

// conn2 is a hostile client's HTTP/2 connection: frames, and nobody who keeps their
// order.
type conn2 struct {
	*raw
	*http2.Framer
	authority string
	block     bytes.Buffer
	coder     *hpack.Encoder
	fields    map[string]string // of the stream that is read
	decoder   *hpack.Decoder
}

func (a *attack) dial2(addr string) *conn2 {
	a.Helper()
	r := a.dial(addr, "h2")
	c := &conn2{raw: r, authority: addr, Framer: http2.NewFramer(r, r.in)}
	c.coder = hpack.NewEncoder(&c.block)
	c.decoder = hpack.NewDecoder(4096, func(f hpack.HeaderField) { c.fields[f.Name] = f.Value })
	return c
}

// hello greets.
func (c *conn2) hello(settings ...http2.Setting) *conn2 {
	c.t.Helper()
	c.send(http2.ClientPreface)
	c.must(c.WriteSettings(settings...))
	return c
}

func (c *conn2) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("the attack could not be sent: %v", err)
	}
}

// head codes a gRPC request's head with pairs of further names and values.
func (c *conn2) head(path string, pairs ...string) []byte {
	c.block.Reset()
	all := []string{":method", "POST", ":scheme", "http", ":path", path, ":authority", c.authority}
	if !slices.Contains(pairs, "content-type") {
		all = append(all, "content-type", "application/grpc", "te", "trailers")
	}
	all = append(all, pairs...)
	for i := 0; i < len(all); i += 2 {
		_ = c.coder.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]})
	}
	return bytes.Clone(c.block.Bytes())
}

// maxFrame is the largest payload of a frame.
const maxFrame = 16 << 10

// open begins a call and leaves it open.
func (c *conn2) open(stream uint32, path string, pairs ...string) {
	c.t.Helper()
	block := c.head(path, pairs...)
	first := block[:min(len(block), maxFrame)]
	block = block[len(first):]
	c.must(c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: first, EndHeaders: len(block) == 0}))
	for len(block) > 0 {
		next := block[:min(len(block), maxFrame)]
		block = block[len(next):]
		c.must(c.WriteContinuation(stream, len(block) == 0, next))
	}
}

// call makes a whole call.
func (c *conn2) call(stream uint32, path string, m proto.Message) {
	c.t.Helper()
	c.open(stream, path)
	c.must(c.WriteData(stream, true, message(m)))
}

// message is m as gRPC frames it.
func message(m proto.Message) []byte {
	text, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text))), text...)
}

// outcome reads until a stream ends: its grpc-status, or its HTTP status where it has
// none, and its message; `reset` and the code; `goaway` and the code; or `closed`.
func (c *conn2) outcome(stream uint32) string {
	c.t.Helper()
	c.wait()
	c.fields = map[string]string{}
	for {
		f, err := c.ReadFrame()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.t.Fatalf("stream %d has no end", stream)
		}
		if err != nil {
			return "closed"
		}
		switch f := f.(type) {
		case *http2.HeadersFrame:
			mine := c.fields
			if f.StreamID != stream {
				c.fields = map[string]string{}
			}
			_, _ = c.decoder.Write(f.HeaderBlockFragment())
			c.fields = mine
			if f.StreamID == stream && f.StreamEnded() {
				return c.status()
			}
		case *http2.DataFrame:
			if f.StreamID == stream && f.StreamEnded() {
				return c.status() + " " + string(f.Data())
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == stream {
				return "reset " + f.ErrCode.String()
			}
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				return "goaway " + f.ErrCode.String()
			}
		}
	}
}

// outcomes reads until n streams have ended with heads, and gives how.
func (c *conn2) outcomes(n int) map[uint32]string {
	c.t.Helper()
	c.wait()
	all := map[uint32]string{}
	for len(all) < n {
		f, err := c.ReadFrame()
		if err != nil {
			c.t.Fatalf("after %d outcomes: %v", len(all), err)
		}
		if f, ok := f.(*http2.HeadersFrame); ok {
			c.fields = map[string]string{}
			_, _ = c.decoder.Write(f.HeaderBlockFragment())
			all[f.StreamID] = c.status()
		}
	}
	return all
}

func (c *conn2) status() string {
	if s, ok := c.fields["grpc-status"]; ok {
		return s + " " + c.fields["grpc-message"]
	}
	return c.fields[":status"]
}

// frame is one frame as bytes.
func frame(kind http2.FrameType, flags http2.Flags, stream uint32, payload string) []byte {
	n := len(payload)
	head := []byte{byte(n >> 16), byte(n >> 8), byte(n), byte(kind), byte(flags)}
	return append(binary.BigEndian.AppendUint32(head, stream), payload...)
}

// want fails the row unless an outcome begins as it should.
func (a *attack) want(what, got, want string) {
	a.Helper()
	if !strings.HasPrefix(got, want) {
		a.Errorf("%s: got %q, want %q", what, got, want)
	}
}
