package hostiletest

import (
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

// flood2 begins a good connection and then writes without end. It also reads, so
// that only the client's patience ends it.
func flood2(write func(c *conn2, stream uint32)) script2 {
	return func(c *conn2) {
		stream := c.begin()
		read := make(chan struct{})
		go func() { // ends when play2 closes the connection
			defer close(read)
			_, _ = io.Copy(io.Discard, c.nc)
		}()
		defer func() {
			_ = c.nc.Close()
			<-read
		}()
		for {
			write(c, stream)
		}
	}
}

// raw2 writes a frame that the Framer would not.
func raw2(kind http2.FrameType, flags http2.Flags, size int) func(*conn2, uint32) {
	return func(c *conn2, stream uint32) {
		must(c.WriteRawFrame(kind, flags, stream, make([]byte, size)))
	}
}

func TestHTTP2Floods(t *testing.T) {
	const late, reset, tooLarge, bad = "TOTAL_TIMEOUT", "CONNECTION_RESET", "RESPONSE_HEADER_TOO_LARGE", "BAD_RESPONSE"
	table(t, []row{
		{name: "SETTINGS", server: serve2(flood2(func(c *conn2, _ uint32) {
			must(c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}))
		})), tweak: clocks(short), fetch: late, after: unasked},
		{name: "SETTINGS of 16 KiB", server: serve2(flood2(func(c *conn2, _ uint32) {
			must(c.WriteSettings(make([]http2.Setting, 2000)...))
		})), tweak: clocks(short), fetch: late, after: unasked},
		{name: "PING", server: serve2(flood2(func(c *conn2, _ uint32) { must(c.WritePing(false, [8]byte{})) })), tweak: clocks(short), fetch: late, after: unasked},
		{name: "PING, and nobody reads the answers", server: serve2(func(c *conn2) {
			c.begin()
			for {
				must(c.WritePing(false, [8]byte{}))
			}
		}), tweak: clocks(short), fetch: late, after: unasked},
		{name: "WINDOW_UPDATE", server: serve2(flood2(func(c *conn2, _ uint32) { must(c.WriteWindowUpdate(0, 1)) })), tweak: clocks(short), fetch: late, after: unasked},
		{name: "WINDOW_UPDATE beyond 31 bits", server: serve2(flood2(func(c *conn2, _ uint32) { must(c.WriteWindowUpdate(0, 1<<31-1)) })), fetch: bad, sends: 4, after: unasked},
		{name: "PRIORITY", server: serve2(flood2(func(c *conn2, s uint32) { must(c.WritePriority(s, http2.PriorityParam{Weight: 1})) })), tweak: clocks(short), fetch: late, after: unasked},
		{name: "frames of no known type", server: serve2(flood2(raw2(0xbe, 0, 8<<10))), tweak: clocks(short), fetch: late, after: unasked},
		{name: "empty DATA before the head", server: serve2(flood2(raw2(http2.FrameData, 0, 0))), fetch: reset, sends: 4, after: unasked},
		{name: "empty DATA", server: serve2(func(c *conn2) {
			flood2(func(c *conn2, s uint32) {
				must(c.WriteData(s, false, nil))
			})(c)
		}), fetch: reset, sends: 4, after: unasked},
		{name: "PUSH_PROMISE", server: serve2(func(c *conn2) {
			s := c.begin()
			must(c.WritePushPromise(http2.PushPromiseParam{StreamID: s, PromiseID: 2, BlockFragment: c.fields(":path", "/"), EndHeaders: true}))
			c.stall()
		}), fetch: bad, sends: 4, after: unasked},
		{name: "1xx", server: serve2(flood2(func(c *conn2, s uint32) { c.headers(s, false, ":status", "103", "link", strings.Repeat("l", 1000)) })), fetch: tooLarge, sends: 4, after: unasked},
		{name: "CONTINUATION", server: serve2(func(c *conn2) {
			s := c.begin()
			must(c.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: c.fields(":status", "200")}))
			for {
				must(c.WriteContinuation(s, false, c.fields("x-fill", strings.Repeat("f", 8<<10))))
			}
		}), fetch: bad, sends: 4, after: unasked},
		{name: "empty CONTINUATION", server: serve2(func(c *conn2) {
			s := c.begin()
			must(c.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: c.fields(":status", "200")}))
			for {
				must(c.WriteContinuation(s, false, nil))
			}
		}), tweak: clocks(short), fetch: late, after: unasked},
		{name: "header bomb by the table", server: serve2(func(c *conn2) {
			s := c.begin()
			big := strings.Repeat("b", 3000)
			pairs := []string{":status", "200"}
			for range 5000 { // each but the first is a byte on the wire
				pairs = append(pairs, "x-bomb", big)
			}
			block := c.fields(pairs...)
			must(c.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: block, EndStream: true, EndHeaders: true}))
			c.stall()
		}), fetch: tooLarge, sends: 4, after: unasked},
		{name: "frame of 16 MiB", server: serve2(func(c *conn2) {
			s := c.begin()
			c.headers(s, false, ":status", "200")
			raw2(http2.FrameData, 0, 1<<24-1)(c, s)
			c.stall()
		}), fetch: bad, stream: "200 > " + bad, after: unasked},
		{name: "garbage", server: serve2(func(c *conn2) {
			c.begin()
			_, err := io.WriteString(c.nc, strings.Repeat("garbage ", 1000))
			must(err)
			c.stall()
		}), fetch: bad, sends: 4, after: unasked},
		{name: "HTTP/1.1", server: serve2(func(c *conn2) {
			c.listen() // else the connection may be over before there is a request on it
			_, err := io.WriteString(c.nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			must(err)
			c.stall()
		}), fetch: bad, sends: 4, after: unasked},
	})
}

func TestHTTP2Streams(t *testing.T) {
	const late, reset, bad, tooLarge = "TOTAL_TIMEOUT", "CONNECTION_RESET", "BAD_RESPONSE", "RESPONSE_TOO_LARGE"
	const cut = "200 > BODY_CUT_SHORT"
	upload := func(r *fetch.Request) {
		r.Method, r.Body = "POST", fetch.Bytes(make([]byte, 1<<20))
		r.Timeouts.Total = short
	}
	goAway := func(last uint32, code http2.ErrCode) script2 {
		return func(c *conn2) {
			c.begin()
			must(c.WriteGoAway(last, code, nil))
			c.stall()
		}
	}
	resets := func(code http2.ErrCode) script2 {
		return func(c *conn2) {
			for s := c.begin(); ; s = c.request() {
				must(c.WriteRSTStream(s, code))
			}
		}
	}
	data := func(write func(c *conn2, s uint32)) script2 {
		return func(c *conn2) {
			s := c.begin()
			c.headers(s, false, ":status", "200")
			write(c, s)
			c.stall()
		}
	}
	table(t, []row{
		{name: "REFUSED_STREAM for ever", server: every2(resets(http2.ErrCodeRefusedStream)), fetch: reset, sends: 4, after: unasked},
		{name: "INTERNAL_ERROR for ever", server: every2(resets(http2.ErrCodeInternal)), fetch: reset, sends: 4, after: unasked},
		{name: "PROTOCOL_ERROR for ever", server: every2(resets(http2.ErrCodeProtocol)), fetch: reset, sends: 4, after: unasked},
		{name: "GOAWAY of every request", server: every2(goAway(0, http2.ErrCodeNo)), fetch: reset, sends: 4, after: unasked},
		{name: "GOAWAY of every request, calm", server: every2(goAway(0, http2.ErrCodeEnhanceYourCalm)), fetch: reset, sends: 4, after: unasked},
		{name: "GOAWAY that keeps the request, and silence", server: every2(goAway(1, http2.ErrCodeNo)), tweak: clocks(short), fetch: late, after: unasked},
		{name: "GOAWAY on the greeting", server: every2(func(c *conn2) {
			must(c.WriteSettings())
			must(c.WriteGoAway(0, http2.ErrCodeNo, nil))
			c.stall()
		}), fetch: reset, sends: 256, after: unasked},
		{name: "GOAWAY before the greeting", server: unread2(func(c *conn2) {
			must(c.WriteSettings())
			must(c.WriteGoAway(0, http2.ErrCodeNo, nil))
			c.stall()
		}), fetch: reset, sends: 256, after: unasked},
		{name: "hang-up before the greeting", server: unread2(func(c *conn2) {}), fetch: reset, sends: 256, after: unasked},
		{name: "hang-up on the greeting", server: every2(func(*conn2) {}), fetch: reset, sends: 256, after: unasked},
		{name: "no streams allowed", server: every2(func(c *conn2) {
			c.begin(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
			c.stall()
		}), tweak: clocks(short), fetch: late, sends: 4, after: unasked},
		{name: "window never opened", server: every2(func(c *conn2) {
			c.begin(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			c.stall()
		}), tweak: upload, fetch: late, after: unasked},
		{name: "upload that nobody reads", server: every2(func(c *conn2) {
			c.begin(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
			c.freeze()
		}), tweak: upload, fetch: late, after: unasked},
		{name: "DATA beyond the window", server: serve2(data(func(c *conn2, s uint32) {
			for range 1000 {
				must(c.WriteData(s, false, make([]byte, 16<<10)))
			}
		})), tweak: limited(20 << 20), fetch: bad, stream: "200 > " + bad, received: 1 << 30, after: unasked},
		{name: "body without end", server: serve2(data(func(c *conn2, s uint32) {
			for {
				must(c.WriteData(s, false, make([]byte, 1<<10)))
			}
		})), tweak: limited(10_000), fetch: tooLarge, stream: "200 > " + tooLarge, after: unasked},
		{name: "body that stalls", server: serve2(data(func(*conn2, uint32) {})), tweak: idle(short), fetch: "IDLE_TIMEOUT", stream: "200 > IDLE_TIMEOUT", after: unasked},
		{name: "empty DATA without end", server: serve2(flood2Data), tweak: idle(short), fetch: "IDLE_TIMEOUT", stream: "200 > IDLE_TIMEOUT", after: unasked},
		{name: "body longer than its length", server: serve2(func(c *conn2) {
			s := c.begin()
			c.headers(s, false, ":status", "200", "content-length", "2")
			must(c.WriteData(s, true, []byte("ok and more")))
			c.stall()
		}), fetch: bad, stream: "200 > " + bad, after: unasked},
		{name: "body shorter than its length", server: serve2(func(c *conn2) {
			s := c.begin()
			c.headers(s, false, ":status", "200", "content-length", "100")
			must(c.WriteData(s, true, []byte("ok")))
			c.stall()
		}), fetch: "BODY_CUT_SHORT", stream: cut, after: unasked},
		{name: "status that is none", server: serve2(func(c *conn2) {
			c.headers(c.begin(), true, ":status", "0")
			c.stall()
		}), fetch: bad, sends: 4, after: unasked},
		{name: "head without a status", server: serve2(func(c *conn2) {
			c.headers(c.begin(), true, "x-a", "b")
			c.stall()
		}), fetch: reset, sends: 4, after: unasked},
		{name: "name in capitals", server: serve2(func(c *conn2) {
			c.headers(c.begin(), true, ":status", "200", "X-A", "b")
			c.stall()
		}), fetch: reset, sends: 4, after: unasked},
		{name: "line break in a value", server: serve2(func(c *conn2) {
			c.headers(c.begin(), true, ":status", "200", "x-a", "b\r\nset-cookie: c=d")
			c.stall()
		}), fetch: reset, sends: 4, after: unasked},
		{name: "Connection and Transfer-Encoding", server: serve2(func(c *conn2) {
			c.headers(c.begin(), true, ":status", "200", "connection", "close", "transfer-encoding", "chunked")
			c.stall()
		}), fetch: "200", sends: 4, after: unasked},
		{name: "trailers of 300 KiB", server: serve2(data(func(c *conn2, s uint32) {
			must(c.WriteData(s, false, []byte("ok")))
			c.headers(s, true, "x-a", strings.Repeat("a", 300<<10))
		})), fetch: bad, stream: "200 > " + bad, after: unasked},
		{name: "answer on a stream that nobody opened", server: serve2(func(c *conn2) {
			s := c.begin()
			c.headers(s+2, true, ":status", "200")
			c.stall()
		}), tweak: clocks(short), fetch: late, after: unasked},
		{name: "slow answer", server: serve2(func(c *conn2) {
			s := c.begin()
			c.pause(time.Hour)
			c.ok(s)
		}), tweak: clocks(short), fetch: late, after: unasked},
	})
}

// flood2Data answers with a body of empty frames.
func flood2Data(c *conn2) {
	first := true
	flood2(func(c *conn2, s uint32) {
		if first {
			c.headers(s, false, ":status", "200")
			first = false
		}
		must(c.WriteData(s, false, nil))
	})(c)
}
