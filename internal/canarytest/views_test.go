package canarytest

import (
	"bytes"
	"html"
	"unicode/utf8"
)

// view is a way to read a text before looking through it.
type view struct {
	name string
	// read gives what the text's codes stand for; nil: there are none.
	read func([]byte) []byte
	// holds: what is coded by it may be coded otherwise beneath.
	holds bool
}

var views = []view{
	{"percent", unpercent, true}, {"escapes", unescape, true}, {"base64", unbase64, true},
	{"HTML", unhtml, false}, {"hex", unhex, false}, {"UTF-16", unutf16, false},
}

//go:norace
func unpercent(b []byte) []byte {
	if bytes.IndexByte(b, '%') < 0 {
		return nil
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if n := number(b[i:], 1, 2); b[i] == '%' && n >= 0 {
			out = append(out, byte(n))
			i += 2
			continue
		}
		out = append(out, b[i])
	}
	return out
}

// number reads n hexadecimal digits from the from-th byte on; -1: there are none.
//
//go:norace
func number(b []byte, from, n int) (value int) {
	if len(b) < from+n {
		return -1
	}
	for _, c := range b[from : from+n] {
		d := digit(c)
		if d < 0 {
			return -1
		}
		value = value<<4 | d
	}
	return value
}

//go:norace
func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

//go:norace
func unescape(b []byte) []byte {
	if bytes.IndexByte(b, '\\') < 0 {
		return nil
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' || i+1 == len(b) {
			out = append(out, b[i])
			continue
		}
		i++
		if n := number(b[i:], 1, 4); b[i] == 'u' && n >= 0 {
			out = utf8.AppendRune(out, rune(n))
			i += 4
		} else if n := number(b[i:], 1, 2); b[i] == 'x' && n >= 0 {
			out = append(out, byte(n))
			i += 2
		} else {
			out = append(out, b[i])
		}
	}
	return out
}

func unhtml(b []byte) []byte {
	if bytes.IndexByte(b, '&') < 0 {
		return nil
	}
	return []byte(html.UnescapeString(string(b)))
}

// runs gives f what of b is made of an alphabet, if it is long enough to hold a
// part.
//
//go:norace
func runs(b []byte, value func(byte) int, f func(run []byte)) {
	from := 0
	for i := 0; i <= len(b); i++ {
		if i < len(b) && value(b[i]) >= 0 {
			continue
		}
		if i-from >= window {
			f(b[from:i])
		}
		from = i + 1
	}
}

// unhex gives what every run of digits stands for, wherever it begins.
//
//go:norace
func unhex(b []byte) (out []byte) {
	runs(b, digit, func(run []byte) {
		for skip := range 2 {
			for i := skip; i+1 < len(run); i += 2 {
				out = append(out, byte(digit(run[i])<<4|digit(run[i+1])))
			}
			out = append(out, '\n')
		}
	})
	return out
}

// sextet is a character of base64, of either alphabet.
//
//go:norace
func sextet(c byte) int {
	switch {
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 26
	case '0' <= c && c <= '9':
		return int(c-'0') + 52
	case c == '+' || c == '-':
		return 62
	case c == '/' || c == '_':
		return 63
	}
	return -1
}

// unbase64 gives what every run of the alphabet stands for, wherever it begins.
//
//go:norace
func unbase64(b []byte) (out []byte) {
	runs(b, sextet, func(run []byte) {
		for skip := range 4 {
			bits, held := 0, 0
			for _, c := range run[skip:] {
				bits, held = bits<<6&0xffffff|sextet(c), held+6
				if held >= 8 {
					held -= 8
					out = append(out, byte(bits>>held))
				}
			}
			out = append(out, '\n')
		}
	})
	return out
}

// unutf16 gives text of either byte order without its zeros.
//
//go:norace
func unutf16(b []byte) []byte {
	if bytes.Count(b, []byte{0}) < window {
		return nil
	}
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c != 0 {
			out = append(out, c)
		}
	}
	return out
}
