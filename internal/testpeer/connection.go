package testpeer

// Scripts that fail before or around the response head, or between responses.

// ResetOnAccept resets at once: the client sees ECONNRESET (or EPIPE) while it
// writes or waits, or even as the outcome of its connect.
func ResetOnAccept(c *RawConn) { c.Reset() }

// CloseOnAccept closes at once: the client sees EOF, or ECONNRESET if it had
// already sent something.
func CloseOnAccept(c *RawConn) { c.Close() }

// StallOnAccept reads whatever comes and never answers: the client's request is
// sent, its wait for the head lasts.
func StallOnAccept(c *RawConn) { c.Stall() }

// FreezeOnAccept reads nothing: the client's upload hangs once the TCP window is
// full.
func FreezeOnAccept(c *RawConn) { c.Freeze() }

// ResetBeforeHead reads the request and resets: the client sees ECONNRESET and
// cannot know whether it was processed.
func ResetBeforeHead(c *RawConn) {
	c.ReadRequest()
	c.Reset()
}

// CloseBeforeHead reads the request and closes without a byte: the client sees
// EOF.
func CloseBeforeHead(c *RawConn) {
	c.ReadRequest()
	c.Linger()
}

// halfHead ends with a whole line: net/http calls a torn line malformed, and
// the torn connection goes unmentioned.
const halfHead = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"

// ResetMidHead resets after half a head: the socket reads ECONNRESET, which
// net/http reports as an unexpected EOF.
func ResetMidHead(c *RawConn) {
	c.ReadRequest()
	c.Write(halfHead)
	c.Reset()
}

// CloseMidHead closes after half a head: the client sees an unexpected EOF.
func CloseMidHead(c *RawConn) { c.sayAndClose(halfHead) }

// CloseMidLine closes within a header line, before its colon: net/http says
// "malformed MIME header" where it should say unexpected EOF.
func CloseMidLine(c *RawConn) { c.sayAndClose(halfHead + "X-Tor") }

// StallMidHead stalls after half a head: the client has bytes, and waits for
// the rest.
func StallMidHead(c *RawConn) {
	c.ReadRequest()
	c.Write(halfHead)
	c.Stall()
}

// StaleAfter answers n requests on each connection and hangs up without a byte
// when the next one arrives: a client that reuses the connection sees EOF
// after it has sent a request; on a new connection it succeeds.
func StaleAfter(n int) Script {
	return func(c *RawConn) {
		c.answerTimes(n)
		c.ReadHead()
		c.Linger()
	}
}

// StaleResetAfter is StaleAfter with a RST: ECONNRESET instead of EOF.
func StaleResetAfter(n int) Script {
	return func(c *RawConn) {
		c.answerTimes(n)
		c.ReadHead()
		c.Reset()
	}
}

// CloseAfter answers n requests on each connection and closes at once, without
// having said `Connection: close`: the client's idle connection dies, and a
// request that races with the FIN sees EOF or ECONNRESET.
func CloseAfter(n int) Script {
	return func(c *RawConn) {
		c.answerTimes(n)
		c.Close()
	}
}

func (c *RawConn) answerTimes(n int) {
	for range n {
		c.ReadRequest()
		c.Write(Response(200, "ok"))
	}
}

// EarlyAnswer answers 413 on the head alone and goes on discarding the upload:
// the client has its answer while it still sends.
func EarlyAnswer(c *RawConn) {
	c.ReadHead()
	c.Write(Response(413, "too large", "Connection: close"))
	c.Stall()
}

// EarlyAnswerFreeze answers 413 on the head alone and stops reading: a client
// that finishes its upload before it reads hangs.
func EarlyAnswerFreeze(c *RawConn) {
	c.ReadHead()
	c.Write(Response(413, "too large", "Connection: close"))
	c.Freeze()
}

// EarlyAnswerReset answers 413 on the head alone and resets: the client's upload
// fails, the answer is there if it looks.
func EarlyAnswerReset(c *RawConn) {
	c.ReadHead()
	c.Write(Response(413, "too large", "Connection: close"))
	c.Reset()
}
