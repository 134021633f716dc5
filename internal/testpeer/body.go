package testpeer

import (
	"fmt"
	"strings"
	"time"
)

// Scripts that begin a good response and do not end it well. "part" is what of
// the body arrives.

// StallBeforeBody sends a head that announces 100 bytes, and none of them.
func StallBeforeBody(c *RawConn) {
	c.ReadRequest()
	c.Write(Lines("HTTP/1.1 200 OK", "Content-Length: 100"))
	c.Stall()
}

// StallMidBody sends "part" of 100 bytes and then nothing.
func StallMidBody(c *RawConn) {
	c.ReadRequest()
	c.Write(Lines("HTTP/1.1 200 OK", "Content-Length: 100") + "part")
	c.Stall()
}

// CutBody closes after "part" of 100 bytes: the client sees an unexpected EOF.
func CutBody(c *RawConn) { c.sayAndClose(Lines("HTTP/1.1 200 OK", "Content-Length: 100") + "part") }

// CutBodyReset resets after "part" of 100 bytes: the client sees ECONNRESET.
func CutBodyReset(c *RawConn) {
	c.ReadRequest()
	c.Write(Lines("HTTP/1.1 200 OK", "Content-Length: 100") + "part")
	c.Reset()
}

// CutChunk closes in the middle of a chunk, after "part".
func CutChunk(c *RawConn) {
	c.sayAndClose(Lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "64\r\npart")
}

// CutChunkReset resets in the middle of a chunk, after "part".
func CutChunkReset(c *RawConn) {
	c.ReadRequest()
	c.Write(Lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "64\r\npart")
	c.Reset()
}

// CutLastChunk closes after a whole chunk, without the last one that says it is
// complete: the body is torn although it looks whole.
func CutLastChunk(c *RawConn) {
	c.sayAndClose(Lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "4\r\npart\r\n")
}

// BadChunkSize sends "part" in a good chunk, then a chunk of size "zz".
func BadChunkSize(c *RawConn) {
	c.say(Lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "4\r\npart\r\nzz\r\nmore\r\n0\r\n\r\n")
}

// HugeChunkSize announces a chunk whose size does not fit 64 bits.
func HugeChunkSize(c *RawConn) {
	c.say(Lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "fffffffffffffffff\r\npart")
}

// CloseDelimited sends "whole" with neither length nor chunks and closes: a
// complete response, and no connection to reuse.
func CloseDelimited(c *RawConn) {
	c.sayAndClose(Lines("HTTP/1.1 200 OK", "Content-Type: text/plain") + "whole")
}

// CloseDelimitedReset sends "part" with neither length nor chunks and resets:
// the client must not take it for complete.
func CloseDelimitedReset(c *RawConn) {
	c.ReadRequest()
	c.Write(Lines("HTTP/1.1 200 OK", "Content-Type: text/plain") + "part")
	c.Reset()
}

// TrickleBody sends body n bytes at a time with a pause after each: never idle
// for long, late as a whole.
func TrickleBody(body string, n int, pause time.Duration) Script {
	return EachRequest(func(c *RawConn, _ Request) {
		c.Write(Lines("HTTP/1.1 200 OK", "Content-Type: text/plain", fmt.Sprintf("Content-Length: %d", len(body))))
		c.Trickle(body, n, pause)
	})
}

// EndlessBody sends chunks for ever.
func EndlessBody(c *RawConn) {
	c.ReadRequest()
	c.Write(Lines("HTTP/1.1 200 OK", "Content-Type: text/plain", "Transfer-Encoding: chunked"))
	chunk := "2000\r\n" + strings.Repeat("x", 0x2000) + "\r\n"
	for {
		c.Write(chunk)
	}
}

// LengthAndChunked has both Content-Length and Transfer-Encoding: chunked wins
// ("chunked"), or a strict client refuses (RFC 9112 section 6.3).
func LengthAndChunked(c *RawConn) {
	c.say(Lines("HTTP/1.1 200 OK", "Content-Length: 3", "Transfer-Encoding: chunked") + "7\r\nchunked\r\n0\r\n\r\n")
}

// TwoLengths has two different Content-Lengths, which must be refused.
func TwoLengths(c *RawConn) {
	c.say(Lines("HTTP/1.1 200 OK", "Content-Length: 2", "Content-Length: 5") + "hello")
}

// NegativeLength has Content-Length: -1, which must be refused.
func NegativeLength(c *RawConn) { c.say(Lines("HTTP/1.1 200 OK", "Content-Length: -1") + "hello") }

// GarbageAfter sends a second whole response, 200 "poison", on the heels of the
// first: a client that reuses the connection must not take it for the answer
// to its next request.
func GarbageAfter(c *RawConn) {
	c.ReadRequest()
	c.Write(Response(200, "ok") + Response(200, "poison"))
	c.say(Response(200, "ok"))
}

// BodyOn204 sends a 204 with a body that must not be there: on a reused
// connection it is poison, as in [GarbageAfter].
func BodyOn204(c *RawConn) {
	c.ReadRequest()
	c.Write(Lines("HTTP/1.1 204 No Content", "Content-Length: 6") + "poison")
	c.say(Response(200, "ok"))
}
