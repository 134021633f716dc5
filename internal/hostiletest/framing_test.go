package hostiletest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

func length(n string) string { return "HTTP/1.1 200 OK\r\nContent-Length: " + n + "\r\n\r\n" }

// chunk is a chunk of n bytes.
func chunk(n int) string { return fmt.Sprintf("%x\r\n%s\r\n", n, strings.Repeat("x", n)) }

func limited(n int64) func(*fetch.Request) {
	return func(r *fetch.Request) { r.MaxResponseBytes = n }
}

func idle(d time.Duration) func(*fetch.Request) {
	return func(r *fetch.Request) { r.Timeouts.Idle = d }
}

func cutAt(n int64) func(*fetch.Request) {
	return func(r *fetch.Request) { r.MaxResponseBytes, r.AllowTruncated = n, true }
}

// ends answers one request with text and hangs up.
func ends(text string) testpeer.Script {
	return func(c *testpeer.RawConn) {
		c.ReadRequest()
		c.Write(text)
		c.Linger()
	}
}

func body(want string) func(*testing.T, *result) {
	return func(t *testing.T, got *result) {
		if string(got.body) != want {
			t.Errorf("the body is %.100q, want %q", got.body, want)
		}
	}
}

func TestLengths(t *testing.T) {
	const ok, bad, cut, inBody = "200", "BAD_RESPONSE", "200 > BODY_CUT_SHORT", "200 > BAD_RESPONSE"
	const tooLarge = "RESPONSE_TOO_LARGE"
	table(t, []row{
		{name: "more than sent", peer: ends(length("100") + "part"), fetch: "BODY_CUT_SHORT", stream: cut},
		{name: "less than sent", peer: says(length("2") + "ok and more"), fetch: ok, check: body("ok"), after: unasked},
		{name: "twice, differing", peer: says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nhello"), fetch: bad},
		{name: "twice, the same", peer: keeps("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"), fetch: ok, after: kept},
		{name: "a list", peer: says(length("2, 2") + "ok"), fetch: bad},
		{name: "negative", peer: says(length("-1") + "ok"), fetch: bad},
		{name: "signed", peer: says(length("+2") + "ok"), fetch: bad},
		{name: "hexadecimal", peer: says(length("0x2") + "ok"), fetch: bad},
		{name: "beyond 64 bits", peer: says(length("99999999999999999999") + "ok"), fetch: bad},
		{name: "8 EiB", peer: says(length("9223372036854775807") + "ok"), fetch: tooLarge, tweak: limited(1000), stream: tooLarge},
		{name: "8 EiB, cut", peer: says(length("9223372036854775807") + strings.Repeat("x", 2000)), fetch: ok, tweak: cutAt(1000)},
		{name: "empty", peer: says(length("") + "ok"), fetch: bad},
		{name: "length and chunks", peer: keeps("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nchunked\r\n0\r\n\r\n"),
			fetch: ok, after: kept, check: body("chunked")}, // net/http lets it through
		{name: "chunks, then gzip", peer: says("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), fetch: bad},
		{name: "chunks twice", peer: says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), fetch: bad},
		{name: "a coding with a tab", peer: says("HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"), fetch: bad},
		{name: "space before the colon of Transfer-Encoding", peer: says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding : chunked\r\n\r\nok"), fetch: bad},
		{name: "space before the colon of a second Content-Length", peer: says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length : 20\r\n\r\nok"), fetch: bad},
		{name: "space before the colon of Content-Length", peer: says("HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"), fetch: bad},
		{name: "chunks on HTTP/1.0", peer: ends("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), fetch: ok},
		{name: "body on 204", peer: says("HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison"), fetch: "204", after: unasked},
		{name: "body on 304", peer: says("HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison"), fetch: "304", after: unasked},
		{name: "body on HEAD", peer: says(length("6") + "poison"), tweak: func(r *fetch.Request) { r.Method = "HEAD" }, fetch: ok, after: unasked},
		{name: "garbage after the response", peer: says(length("2") + "ok" + strings.Repeat("\x00", 4000)), fetch: ok, check: body("ok"), after: unasked},
		{name: "second response that nobody asked for", peer: says(length("2") + "ok" + length("6") + "poison"), fetch: ok, check: body("ok"), after: unasked},
		{name: "second response, late", peer: func(c *testpeer.RawConn) {
			c.ReadRequest()
			c.Write(length("2") + "ok")
			c.Pause(5 * time.Millisecond)
			c.Write(length("6") + "poison")
			c.Stall()
		}, fetch: ok, check: body("ok"), after: unasked},
	})
}

func TestChunks(t *testing.T) {
	const ok, bad, inBody = "200", "BAD_RESPONSE", "200 > BAD_RESPONSE"
	const cut, cutBody = "BODY_CUT_SHORT", "200 > BODY_CUT_SHORT"
	const tooLarge, tooLargeBody = "RESPONSE_TOO_LARGE", "200 > RESPONSE_TOO_LARGE"
	one := func(name, text, fetch, stream string) row {
		return row{name: name, peer: says(text), fetch: fetch, stream: stream}
	}
	table(t, []row{
		{name: "without end", peer: forever(chunked, chunk(8<<10)), fetch: tooLarge, stream: tooLargeBody, tweak: limited(100_000), received: 200_000},
		{name: "without end, policy's limit", peer: forever(chunked, chunk(8<<10)), fetch: tooLarge, stream: "200 > TOTAL_TIMEOUT",
			more: "sizes: {response: 200KB}; timeouts: {stream_total: 50ms}", received: 1 << 40},
		{name: "without end, cut", peer: forever(chunked, chunk(8<<10)), fetch: ok, tweak: cutAt(100_000), received: 200_000},
		{name: "of a byte each, without end", peer: forever(chunked, strings.Repeat(chunk(1), 1000)), fetch: tooLarge, stream: tooLargeBody, tweak: limited(100_000), received: 200_000},
		{name: "without end to a close", peer: forever("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 8<<10)), fetch: tooLarge, stream: tooLargeBody, tweak: limited(100_000), received: 200_000},
		one("size beyond 64 bits", chunked+"fffffffffffffffff\r\nx", bad, inBody),
		{name: "size of 8 EiB", peer: says(chunked + "7fffffffffffffff\r\nxxxx"), tweak: idle(short), fetch: "IDLE_TIMEOUT", stream: "200 > IDLE_TIMEOUT"},
		one("size that is none", chunked+"4\r\npart\r\nzz\r\n", bad, inBody),
		one("size that is empty", chunked+"\r\nok\r\n0\r\n\r\n", bad, inBody),
		one("size that is negative", chunked+"-2\r\nok\r\n0\r\n\r\n", bad, inBody),
		one("size with 0x", chunked+"0x2\r\nok\r\n0\r\n\r\n", bad, inBody),
		one("no CRLF after the data", chunked+"2\r\nok2\r\nok\r\n0\r\n\r\n", bad, inBody),
		one("more data than size", chunked+"2\r\nokok\r\n0\r\n\r\n", bad, inBody),
		one("size line by LF", chunked+"2\nok\r\n0\r\n\r\n", bad, inBody),
		{name: "extension of 8 KiB", peer: says(chunked + "2;" + strings.Repeat("e", 8<<10) + "\r\nok\r\n0\r\n\r\n"), fetch: bad, stream: inBody},
		{name: "extension without end", peer: forever(chunked+"2;", strings.Repeat("e", 8<<10)), fetch: bad, stream: inBody},
		{name: "extensions of 1 KiB on each byte", peer: forever(chunked, "1;"+strings.Repeat("e", 1000)+"\r\nx\r\n"), fetch: bad, stream: inBody},
		{name: "trailers without end", peer: forever(chunked+"0\r\n", strings.Repeat("X-T: t\r\n", 1000)), fetch: bad, stream: inBody},
		{name: "trailer line without end", peer: forever(chunked+"0\r\nX-T: ", strings.Repeat("t", 8<<10)), fetch: bad, stream: inBody},
		{name: "trailer that is none", peer: says(chunked + "0\r\nnone\r\n\r\n"), fetch: bad, stream: inBody},
		{name: "trailers that set framing", peer: keeps(chunked + "2\r\nok\r\n0\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b\r\n\r\n"), fetch: ok, after: kept, check: body("ok")},
		{name: "trailers that stall", peer: says(chunked + "2\r\nok\r\n0\r\nX-T: t\r\n"), fetch: "IDLE_TIMEOUT", stream: "200 > IDLE_TIMEOUT", tweak: idle(short)},
		{name: "last chunk missing", peer: ends(chunked + "2\r\nok\r\n"), fetch: cut, stream: cutBody},
		{name: "second response behind the last chunk", peer: says(chunked + "2\r\nok\r\n0\r\n\r\n" + length("6") + "poison"), fetch: ok, check: body("ok"), after: unasked},
	})
}

func TestSlowBodies(t *testing.T) {
	const still, total = "IDLE_TIMEOUT", "TOTAL_TIMEOUT"
	drip := testpeer.TrickleBody(strings.Repeat("x", 1<<20), 1, 10*time.Millisecond)
	table(t, []row{
		{name: "nothing", peer: testpeer.StallBeforeBody, tweak: idle(short), fetch: still, stream: "200 > " + still},
		{name: "half", peer: testpeer.StallMidBody, tweak: idle(short), fetch: still, stream: "200 > " + still},
		{name: "100 bytes a second, min_rate", peer: drip, more: "min_rate: 1KiB", fetch: still, stream: "200 > " + still},
		{name: "chunks of a byte, min_rate", peer: func(c *testpeer.RawConn) {
			c.ReadRequest()
			c.Write(chunked)
			for {
				c.Write(chunk(1))
				c.Pause(5 * time.Millisecond)
			}
		}, more: "min_rate: 1KiB", fetch: still, stream: "200 > " + still},
		{name: "chunk sizes of a byte, min_rate", peer: func(c *testpeer.RawConn) {
			c.ReadRequest()
			c.Write(chunked)
			for {
				c.Write("0") // a size that never ends, and no byte of body
				c.Pause(5 * time.Millisecond)
			}
		}, more: "min_rate: 1KiB", tweak: idle(short), fetch: still, stream: "200 > " + still},
	})
	// Each door has a clock of its own for the whole. That of a Fetch, on a stream,
	// would end it before its head on a starved machine.
	t.Run("100 bytes a second, total/fetch", func(t *testing.T) {
		row{peer: drip, tweak: clocks(ample)}.run(t, do, total)
	})
	t.Run("100 bytes a second, stream_total/stream", func(t *testing.T) {
		row{peer: drip, more: "timeouts: {stream_total: 200ms}"}.run(t, open, "200 > "+total)
	})
}
