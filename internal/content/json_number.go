package content

import (
	"bytes"
	"strconv"
)

// UnsafeJSONNumber finds the first number of a JSON text that a float64 would
// change, for telling somebody what is in the way of [LosslessJSON]. The text
// need not be valid: what is inside strings is passed over, and so is what is
// no JSON number. A literal of more than 64 bytes is cut there and ends in "…".
//
// It is one pass that converts no number of fewer than 16 digits without an
// exponent.
func UnsafeJSONNumber(body []byte) (literal string, found bool) {
	for i := 0; i < len(body); {
		switch c := body[i]; {
		case c == '"':
			i = afterString(body, i+1)
		case c == '-' || isDigit(c):
			end, simple := jsonNumber(body, i)
			if end < 0 || end < len(body) && isWordByte(body[end]) {
				i = afterWord(body, i+1)
				continue
			}
			if !simple && !survivesFloat(body[i:end]) {
				return shortLiteral(body[i:end]), true
			}
			i = end
		case isWordByte(c):
			i = afterWord(body, i+1)
		default:
			i++
		}
	}
	return "", false
}

// afterString gives the index behind the quote that ends the string body[i:]
// is in.
func afterString(body []byte, i int) int {
	for i < len(body) {
		switch body[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
		i++
	}
	return i
}

func afterWord(body []byte, i int) int {
	for i < len(body) && isWordByte(body[i]) {
		i++
	}
	return i
}

func isWordByte(c byte) bool {
	return isAlnum(c) || c == '_' || c == '-' || c == '+' || c == '.' || c >= 0x80
}

func shortLiteral(lit []byte) string {
	const most = 64
	if len(lit) > most {
		return string(lit[:most]) + "…"
	}
	return string(lit)
}

// jsonNumber gives the index behind the number that begins at b[i], or -1.
// simple says that a float64 holds it for sure: at most 15 digits and no
// exponent (C's DBL_DIG).
func jsonNumber(b []byte, i int) (end int, simple bool) {
	if b[i] == '-' {
		i++
	}
	from := i
	if i = afterDigits(b, i); i == from || b[from] == '0' && i > from+1 {
		return -1, false
	}
	digits := i - from
	if i < len(b) && b[i] == '.' {
		point := i + 1
		if i = afterDigits(b, point); i == point {
			return -1, false
		}
		digits += i - point
	}
	if i >= len(b) || b[i]|0x20 != 'e' {
		return i, digits <= 15
	}
	i++
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		i++
	}
	from = i
	if i = afterDigits(b, i); i == from {
		return -1, false
	}
	return i, false
}

func afterDigits(b []byte, i int) int {
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i
}

// maxDigits is how many digits the shortest spelling of a float64 can have.
const maxDigits = 17

// decimal is a number other than 0 without its sign: 0.DIGITS times ten to the
// power of exp, with no 0 at either end of DIGITS.
type decimal struct {
	digits [maxDigits]byte
	n      int
	exp    int64
}

// survivesFloat reports whether lit, a valid JSON number, has the value that
// the shortest spelling of its float64 has.
func survivesFloat(lit []byte) bool {
	d, ok := decimalOf(lit)
	if !ok || d.n == 0 {
		return ok
	}
	if d.exp > 310 || d.exp < -330 { // far outside of what a float64 reaches
		return false
	}
	var room [48]byte
	text := append(room[:0], "0."...)
	text = append(text, d.digits[:d.n]...)
	text = append(text, 'e')
	text = strconv.AppendInt(text, d.exp, 10)
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return false
	}
	back, ok := decimalOf(strconv.AppendFloat(room[:0], f, 'e', -1, 64))
	return ok && back == d
}

// decimalOf is false for a number of more than maxDigits digits.
func decimalOf(lit []byte) (d decimal, ok bool) {
	lit = bytes.TrimPrefix(lit, []byte("-"))
	zeros, point := 0, false
	for i, c := range lit {
		switch {
		case c == '.':
			point = true
			continue
		case !isDigit(c):
			d.exp += exponentOf(lit[i+1:])
			return d, true
		case c == '0' && d.n == 0: // leading
			if point {
				d.exp--
			}
			continue
		case c == '0':
			zeros++ // trailing, unless a digit follows
		default:
			if d.n+zeros >= maxDigits {
				return d, false
			}
			for ; zeros > 0; zeros-- {
				d.digits[d.n] = '0'
				d.n++
			}
			d.digits[d.n] = c
			d.n++
		}
		if !point {
			d.exp++
		}
	}
	return d, true
}

// exponentOf reads [+-]DIGITS and stops counting where it no longer matters.
func exponentOf(b []byte) int64 {
	const enough = 1 << 40 // beyond any point that a literal in memory can make up for
	var e int64
	for _, c := range b {
		if isDigit(c) {
			e = min(e*10+int64(c-'0'), enough)
		}
	}
	if len(b) > 0 && b[0] == '-' {
		return -e
	}
	return e
}
