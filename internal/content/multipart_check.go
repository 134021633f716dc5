package content

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

func checkParts(parts []Part) error {
	for i := range parts {
		if err := checkPart(&parts[i], fmt.Sprintf("multipart.parts[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

func checkPart(p *Part, at string) error {
	if p.Name == "" {
		return fault.Invalid(at+".name", "a part needs a name; give the name of the form field")
	}
	if hasControl(p.Name) {
		return fault.Invalid(at+".name", "it holds a control character; remove it")
	}
	if hasControl(p.Filename) {
		return fault.Invalid(at+".filename", "it holds a control character; remove it")
	}
	if !httpguts.ValidHeaderFieldValue(p.ContentType) {
		return fault.Invalid(at+".content_type", "it holds a control character; write a media type such as `text/csv`")
	}
	typed := p.ContentType != ""
	for j, h := range p.Headers {
		if err := checkPartHeader(h, typed, fmt.Sprintf("%s.headers[%d]", at, j)); err != nil {
			return err
		}
		typed = typed || strings.EqualFold(h.Name, "Content-Type")
	}
	return nil
}

func checkPartHeader(h Field, typed bool, at string) error {
	if !httpguts.ValidHeaderFieldName(h.Name) {
		return fault.Invalid(at+".name", "it is no header field name; use letters, digits and hyphens")
	}
	if !httpguts.ValidHeaderFieldValue(string(h.Value)) {
		return fault.Invalid(at+".value", "it holds a control character; remove it")
	}
	switch strings.ToLower(h.Name) {
	case "content-disposition":
		return fault.Invalid(at+".name", "fetchsvc writes Content-Disposition; give the part's `name` and `filename` instead")
	case "content-length", "transfer-encoding":
		return fault.Invalidf(at+".name", "a part has no %s; remove it", h.Name)
	case "content-type":
		if typed {
			return fault.Invalid(at+".name", "the part has a content type already; keep one of them")
		}
	}
	return nil
}

// hasControl looks for control characters in a name, all but CR and LF, which
// are escaped.
func hasControl(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\r' && c != '\n' || c == 0x7f {
			return true
		}
	}
	return false
}

// checkBoundary holds a caller's boundary to RFC 2046, section 5.1.1, and to
// not occurring in what it delimits.
func checkBoundary(parts []Part, b string) error {
	const field = "multipart.boundary"
	if len(b) > 70 || b[len(b)-1] == ' ' {
		return fault.Invalid(field, "it is longer than 70 characters or ends in a space; leave it empty for a random one")
	}
	for i := range len(b) {
		if c := b[i]; !isAlnum(c) && !strings.ContainsRune("'()+_,-./:=? ", rune(c)) {
			return fault.Invalid(field, "it holds a character that RFC 2046 does not allow; leave it empty for a random one")
		}
	}
	delimiter := []byte("--" + b)
	for i := range parts {
		if bytes.Contains(parts[i].Data, delimiter) || headHas(&parts[i], b) {
			return fault.Invalidf(field, "it occurs in multipart.parts[%d]; leave it empty for a random one that does not", i)
		}
	}
	return nil
}
