package doortest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/server"
)

const (
	fetchPath  = fetchsvcv1.FetchService_Fetch_FullMethodName
	streamPath = fetchsvcv1.FetchService_Stream_FullMethodName
	batchPath  = fetchsvcv1.FetchService_FetchBatch_FullMethodName
	listPath   = fetchsvcv1.PolicyService_ListUpstreams_FullMethodName
)

// flooded sends one frame over and over, behind a call that stays open.
func flooded(text []byte) func(*attack) {
	return func(a *attack) {
		c := a.dial2(a.grpc).hello()
		c.open(1, streamPath)
		c.flood(bytes.Repeat(text, 1000), 1000)
	}
}

// refused sends one call and wants its outcome.
func refused(path, data, want string, pairs ...string) func(*attack) {
	return func(a *attack) {
		c := a.dial2(a.grpc).hello()
		c.open(1, path, pairs...)
		rest := []byte(data)
		for len(rest) > maxFrame {
			c.must(c.WriteData(1, false, rest[:maxFrame]))
			rest = rest[maxFrame:]
		}
		c.must(c.WriteData(1, true, rest))
		a.want("the call", c.outcome(1), want)
	}
}

// idleLog and rapidLog are what is said of a client that floods.
const idleLog, rapidLog = "too many frames that move nothing", "too many calls that are reset as they begin"

var grpcRows = []row{
	{name: "no preface", bounds: server.Bounds{Handshake: soon}, attack: func(a *attack) { a.dial(a.grpc).end() }},
	{name: "no preface, TLS", tls: true, bounds: server.Bounds{Handshake: soon}, attack: func(a *attack) { a.dial(a.grpc, "h2").end() }},
	{name: "half a preface", bounds: server.Bounds{Handshake: soon}, attack: func(a *attack) {
		c := a.dial(a.grpc)
		c.pour(http2.ClientPreface[:9])
		c.end()
	}},
	{name: "HTTP/1.1 and gRPC-Web", attack: func(a *attack) {
		for _, contentType := range []string{"application/json", "application/grpc-web+proto"} {
			c := a.dial(a.grpc)
			c.send("POST " + fetchPath + " HTTP/1.1\r\nHost: x\r\nContent-Type: " + contentType + "\r\nContent-Length: 2\r\n\r\n{}")
			c.end()
		}
	}},
	{name: "SETTINGS flood", attack: flooded(frame(http2.FrameSettings, 0, 0, "")), log: idleLog},
	{name: "PING flood", attack: flooded(frame(http2.FramePing, 0, 0, "12345678"))},
	{name: "PING acknowledgements flood", attack: flooded(frame(http2.FramePing, http2.FlagPingAck, 0, "12345678")), log: idleLog},
	{name: "WINDOW_UPDATE flood", attack: flooded(frame(http2.FrameWindowUpdate, 0, 1, "\x00\x00\x00\x01")), log: idleLog},
	{name: "PRIORITY flood", attack: flooded(frame(http2.FramePriority, 0, 1, "\x00\x00\x00\x03\x10")), log: idleLog},
	{name: "empty DATA flood", attack: flooded(frame(http2.FrameData, 0, 1, "")), log: idleLog},
	{name: "padding flood", attack: flooded(frame(http2.FrameData, http2.FlagDataPadded, 1, "\x05\x00\x00\x00\x00\x00")), log: idleLog},
	{name: "DATA of one byte each", attack: flooded(frame(http2.FrameData, 0, 1, "x")), log: idleLog},
	{name: "unknown frames flood", attack: flooded(frame(0xbe, 0, 0, "x")), log: idleLog},
	{name: "RST_STREAM flood for no stream", attack: flooded(frame(http2.FrameRSTStream, 0, 99, "\x00\x00\x00\x08")), log: rapidLog},
	{name: "CONTINUATION flood", attack: func(a *attack) {
		c := a.dial2(a.grpc).hello()
		c.must(c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.head(fetchPath)}))
		c.flood(bytes.Repeat(frame(http2.FrameContinuation, 0, 1, "\x00\x01x\x01y"), 1000), 1000)
	}},
	{name: "rapid reset", attack: rapidReset(fetchPath), log: rapidLog},
	{name: "rapid reset of what nobody serves", attack: rapidReset("/no/such"), log: rapidLog},
	{name: "a table of 4 GiB, and a window of more than 2 GiB", attack: func(a *attack) {
		c := a.dial2(a.grpc).hello(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 1<<32 - 1})
		c.call(1, fetchPath, &fetchsvcv1.FetchRequest{Url: a.upstream.URL})
		a.want("a call with a large table", c.outcome(1), "0 ")
		c = a.dial2(a.grpc)
		c.send(http2.ClientPreface)
		c.must(c.WriteRawFrame(http2.FrameSettings, 0, 0, []byte{0, 4, 0xff, 0xff, 0xff, 0xff}))
		c.end()
	}},
	{name: "a head over 64 KiB", attack: refused(fetchPath, "", "reset FRAME_SIZE_ERROR", "x-big", strings.Repeat("x", 14<<10),
		"x-a", strings.Repeat("a", 14<<10), "x-b", strings.Repeat("b", 14<<10), "x-c", strings.Repeat("c", 14<<10), "x-d", strings.Repeat("d", 14<<10))},
	{name: "a head that swells by its table", attack: func(a *attack) {
		pairs := []string{}
		for range 3000 {
			pairs = append(pairs, "x-bomb", strings.Repeat("b", 3000))
		}
		refused(fetchPath, "", "reset FRAME_SIZE_ERROR", pairs...)(a)
	}},
	{name: "a thousand fields of metadata", attack: func(a *attack) {
		pairs := []string{}
		for i := range 1000 {
			pairs = append(pairs, fmt.Sprintf("x-%d", i), "y")
		}
		refused(listPath, "\x00\x00\x00\x00\x00", "0 ", pairs...)(a)
	}},
	{name: "unknown methods", attack: func(a *attack) {
		c := a.dial2(a.grpc).hello()
		for i := range uint32(1000) {
			c.open(2*i+1, fmt.Sprintf("/no.such.Service/Method%d", i))
			a.want("an unknown method", c.outcome(2*i+1), "12 there is no RPC")
		}
	}},
	{name: "another content type", attack: refused(fetchPath, "", "3 invalid gRPC request content-type", "content-type", "text/html")},
	{name: "a stream number of the server's, and one twice", waits: true, attack: func(a *attack) {
		c := a.dial2(a.grpc).hello()
		c.open(2, fetchPath)
		a.want("an even number", c.outcome(2), "goaway PROTOCOL_ERROR")
		c.end()
		c = a.dial2(a.grpc).hello()
		c.call(3, fetchPath, &fetchsvcv1.FetchRequest{Url: a.upstream.URL})
		a.want("a good one", c.outcome(3), "0 ")
		c.open(3, fetchPath)
		a.want("the same again", c.outcome(3), "goaway PROTOCOL_ERROR")
		c.end()
	}},
	{name: "a message of 4 GiB", attack: refused(fetchPath, "\x00\xff\xff\xff\xff", "8 ")},
	{name: "no protobuf", attack: refused(fetchPath, "\x00\x00\x00\x00\x04\xff\xff\xff\xff", "13 ")},
	{name: "JSON of 4,000 levels", attack: refused(fetchPath, string(nested(4_000)), "13 ")},
	{name: "a gzip bomb", attack: refused(fetchPath, gzipBomb(), "8 ", "grpc-encoding", "gzip")},
	{name: "an unknown coding", attack: refused(fetchPath, "\x01\x00\x00\x00\x02\x1f\x8b", "12 ", "grpc-encoding", "zip9")},
	{name: "compressed by nothing", attack: refused(fetchPath, "\x01\x00\x00\x00\x02\x1f\x8b", "13 ")},
	{name: "a request that never comes", bounds: server.Bounds{Message: soon}, attack: func(a *attack) {
		c := a.dial2(a.grpc).hello()
		paths := []string{fetchPath, streamPath, batchPath, listPath}
		for i, path := range paths {
			c.open(uint32(2*i+1), path)
		}
		all := c.outcomes(len(paths))
		for i, path := range paths {
			a.want(path, all[uint32(2*i+1)], "3 the request did not come whole")
		}
	}},
	{name: "a thousand that never come", bounds: server.Bounds{Message: soon}, attack: func(a *attack) {
		c := a.dial2(a.grpc).hello()
		for i := range uint32(1000) {
			c.open(2*i+1, fetchPath, "x-held", strings.Repeat("x", 1000))
		}
		for stream, got := range c.outcomes(1000) {
			a.want(fmt.Sprint("stream ", stream), got, "3 the request did not come whole")
		}
	}},
	{name: "a request that comes by drops", bounds: server.Bounds{Message: soon}, attack: func(a *attack) {
		c := a.dial2(a.grpc).hello()
		c.open(1, fetchPath)
		done := make(chan string)
		go func() {
			defer close(done) // also where there is no outcome
			done <- c.outcome(1)
		}()
		c.must(c.WriteData(1, false, []byte{0, 0, 1, 0, 0}))
		for {
			select {
			case got := <-done:
				a.want("the call", got, "3 the request did not come whole")
				return
			case <-time.After(10 * time.Millisecond): // the drops
				_ = c.WriteData(1, false, []byte("x"))
			}
		}
	}},
	{name: "an answer that nobody takes", bounds: server.Bounds{Answer: soon}, log: "nothing was taken", attack: func(a *attack) {
		c := a.dial2(a.grpc).hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		c.call(1, fetchPath, &fetchsvcv1.FetchRequest{Url: a.upstream.URL + "?n=1000000"})
		c.end()
	}},
	{name: "short answers that nobody takes, among calls that go on", bounds: server.Bounds{Answer: soon}, log: "nothing was taken", attack: func(a *attack) {
		c := a.dial2(a.grpc).hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.end()
		}()
		for stream := uint32(1); ; stream += 2 {
			path := "/no/such" // its answer needs no window
			if stream < 1000 {
				path = healthv1.Health_Check_FullMethodName
			}
			head := c.head(path)
			_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head, EndHeaders: true})
			_ = c.WriteData(stream, true, make([]byte, 5))
			select {
			case <-ended:
				return
			case <-time.After(5 * time.Millisecond): // what keeps the connection alive
			}
		}
	}},
	{name: "a stream that nobody takes", bounds: server.Bounds{Answer: soon}, attack: func(a *attack) {
		c := a.dial2(a.grpc).hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		c.call(1, streamPath, endless(a))
		c.end()
	}},
	{name: "a stream that nobody takes, among calls that go on", bounds: server.Bounds{Answer: soon}, attack: func(a *attack) {
		if err := lenient(a.clock, func() error { return amongOthers(a) }); err != nil {
			a.Error(err)
		}
	}},
	{name: "a connection that reads nothing", bounds: server.Bounds{Answer: soon}, attack: func(a *attack) {
		c := a.dial2(a.grpc).hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		c.must(c.WriteWindowUpdate(0, 1<<31-1-65535))
		c.call(1, streamPath, endless(a))
		a.upstream.awaitGone(a.T)
		c.awaitHangUp()
	}},
	{name: "an answer in windows of one byte", bounds: server.Bounds{Answer: soon}, attack: func(a *attack) {
		c := a.dial2(a.grpc).hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		c.call(1, streamPath, endless(a))
		c.end()
	}},
}

// amongOthers wants that a stream that nobody takes ends, and not its connection, on
// which calls are answered meanwhile and after.
func amongOthers(a *attack) error {
	c := a.dial2(a.grpc).hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	c.call(1, streamPath, endless(a))
	left := make(chan struct{})
	go func() {
		defer close(left)
		a.upstream.awaitGone(a.T)
	}()
	for stream, last := uint32(3), false; ; stream += 2 {
		_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.head("/no/such"), EndHeaders: true})
		if got := c.outcome(stream); !strings.HasPrefix(got, "12 ") {
			_ = c.Close()
			<-left
			return fmt.Errorf("a call beside it got %q, want that there is no such RPC", got)
		}
		if last {
			return nil
		}
		select {
		case <-left:
			last = true
		case <-time.After(10 * time.Millisecond): // what keeps the connection alive
		}
	}
}

// endless starts a stream whose body does not end.
func endless(a *attack) *fetchsvcv1.StreamRequest { return started(a, "?n=-1") }

func started(a *attack, query string) *fetchsvcv1.StreamRequest {
	return &fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_Start{Start: &fetchsvcv1.FetchRequest{Url: a.upstream.URL + query}}}
}

// nested is a request whose JSON is a list in a list, so many times.
func nested(levels int) []byte {
	var text []byte // from the inside out, and so backwards: Value.list_value, ListValue.values
	prepend := func(p []byte) {
		slices.Reverse(p)
		text = append(text, p...)
	}
	for range levels {
		for _, tag := range []byte{0x0a, 0x32} {
			prepend(binary.AppendUvarint([]byte{tag}, uint64(len(text))))
		}
	}
	field := (&fetchsvcv1.FetchRequest{}).ProtoReflect().Descriptor().Fields().ByName("json").Number()
	prepend(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3|2), uint64(len(text))))
	prepend(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text))))
	slices.Reverse(text)
	return text
}

// gzipBomb is a message of 64 MiB, compressed: 64 members of a gzip file.
func gzipBomb() string {
	var member bytes.Buffer
	w := gzip.NewWriter(&member)
	_, _ = w.Write(make([]byte, 1<<20))
	_ = w.Close()
	text := bytes.Repeat(member.Bytes(), 64)
	return string(binary.BigEndian.AppendUint32([]byte{1}, uint32(len(text)))) + string(text)
}

func rapidReset(path string) func(*attack) { return rapidResets(path, 1) }

// rapidResets does it on some connections, one after the other. The text is the same
// on each: none has coded a head before.
func rapidResets(path string, conns int) func(*attack) {
	return func(a *attack) {
		var text []byte
		for range conns {
			c := a.dial2(a.grpc).hello()
			if text == nil {
				text = c.resets(path)
			}
			c.flood(text, 1)
		}
	}
}

// resets are 20,000 calls that are reset as they begin. From the second on their heads
// are the same, for HPACK's table has it all.
func (c *conn2) resets(path string) (text []byte) {
	head := c.head(path)
	again := c.head(path)
	for i := range uint32(20_000) {
		text = append(text, frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 2*i+1, string(head))...)
		text = append(text, frame(http2.FrameRSTStream, 0, 2*i+1, "\x00\x00\x00\x08")...)
		head = again
	}
	return text
}

func TestGRPC(t *testing.T) { table(t, grpcRows) }
