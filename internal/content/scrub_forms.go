package content

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// plainForms are the spellings of v that have no variants of their own.
func plainForms(v string) []string {
	low := hex.EncodeToString([]byte(v))
	forms := []string{v, strings.ReplaceAll(v, " ", "+"), low, strings.ToUpper(low)}
	return append(forms, wide(v)...)
}

// wide is v in UTF-16. Of ASCII one form serves both byte orders.
func wide(v string) []string {
	var low, high []byte
	for _, unit := range utf16.Encode([]rune(v)) {
		low = append(low, byte(unit), byte(unit>>8))
		high = append(high, byte(unit>>8), byte(unit))
	}
	if low, ok := bytes.CutSuffix(low, []byte{0}); ok && bytes.Equal(low, high[1:]) {
		return []string{string(low)}
	}
	return []string{string(low), string(high)}
}

// base64Forms are the spellings of v in either alphabet.
func base64Forms(v string) (forms []string) {
	for before := range 3 {
		core := base64Core(v, before)
		forms = append(forms, core, strings.NewReplacer("+", "-", "/", "_").Replace(core))
	}
	return forms
}

// base64Core is what the base64 of any text that has v behind before bytes (modulo
// 3) has in it: without the characters at its edges that the neighbours shape too.
func base64Core(v string, before int) string {
	text := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), v...))
	return text[(before*8+5)/6 : (before+len(v))*8/6]
}

// view is a way to read bytes before looking for a form in them.
type view uint8

const (
	asIs      view = iota
	percent        // RFC 3986
	backslash      // JSON, and most languages' literals
	entity         // HTML
)

var triggers = [...]byte{percent: '%', backslash: '\\', entity: '&'}

// places are where the bytes of a view come from: each begins a run that goes on
// byte by byte. Nil: the view is the text itself.
type places []place

type place struct{ text, source int }

// source is where byte i of the view begins.
func (p places) source(i int) int {
	if p == nil {
		return i
	}
	at, exact := slices.BinarySearchFunc(p, i, func(p place, i int) int { return p.text - i })
	if !exact {
		at--
	}
	return p[at].source + i - p[at].text
}

// run begins one, unless the last begins there too.
func (p places) run(text, source int) places {
	if p[len(p)-1] == (place{text, source}) {
		return p
	}
	return append(p, place{text, source})
}

// read gives b as the view has it, with the places of its bytes in b and of the
// end. cut is where an escape begins that b breaks off in. Without an escape the
// text is nil.
func (v view) read(b []byte) (text []byte, at places, cut int) {
	if v == asIs {
		return b, nil, len(b)
	}
	next := bytes.IndexByte(b, triggers[v])
	if next < 0 {
		return nil, nil, len(b)
	}
	text = make([]byte, 0, len(b))
	at = places{{0, 0}}
	for i := 0; i < len(b); {
		if next < 0 {
			text = append(text, b[i:]...)
			break
		}
		text = append(text, b[i:i+next]...)
		i += next
		plain, size := v.escape(b[i:])
		if size == 0 {
			return text, at.run(len(text), i), i
		}
		if plain == nil { // no escape after all: the run goes on
			text = append(text, b[i])
			i++
		} else {
			at = at.run(len(text), i)
			text = append(text, plain...)
			i += size
			at = at.run(len(text), i)
		}
		next = bytes.IndexByte(b[i:], triggers[v])
	}
	return text, at, len(b)
}

// escape reads the escape that b begins with: what it stands for, nil if it is
// none, and how long it is, 0 if it may go on behind b.
func (v view) escape(b []byte) (plain []byte, size int) {
	switch v {
	case percent:
		return hexEscape(b, 1, 2)
	case backslash:
		return backslashEscape(b)
	default:
		return entityEscape(b)
	}
}

// hexEscape reads a byte in n hexadecimal digits, from the from-th on.
func hexEscape(b []byte, from, n int) ([]byte, int) {
	digits := b[min(from, len(b)):min(from+n, len(b))]
	for _, c := range digits {
		if !isHex(c) {
			return nil, 1
		}
	}
	if len(digits) < n {
		return nil, 0
	}
	code, _ := strconv.ParseUint(string(digits), 16, 32)
	return []byte{byte(code)}, from + n
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// backslashEscape knows \" \\ \/ \' \xXX, \uXXXX and its pairs.
func backslashEscape(b []byte) ([]byte, int) {
	if len(b) < 2 {
		return nil, 0
	}
	switch b[1] {
	case 'x':
		return hexEscape(b, 2, 2)
	case 'u':
		high, size := unit(b)
		if size <= 1 || !utf16.IsSurrogate(high) {
			return encoded(high, size)
		}
		if len(b) < 7 {
			return nil, 0
		}
		low, size := unit(b[6:])
		switch r := utf16.DecodeRune(high, low); {
		case size == 0:
			return nil, 0
		case r != utf8.RuneError:
			return encoded(r, 12)
		}
		return nil, 1
	case '"', '\\', '/', '\'', '&', '<', '>', '`', '$', ' ':
		return b[1:2], 2
	}
	return nil, 1
}

// unit reads \uXXXX.
func unit(b []byte) (rune, int) {
	if len(b) < 2 {
		return 0, 0
	}
	if b[0] != '\\' || b[1] != 'u' {
		return 0, 1
	}
	high, size := hexEscape(b, 2, 2)
	if size <= 1 {
		return 0, size
	}
	low, size := hexEscape(b, 4, 2)
	if size <= 1 {
		return 0, size
	}
	return rune(high[0])<<8 | rune(low[0]), 6
}

func encoded(r rune, size int) ([]byte, int) {
	if size <= 1 {
		return nil, size
	}
	return utf8.AppendRune(nil, r), size
}

// longestEntity is the length of the longest that is read, `&` and `;` included.
const longestEntity = 10

var entities = map[string]string{"amp": "&", "lt": "<", "gt": ">", "quot": `"`, "apos": "'", "nbsp": " ", "plus": "+", "sol": "/", "equals": "="}

// entityEscape knows the names that escapers write, and numbers.
func entityEscape(b []byte) ([]byte, int) {
	end := bytes.IndexByte(b[:min(len(b), longestEntity)], ';')
	if end < 0 {
		if len(b) < longestEntity && bytes.IndexFunc(b[1:], func(r rune) bool {
			return r != '#' && (r > 'z' || !isHex(byte(r)) && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z'))
		}) < 0 {
			return nil, 0
		}
		return nil, 1
	}
	name := string(b[1:end])
	if plain, ok := entities[name]; ok {
		return []byte(plain), end + 1
	}
	number, ok := strings.CutPrefix(name, "#")
	if !ok {
		return nil, 1
	}
	base := 10
	if digits, ok := strings.CutPrefix(strings.ToLower(number), "x"); ok {
		number, base = digits, 16
	}
	code, err := strconv.ParseUint(number, base, 21)
	if err != nil || code > utf8.MaxRune {
		return nil, 1
	}
	return utf8.AppendRune(nil, rune(code)), end + 1
}
