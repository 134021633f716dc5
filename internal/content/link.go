package content

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

const (
	maxLinks      = 256
	maxLinkParams = 32 // of one link
)

// Link is one link of a Link field (RFC 8288).
type Link struct {
	// URI is what stands between the angle brackets, not resolved.
	URI string
	// Rel is the value of the first `rel`, which may name several relations
	// with spaces between; empty if there is none.
	Rel string
	// Params are the other parameters in order, names in lower case. One whose
	// name ends in '*' (RFC 8187) has its decoded value, in UTF-8, or its value
	// as written if it does not decode.
	Params []Field
}

// ParseLinks reads the values of Link fields as RFC 8288, appendix B.2, does
// and as leniently as browsers and requests: what is no link is passed over.
// URI, Rel and the names of parameters are always valid UTF-8. At most 256
// links, with 32 parameters each, are given.
func ParseLinks(values []string) []Link {
	var links []Link
	for _, s := range values {
		for len(links) < maxLinks {
			i := strings.IndexByte(s, '<')
			if i < 0 {
				break
			}
			uri, rest, ok := strings.Cut(s[i+1:], ">")
			if !ok {
				break
			}
			l := Link{URI: toUTF8(strings.Trim(uri, httpSpace))}
			s = l.readParams(rest)
			links = append(links, l)
		}
	}
	return links
}

// readParams takes the parameters at the head of s, up to the comma that ends
// the link, and gives the rest.
func (l *Link) readParams(s string) (rest string) {
	hasRel := false
	for {
		var more bool
		if s, more = toParam(s); !more {
			return s
		}
		i := strings.IndexAny(s, "=;,")
		if i < 0 {
			i = len(s)
		}
		name := toUTF8(strings.ToLower(strings.Trim(s[:i], httpSpace)))
		value := ""
		if s = s[i:]; strings.HasPrefix(s, "=") {
			value, s = linkValue(strings.TrimLeft(s[1:], httpSpace))
		}
		switch {
		case name == "":
		case name == "rel":
			if !hasRel {
				hasRel, l.Rel = true, toUTF8(value)
			}
		case len(l.Params) < maxLinkParams:
			l.Params = append(l.Params, Field{Name: name, Value: paramBytes(name, value)})
		}
	}
}

// toParam passes over what stands before the next ';' or ','. more says that a
// parameter follows; if not, rest is behind the comma, or empty.
func toParam(s string) (rest string, more bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ';':
			return s[i+1:], true
		case ',':
			return s[i+1:], false
		}
	}
	return "", false
}

// linkValue takes a parameter's value: a quoted string, or all up to the next
// ';' or ','.
func linkValue(s string) (value, rest string) {
	if strings.HasPrefix(s, `"`) {
		return unquote(s)
	}
	i := strings.IndexAny(s, ";,")
	if i < 0 {
		i = len(s)
	}
	return strings.TrimRight(s[:i], httpSpace), s[i:]
}

func paramBytes(name, value string) []byte {
	if strings.HasSuffix(name, "*") {
		if b, ok := extendedValue(value); ok {
			return b
		}
	}
	return []byte(value)
}

// extendedValue decodes charset'language'value (RFC 8187, section 3.2) in the
// charset that it requires, UTF-8, and the one that its forerunner did too.
func extendedValue(s string) ([]byte, bool) {
	label, rest, ok := strings.Cut(s, "'")
	if !ok {
		return nil, false
	}
	_, escaped, ok := strings.Cut(rest, "'")
	if !ok {
		return nil, false
	}
	b, ok := unescapePercent(escaped)
	switch {
	case !ok:
		return nil, false
	case strings.EqualFold(label, "utf-8"):
		return b, utf8.Valid(b)
	case strings.EqualFold(label, "iso-8859-1"):
		b, err := charmap.ISO8859_1.NewDecoder().Bytes(b)
		return b, err == nil
	}
	return nil, false
}

func unescapePercent(s string) ([]byte, bool) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) {
				return nil, false
			}
			high, ok1 := hexDigit(s[i+1])
			low, ok2 := hexDigit(s[i+2])
			if !ok1 || !ok2 {
				return nil, false
			}
			c = high<<4 | low
			i += 2
		}
		b = append(b, c)
	}
	return b, true
}

// toUTF8 makes s fit for a string of the API; field values may hold any bytes.
func toUTF8(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
