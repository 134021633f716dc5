package content

import "strings"

const upperHex = "0123456789ABCDEF"

// Beside letters, digits, '-', '.' and '_' each serializer leaves one more
// byte as it is.
const (
	formPlain  = '*' // URL standard, section 5.2: application/x-www-form-urlencoded percent-encode set
	queryPlain = '~' // Python's urllib.parse.quote_plus, which requests uses for params
)

// EncodeForm gives fields as application/x-www-form-urlencoded, as browsers
// serialize it (https://url.spec.whatwg.org/#urlencoded-serializing): a space
// is '+', and all but letters, digits and "*-._" is %XX in upper case. A value
// that is not UTF-8 is escaped byte by byte. No fields give an empty body.
func EncodeForm(fields []Field) []byte {
	return appendFields(make([]byte, 0, fieldsLen(fields, formPlain)), fields, formPlain)
}

// AppendQuery appends params to the raw query of a URL (without its '?').
//
// What is there already stays byte for byte; a '&' joins the two unless the
// query is empty or ends in one. Params are escaped as Python requests does it
// (quote_plus): a space is '+', and all but letters, digits and "-._~" is %XX
// in upper case. Without params the query comes back unchanged.
func AppendQuery(existingRawQuery string, params []Field) string {
	if len(params) == 0 {
		return existingRawQuery
	}
	b := make([]byte, 0, len(existingRawQuery)+1+fieldsLen(params, queryPlain))
	b = append(b, existingRawQuery...)
	if existingRawQuery != "" && !strings.HasSuffix(existingRawQuery, "&") {
		b = append(b, '&')
	}
	return string(appendFields(b, params, queryPlain))
}

func appendFields(dst []byte, fields []Field, plain byte) []byte {
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = appendEscaped(dst, f.Name, plain)
		dst = append(dst, '=')
		dst = appendEscaped(dst, f.Value, plain)
	}
	return dst
}

func appendEscaped[T string | []byte](dst []byte, s T, plain byte) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case isPlain(c, plain):
			dst = append(dst, c)
		case c == ' ':
			dst = append(dst, '+')
		default:
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return dst
}

// fieldsLen is the exact length of what appendFields appends.
func fieldsLen(fields []Field, plain byte) int {
	n := 0
	for _, f := range fields {
		n += escapedLen(f.Name, plain) + escapedLen(f.Value, plain) + len("=&")
	}
	return max(0, n-1)
}

func escapedLen[T string | []byte](s T, plain byte) int {
	n := len(s)
	for i := range len(s) {
		if c := s[i]; c != ' ' && !isPlain(c, plain) {
			n += 2
		}
	}
	return n
}

func isPlain(c, plain byte) bool {
	return isAlnum(c) || c == '-' || c == '.' || c == '_' || c == plain
}

func isAlnum(c byte) bool { return isDigit(c) || isLetter(c) }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
