package testpeer

import (
	"fmt"
	"strings"
	"time"
)

// Scripts whose response head is odd, huge, slow or no head at all.

const sshBanner = "SSH-2.0-OpenSSH_9.6\r\n"

// NotHTTP answers the request with an SSH banner: the client sees a malformed
// response.
func NotHTTP(c *RawConn) { c.sayAndClose(sshBanner) }

// SpeaksFirst sends an SSH banner before any request came, as such servers do: to
// the client it is malformed, or data on an idle connection.
func SpeaksFirst(c *RawConn) {
	c.Write(sshBanner)
	c.Linger()
}

// HTTP09 answers with a bare document and closes: no head at all.
func HTTP09(c *RawConn) { c.sayAndClose("<html>hello from 1991</html>") }

// HTTP10 answers as HTTP/1.0 does: no Content-Length, the end is the close.
func HTTP10(c *RawConn) {
	c.sayAndClose(Lines("HTTP/1.0 200 OK", "Content-Type: text/plain") + "hello")
}

// BadStatusLine answers "HTTP/1.1 OK 200": the client sees a malformed status.
func BadStatusLine(c *RawConn) { StatusLine("HTTP/1.1 OK 200")(c) }

// TrickleHead sends a good 200 whose head comes n bytes at a time: every read is
// quick, the head is late.
func TrickleHead(n int, pause time.Duration) Script {
	return EachRequest(func(c *RawConn, _ Request) {
		c.Trickle(Lines("HTTP/1.1 200 OK", "Content-Type: text/plain", "Content-Length: 2"), n, pause)
		c.Write("ok")
	})
}

// EndlessHead sends header lines for ever: the client must stop at its limit.
func EndlessHead(c *RawConn) {
	c.ReadRequest()
	c.Write("HTTP/1.1 200 OK\r\n")
	block := strings.Repeat("X-More: and more and more\r\n", 300)
	for {
		c.Write(block)
	}
}

// EndlessLine sends one header line that never ends.
func EndlessLine(c *RawConn) {
	c.ReadRequest()
	c.Write("HTTP/1.1 200 OK\r\nX-Long: ")
	block := strings.Repeat("long ", 1600)
	for {
		c.Write(block)
	}
}

// HugeHeader answers with one header, X-Huge, whose value has size bytes.
func HugeHeader(size int) Script {
	return func(c *RawConn) { c.say(Response(200, "ok", "X-Huge: "+strings.Repeat("h", size))) }
}

// ManyHeaders answers with n headers … besides Content-Length.
func ManyHeaders(n int) Script {
	return func(c *RawConn) {
		fields := make([]string, n)
		for i := range fields {
			fields[i] = fmt.Sprintf("X-%d: v", i)
		}
		c.say(Response(200, "ok", fields...))
	}
}

// BareLF ends its header lines with LF alone: lenient clients take it, strict
// ones must refuse.
func BareLF(c *RawConn) { c.say("HTTP/1.1 200 OK\nX-Bare: yes\nContent-Length: 2\n\nok") }

// FoldedHeader continues X-Folded on a second line (obs-fold, RFC 9112 section
// 5.2).
func FoldedHeader(c *RawConn) { c.say(Response(200, "ok", "X-Folded: one", "\ttwo")) }

// SpacedHeader has white space between a name and its colon, which a client may
// read as another header.
func SpacedHeader(c *RawConn) { c.say(Response(200, "ok", "X-Spaced : yes")) }

// NULHeader has a NUL byte in a value.
func NULHeader(c *RawConn) { c.say(Response(200, "ok", "X-Nul: a\x00b")) }

// Flood1xx sends n replies `102 Processing`, then a good 200; below 0 it never
// comes to the 200.
func Flood1xx(n int) Script {
	const batch = 100
	one := Lines("HTTP/1.1 102 Processing")
	return EachRequest(func(c *RawConn, _ Request) {
		for left := n; left != 0; {
			now := batch
			if left > 0 {
				now = min(left, batch)
				left -= now
			}
			c.Write(strings.Repeat(one, now))
		}
		c.Write(Response(200, "ok"))
	})
}

// EarlyHints sends 103 with a Link, then 200: the client's answer is the 200.
func EarlyHints(c *RawConn) {
	c.say(Lines("HTTP/1.1 103 Early Hints", "Link: </style.css>; rel=preload") + Response(200, "ok"))
}

// SwitchingProtocols answers 101 that nobody asked for and stays silent: there
// is no final response.
func SwitchingProtocols(c *RawConn) {
	c.ReadRequest()
	c.Write(Lines("HTTP/1.1 101 Switching Protocols", "Upgrade: snafu", "Connection: Upgrade"))
	c.Stall()
}

// ContinueUnasked sends 100 to every request, asked or not, then 200.
func ContinueUnasked(c *RawConn) { c.say(Lines("HTTP/1.1 100 Continue") + Response(200, "ok")) }

// ContinueTwice answers an Expect with two 100s, then reads the body and sends
// 200.
func ContinueTwice(c *RawConn) {
	h := c.ReadHead()
	c.Write(strings.Repeat(Lines("HTTP/1.1 100 Continue"), 2))
	c.ReadBody(h)
	c.Write(Response(200, "ok"))
	c.Linger()
}

// ContinueWithheld never sends the 100: it answers 200 once the body came
// anyway. A client that waits for ever hangs.
func ContinueWithheld(c *RawConn) {
	h := c.ReadHead()
	c.ReadBody(h)
	c.Write(Response(200, "ok"))
	c.Linger()
}

// ContinueThenFail sends 100 and then 500 without having read the body.
func ContinueThenFail(c *RawConn) {
	c.ReadHead()
	c.Write(Lines("HTTP/1.1 100 Continue") + Response(500, "no", "Connection: close"))
	c.Stall()
}

// ExpectRefused answers 417 on the head: a waiting client must not send its body.
func ExpectRefused(c *RawConn) {
	c.ReadHead()
	c.Write(Response(417, "no", "Connection: close"))
	c.Stall()
}
