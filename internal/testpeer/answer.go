package testpeer

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Lines ends every line with CRLF and adds the empty line: a head.
func Lines(lines ...string) string {
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// Response is a whole HTTP/1.1 response: fields are "Name: value" lines, and
// Content-Length is added.
func Response(status int, body string, fields ...string) string {
	lines := []string{fmt.Sprintf("HTTP/1.1 %d %s", status, http.StatusText(status))}
	lines = append(lines, fields...)
	lines = append(lines, "Content-Length: "+strconv.Itoa(len(body)))
	return Lines(lines...) + body
}

// InTurn serves connection i with scripts[i]; the last script serves all that
// follow. For "fails once, then works": InTurn(ResetBeforeHead, OK).
func InTurn(scripts ...Script) Script {
	return func(c *RawConn) { scripts[min(c.Index(), len(scripts)-1)](c) }
}

// EachRequest reads request after request of a keep-alive connection and has
// answer write the response to each. It closes after a request that asks for it.
func EachRequest(answer func(c *RawConn, r Request)) Script {
	return func(c *RawConn) {
		for {
			r := c.ReadRequest()
			answer(c, r)
			if r.Proto == "HTTP/1.0" || strings.EqualFold(r.Get("Connection"), "close") {
				c.Linger()
			}
		}
	}
}

// Answer sends responses[i] verbatim to the server's request i, whichever
// connection it comes on, and the last one to all that follow.
func Answer(responses ...string) Script {
	return EachRequest(func(c *RawConn, _ Request) {
		c.Write(responses[min(c.at, len(responses)-1)])
	})
}

// OK answers every request with 200, text/plain, "ok": nothing is wrong here.
func OK(c *RawConn) { c.say(Response(200, "ok", "Content-Type: text/plain")) }

// say answers every request of the connection with the same bytes.
func (c *RawConn) say(response string) {
	EachRequest(func(c *RawConn, _ Request) { c.Write(response) })(c)
}

// sayAndClose answers one request and sends FIN.
func (c *RawConn) sayAndClose(response string) {
	c.ReadRequest()
	c.Write(response)
	c.Linger()
}

// StatusLine answers every request with that status line and the body "odd".
func StatusLine(line string) Script {
	return func(c *RawConn) { c.say(Lines(line, "Content-Length: 3") + "odd") }
}

// Status answers with a status code of any spelling: "42", "999", "20x".
func Status(code string) Script { return StatusLine("HTTP/1.1 " + code + " Odd") }

// Reason answers 418 with a reason phrase of its own: "418 Short And Stout".
func Reason(c *RawConn) { StatusLine("HTTP/1.1 418 Short And Stout")(c) }

// SetCookies answers with three Set-Cookie lines, one of them with a comma in
// its Expires: a client that joins them cannot split them again.
func SetCookies(c *RawConn) {
	c.say(Response(200, "ok",
		"Set-Cookie: a=1; Path=/",
		"Set-Cookie: b=2; Expires=Wed, 21 Oct 2037 07:28:00 GMT; HttpOnly",
		"Set-Cookie: c=3; SameSite=Lax"))
}

// RepeatedHeaders answers with X-Many: one, two, three on lines of their own, in
// different cases and with another header between them.
func RepeatedHeaders(c *RawConn) {
	c.say(Response(200, "ok", "X-Many: one", "x-many: two", "X-Other: between", "X-MANY: three"))
}

// Latin1Header answers with X-Name: "Müller" in ISO 8859-1, which is not UTF-8.
func Latin1Header(c *RawConn) { c.say(Response(200, "ok", "X-Name: M\xfcller")) }

// NoContentType answers with a JSON body and no Content-Type.
func NoContentType(c *RawConn) { c.say(Response(200, `{"n":1}`)) }

// NoContent answers 204 with `Content-Length: 0`, which RFC 9110 section 8.6
// forbids and many send.
func NoContent(c *RawConn) { c.say(Lines("HTTP/1.1 204 No Content", "Content-Length: 0")) }

// NotModified answers 304 with the Content-Length and ETag of a body that it
// rightly does not send.
func NotModified(c *RawConn) {
	c.say(Lines("HTTP/1.1 304 Not Modified", `ETag: "v1"`, "Content-Length: 1234"))
}

// HeadGzip answers HEAD (whatever the method) with the Content-Length and
// Content-Encoding of a gzip body that does not follow.
func HeadGzip(c *RawConn) {
	c.say(Lines("HTTP/1.1 200 OK", "Content-Encoding: gzip", "Content-Length: 1234"))
}

// Trailers answers in chunks with the announced trailer X-Checksum, sent twice,
// and the unannounced X-Surprise.
func Trailers(c *RawConn) {
	c.say(Lines("HTTP/1.1 200 OK", "Trailer: X-Checksum", "Transfer-Encoding: chunked") +
		"5\r\nhello\r\n0\r\n" +
		Lines("X-Checksum: abc", "X-Checksum: def", "X-Surprise: boo"))
}
