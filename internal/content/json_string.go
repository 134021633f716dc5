package content

import (
	"unicode/utf16"
	"unicode/utf8"
)

// string takes a string and says whether it has escapes.
func (s *jsonScanner) string() (escaped, ok bool) {
	if !s.at('"') {
		return false, false
	}
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return escaped, true
		case c == '\\':
			escaped = true
			if !s.escape() {
				return escaped, false
			}
		case c < ' ':
			return escaped, false
		default:
			s.i++
		}
	}
	return escaped, false
}

// escape takes one escape; two of them where it takes two to write a character.
func (s *jsonScanner) escape() bool {
	rest := s.b[s.i:]
	if len(rest) < 2 {
		return false
	}
	switch rest[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.i += 2
		return true
	}
	r, size := unicodeEscape(rest)
	s.i += size
	return size > 0 && !utf16.IsSurrogate(r)
}

// unicodeEscape reads \uXXXX, or both halves of a surrogate pair; a lone half
// comes back as it is. size is 0 if there is none at the head of b.
func unicodeEscape(b []byte) (r rune, size int) {
	r, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if utf16.IsSurrogate(r) {
		if low, ok := hex4(b[6:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 12
			}
		}
	}
	return r, 6
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		d, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case isDigit(c):
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// appendUnescaped appends what raw, which string has found to be valid, spells.
func appendUnescaped(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			dst = append(dst, raw[i])
			i++
			continue
		}
		if r, size := unicodeEscape(raw[i:]); size > 0 {
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		}
		dst = append(dst, shortEscape(raw[i+1]))
		i += 2
	}
	return dst
}

// shortEscape is what a backslash and c stand for.
func shortEscape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}
