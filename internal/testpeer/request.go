package testpeer

import (
	"bytes"
	"io"
	"runtime"
	"strconv"
	"strings"
)

// Field is one header or trailer line as it came: the name in its own case, the
// value without the white space around it.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Head is a request head: the bytes, and a lenient reading of them.
type Head struct {
	// Raw is everything up to and including the empty line.
	Raw []byte
	// Method, Target and Proto are the request line, split at its spaces.
	Method, Target, Proto string
	// Fields are the header lines in order, duplicates included.
	Fields []Field
}

// Get is the first value of a header, "" without one.
func (h Head) Get(name string) string {
	if v := h.Values(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// Values are all values of a header in order; names compare without case.
func (h Head) Values(name string) []string { return values(h.Fields, name) }

// Body is a request body.
type Body struct {
	// Raw is what was on the wire, chunk framing and trailers included.
	Raw []byte
	// Data is the content, without framing.
	Data []byte
	// Trailer are the trailer lines of a chunked body.
	Trailer []Field
}

// Request is one whole request.
type Request struct {
	Head
	Body Body
}

// ReadRequest reads a head and its body and captures both. It answers
// `Expect: 100-continue` with the 100 that it asks for.
func (c *RawConn) ReadRequest() Request {
	h := c.ReadHead()
	if strings.EqualFold(h.Get("Expect"), "100-continue") {
		c.Write("HTTP/1.1 100 Continue\r\n\r\n")
	}
	return Request{Head: h, Body: c.ReadBody(h)}
}

// ReadHead reads up to CRLF CRLF and captures it as a new request.
func (c *RawConn) ReadHead() Head {
	var raw []byte
	for !bytes.HasSuffix(raw, []byte("\r\n\r\n")) {
		line, err := c.br.ReadBytes('\n')
		c.check(err)
		raw = append(raw, line...)
	}
	c.srv.watch.update(func() {
		c.at = len(c.srv.requests)
		c.srv.requests = append(c.srv.requests, bytes.Clone(raw))
	})
	return parseHead(raw)
}

// ReadBody reads the body that h announces, by chunks or by Content-Length, and
// captures it with the head. No announcement means no body.
func (c *RawConn) ReadBody(h Head) Body {
	if strings.HasSuffix(strings.ToLower(h.Get("Transfer-Encoding")), "chunked") {
		return c.readChunks()
	}
	n, err := strconv.Atoi(h.Get("Content-Length"))
	if err != nil || n <= 0 {
		return Body{}
	}
	data := c.take(n)
	return Body{Raw: data, Data: data}
}

func (c *RawConn) readChunks() (b Body) {
	for {
		line := c.takeLine()
		b.Raw = append(b.Raw, line...)
		digits, _, _ := strings.Cut(strings.TrimSpace(string(line)), ";")
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 16, 32)
		if err != nil {
			runtime.Goexit() // not chunked after all; what came is captured
		}
		if n == 0 {
			break
		}
		chunk := c.take(int(n) + 2)
		b.Raw = append(b.Raw, chunk...)
		b.Data = append(b.Data, chunk[:n]...)
	}
	var trailer []byte
	for {
		line := c.takeLine()
		b.Raw = append(b.Raw, line...)
		if len(bytes.TrimSpace(line)) == 0 {
			b.Trailer = parseFields(string(trailer))
			return b
		}
		trailer = append(trailer, line...)
	}
}

// take reads n bytes of a body and captures them as far as they come.
func (c *RawConn) take(n int) []byte {
	b := make([]byte, n)
	got, err := io.ReadFull(c.br, b)
	c.capture(b[:got])
	c.check(err)
	return b
}

func (c *RawConn) takeLine() []byte {
	line, err := c.br.ReadBytes('\n')
	c.capture(line)
	c.check(err)
	return line
}

func (c *RawConn) capture(b []byte) {
	c.srv.watch.update(func() {
		c.srv.requests[c.at] = append(c.srv.requests[c.at], b...)
	})
}

func parseHead(raw []byte) Head {
	first, rest, _ := strings.Cut(string(raw), "\r\n")
	h := Head{Raw: raw, Fields: parseFields(rest)}
	h.Method, rest, _ = strings.Cut(first, " ")
	h.Target, h.Proto, _ = strings.Cut(rest, " ")
	return h
}

func parseFields(lines string) []Field {
	var fields []Field
	for line := range strings.SplitSeq(lines, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields = append(fields, Field{Name: name, Value: strings.Trim(value, " \t")})
		}
	}
	return fields
}

func values(fields []Field, name string) []string {
	var found []string
	for _, f := range fields {
		if strings.EqualFold(f.Name, name) {
			found = append(found, f.Value)
		}
	}
	return found
}
