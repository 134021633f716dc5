package content

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
)

const (
	bomUTF8    = "\xef\xbb\xbf"
	bomUTF16LE = "\xff\xfe"
	bomUTF16BE = "\xfe\xff"
	bomGB18030 = "\x84\x31\x95\x33"
)

// DecodeText gives body as a string of valid UTF-8, the charset it was read in
// (the canonical name of the Encoding standard, lower case), and whether every
// byte could be read; if not, U+FFFD stands where one could not.
//
// The charset is the first of: override; the one that contentType declares;
// that of a byte order mark; the one that an XML declaration or a <meta> names,
// if the body is XML or HTML by its type, or has no type and looks like it;
// UTF-8 if the body is valid; windows-1252. A name that is unknown is passed
// over. A byte order mark of that charset is not part of the text.
func DecodeText(body []byte, contentType string, override string) (text string, charset string, clean bool) {
	cs := charsetOf(body, contentType, override)
	text, clean = cs.decode(body)
	return text, cs.name, clean
}

func charsetOf(body []byte, contentType, override string) charset {
	if override != "" {
		if cs, ok := declared(override, body); ok {
			return cs
		}
	}
	if label, ok := param(contentType, "charset"); ok {
		if cs, ok := declared(label, body); ok {
			return cs
		}
	}
	if cs, ok := byMark(body); ok {
		return cs
	}
	if cs, ok := byMarkup(body, essence(contentType)); ok {
		return cs
	}
	if utf8.Valid(body) {
		return utf8Charset()
	}
	return windows1252()
}

func declared(label string, body []byte) (charset, bool) {
	cs, ok := lookup(label)
	if ok && openUTF16(label, cs) && hasPrefix(body, bomUTF16BE) {
		return utf16Charset(unicode.BigEndian), true
	}
	return cs, ok
}

func byMark(body []byte) (charset, bool) {
	switch {
	case hasPrefix(body, bomUTF8):
		return utf8Charset(), true
	case hasPrefix(body, bomUTF16LE):
		return utf16Charset(unicode.LittleEndian), true
	case hasPrefix(body, bomUTF16BE):
		return utf16Charset(unicode.BigEndian), true
	}
	return charset{}, false
}

func (cs charset) decode(body []byte) (text string, clean bool) {
	if cs.enc == nil {
		return decodeUTF8(trimPrefix(body, bomUTF8))
	}
	var replacement string // how the charset itself writes U+FFFD, if it can
	switch cs.name {
	case "utf-16le":
		body, replacement = trimPrefix(body, bomUTF16LE), "\xfd\xff"
	case "utf-16be":
		body, replacement = trimPrefix(body, bomUTF16BE), "\xff\xfd"
	case "gb18030":
		body, replacement = trimPrefix(body, bomGB18030), "\x84\x31\xa4\x37"
	}
	b, err := cs.enc.NewDecoder().Bytes(body)
	if err != nil { // no decoder of the standard fails; were one to, its text is not whole
		return string(bytes.ToValidUTF8(b, []byte("\ufffd"))) + "\ufffd", false
	}
	text = string(b)
	return text, strings.Count(text, "\ufffd") <= count(body, replacement)
}

// decodeUTF8 costs one copy if body is valid. If not, each maximal part of an
// ill-formed sequence becomes one U+FFFD, as in browsers and Python.
func decodeUTF8(body []byte) (string, bool) {
	if utf8.Valid(body) {
		return string(body), true
	}
	b, err := unicode.UTF8.NewDecoder().Bytes(body)
	if err != nil {
		b = bytes.ToValidUTF8(body, []byte("\ufffd"))
	}
	return string(b), false
}

// count counts sep in body; two bytes count only where a UTF-16 unit begins.
func count(body []byte, sep string) int {
	if len(sep) != 2 {
		if sep == "" {
			return 0
		}
		return bytes.Count(body, []byte(sep))
	}
	n := 0
	for i := 0; i+1 < len(body); i += 2 {
		if body[i] == sep[0] && body[i+1] == sep[1] {
			n++
		}
	}
	return n
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

func trimPrefix(b []byte, prefix string) []byte {
	if hasPrefix(b, prefix) {
		return b[len(prefix):]
	}
	return b
}
