package content

import (
	"bytes"
	"crypto/rand"
	"strings"
)

// Part is one part of a multipart/form-data body.
type Part struct {
	// Name is the form field's name; it must not be empty.
	Name string
	// Filename makes the part a file. HasFilename sends an empty one too, as
	// browsers do for a file input without a file.
	Filename    string
	HasFilename bool
	// ContentType is the part's own; empty means none for a plain field, and
	// for a file what its extension says, or application/octet-stream.
	ContentType string
	// Headers are further header fields of the part, sent in order.
	Headers []Field
	Data    []byte
}

func (p *Part) isFile() bool { return p.HasFilename || p.Filename != "" }

// EncodeMultipart gives parts as multipart/form-data (RFC 7578) and the
// Content-Type that goes with the body.
//
// Names and file names are UTF-8 as they are, with '"', CR and LF as %22, %0D
// and %0A: what browsers send
// (https://html.spec.whatwg.org/#multipart-form-data). An empty boundary means
// a random one that occurs in no part. Content types guessed for files come
// from a table of this package, so that they are the same on every machine.
//
// What cannot be sent as asked is a [fault.Error] of InvalidRequest that names
// the field, such as `multipart.parts[2].name`; only the first is reported.
func EncodeMultipart(parts []Part, boundary string) (body []byte, contentType string, err error) {
	if err := checkParts(parts); err != nil {
		return nil, "", err
	}
	if boundary == "" {
		boundary = freshBoundary(parts)
	} else if err := checkBoundary(parts, boundary); err != nil {
		return nil, "", err
	}
	body = make([]byte, 0, multipartLen(parts, boundary))
	for i := range parts {
		body = appendPart(body, &parts[i], boundary)
	}
	body = append(body, "--"...)
	body = append(body, boundary...)
	body = append(body, "--\r\n"...)
	return body, "multipart/form-data; boundary=" + quoteBoundary(boundary), nil
}

func appendPart(dst []byte, p *Part, boundary string) []byte {
	dst = append(dst, "--"...)
	dst = append(dst, boundary...)
	dst = append(dst, "\r\nContent-Disposition: form-data; name=\""...)
	dst = appendPartName(dst, p.Name)
	if p.isFile() {
		dst = append(dst, "\"; filename=\""...)
		dst = appendPartName(dst, p.Filename)
	}
	dst = append(dst, "\"\r\n"...)
	if ct := partType(p); ct != "" {
		dst = append(dst, "Content-Type: "...)
		dst = append(dst, ct...)
		dst = append(dst, "\r\n"...)
	}
	for _, h := range p.Headers {
		dst = append(dst, h.Name...)
		dst = append(dst, ": "...)
		dst = append(dst, h.Value...)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "\r\n"...)
	dst = append(dst, p.Data...)
	return append(dst, "\r\n"...)
}

// partType is what to write after "Content-Type: ", or nothing: the part's
// headers may carry one.
func partType(p *Part) string {
	if p.ContentType != "" || !p.isFile() {
		return p.ContentType
	}
	for _, h := range p.Headers {
		if strings.EqualFold(h.Name, "Content-Type") {
			return ""
		}
	}
	return typeByName(p.Filename)
}

func appendPartName(dst []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\r', '\n':
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// multipartLen bounds the length of the body, closely enough that it is
// allocated once and little of it is wasted.
func multipartLen(parts []Part, boundary string) int {
	const frame = len("--\r\nContent-Disposition: form-data; name=\"\"; filename=\"\"\r\nContent-Type: \r\n\r\n\r\n")
	n := len(boundary) + len("----\r\n")
	for i := range parts {
		p := &parts[i]
		n += frame + len(boundary) + len(partType(p)) + len(p.Data)
		n += partNameLen(p.Name) + partNameLen(p.Filename)
		for _, h := range p.Headers {
			n += len(h.Name) + len(h.Value) + len(": \r\n")
		}
	}
	return n
}

func partNameLen(s string) int {
	return len(s) + 2*(strings.Count(s, `"`)+strings.Count(s, "\r")+strings.Count(s, "\n"))
}

// freshBoundary gives a boundary of 130 random bits that occurs in no part.
func freshBoundary(parts []Part) string {
	for {
		if b := rand.Text(); !anyPartHas(parts, b) {
			return b
		}
	}
}

func anyPartHas(parts []Part, boundary string) bool {
	needle := []byte(boundary)
	for i := range parts {
		if bytes.Contains(parts[i].Data, needle) || headHas(&parts[i], boundary) {
			return true
		}
	}
	return false
}

// headHas reports whether a header line of p would begin like a delimiter: a
// field name may begin with "--", and lenient readers look for delimiters in
// the head too.
func headHas(p *Part, boundary string) bool {
	for _, h := range p.Headers {
		if rest, ok := strings.CutPrefix(h.Name, "--"); ok && strings.HasPrefix(rest, boundary) {
			return true
		}
	}
	return false
}

// quoteBoundary quotes a boundary that is no token (RFC 2045, section 5.1).
// None of its characters needs a backslash.
func quoteBoundary(b string) string {
	if strings.ContainsAny(b, "(),/:=? ") {
		return `"` + b + `"`
	}
	return b
}
