package policy

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
)

// decodedPath is a path as globs are compared with it: percent-decoded, without
// the slash in front and without one at the end. decodePath makes it.
type decodedPath struct{ rest string }

// Reasons why a path is ambiguous. What they have in common: the server behind
// may well see another path than the pattern did, as nginx, Tomcat, IIS and the
// proxies before them read these differently.
const (
	doubtNoSlash          = "it does not begin with a slash"
	doubtEscape           = "it has a percent sign without two hexadecimal digits behind it"
	doubtEmpty            = "it has an empty segment (//)"
	doubtDots             = "it has a dot segment (. or ..)"
	doubtBackslash        = `it has a backslash`
	doubtSemicolon        = "it has a semicolon"
	doubtControl          = "it has a control character"
	doubtNUL              = "it has a NUL (%00)"
	doubtEncodedSlash     = "it has an encoded slash (%2F)"
	doubtEncodedBackslash = "it has an encoded backslash (%5C)"
	doubtEncodedDot       = "it has an encoded dot (%2E)"
	doubtEncodedSemicolon = "it has an encoded semicolon (%3B)"
	doubtTail             = "a segment of it ends with a dot or a space, which some servers drop"
	doubtTwice            = "it is percent-encoded twice (%25 and two hexadecimal digits)"
	doubtUTF8             = "its decoded form is not valid UTF-8"
)

// decodePath reads an escaped path as it goes on the wire. It allocates only if
// the path has percent-escapes. ambiguous is empty, or the reason why servers
// could read the path differently from fetchsvc: a rule must not be decided on
// such a path. It is a phrase that begins with "it" or "its", the path.
func decodePath(p string) (path decodedPath, ambiguous string) {
	ambiguous = rawDoubt(p)
	text := p
	if strings.Contains(p, "%") {
		text = unescape(p)
		if ambiguous == "" && hasEscape(text) {
			ambiguous = doubtTwice
		}
	}
	if ambiguous == "" && hasTail(text) {
		ambiguous = doubtTail
	}
	if ambiguous == "" && !utf8.ValidString(text) {
		ambiguous = doubtUTF8
	}
	return decodedPath{strings.TrimSuffix(strings.TrimPrefix(text, "/"), "/")}, ambiguous
}

// rawDoubt finds what is ambiguous in the spelling on the wire.
func rawDoubt(p string) string {
	if !strings.HasPrefix(p, "/") {
		return doubtNoSlash
	}
	for i := 0; i < len(p); i++ {
		reason := ""
		switch c := p[i]; {
		case c == '/':
			reason = segmentDoubt(p[i+1:])
		case c == '%':
			reason = escapeDoubt(p[i:])
		case c == '\\':
			reason = doubtBackslash
		case c == ';':
			reason = doubtSemicolon
		case isControl(c):
			reason = doubtControl
		}
		if reason != "" {
			return reason
		}
	}
	return ""
}

// segmentDoubt looks at the segment that s begins with.
func segmentDoubt(s string) string {
	if s == "" || s[0] != '.' && s[0] != '/' { // nearly always
		return ""
	}
	switch text, _, _ := strings.Cut(s, "/"); text {
	case "":
		return doubtEmpty
	case ".", "..":
		return doubtDots
	}
	return ""
}

// escapeDoubt looks at the percent-escape that s begins with.
func escapeDoubt(s string) string {
	c, ok := escaped(s)
	switch {
	case !ok:
		return doubtEscape
	case c == '/':
		return doubtEncodedSlash
	case c == '\\':
		return doubtEncodedBackslash
	case c == '.':
		return doubtEncodedDot
	case c == ';':
		return doubtEncodedSemicolon
	case c == 0:
		return doubtNUL
	case isControl(c):
		return doubtControl
	}
	return ""
}

// hasTail says that a segment of a decoded path ends with a dot or a space.
func hasTail(text string) bool {
	for i := 0; i < len(text); i++ {
		if (text[i] == '.' || text[i] == ' ') && (i+1 == len(text) || text[i+1] == '/') {
			return true
		}
	}
	return false
}

func isControl(c byte) bool { return c < ' ' || c == 0x7f }

// escaped gives the byte of the percent-escape that s begins with.
func escaped(s string) (c byte, ok bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	high, low := unhex(s[1]), unhex(s[2])
	return byte(high<<4 | low), high >= 0 && low >= 0
}

// unhex is -1 for what is no hexadecimal digit.
func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// hasEscape finds a percent-escape in text that was decoded once. Whoever
// decodes it again, as some stacks do, sees another path: `%252e`, `%2561`.
func hasEscape(text string) bool {
	for i := range len(text) {
		if _, ok := escaped(text[i:]); ok {
			return true
		}
	}
	return false
}

// unescape leaves a percent sign that begins no escape as it is.
func unescape(p string) string {
	b := make([]byte, 0, len(p))
	for i := 0; i < len(p); i++ {
		c, ok := escaped(p[i:])
		if !ok {
			b = append(b, p[i])
			continue
		}
		b = append(b, c)
		i += 2
	}
	return string(b)
}

// methodSet is the methods that a rule is about. The zero set has none.
type methodSet struct {
	any   bool
	fold  bool // in any case: some servers read `delete` as DELETE
	names []string
}

// ownMethods are the methods whose case people get wrong.
var ownMethods = [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"}

// parseMethods reads a list of methods. They are case-sensitive tokens (RFC
// 9110 section 9.1). No list and `*` mean every method.
func parseMethods(list []string) (methodSet, error) {
	var m methodSet
	for _, name := range list {
		if err := checkMethod(name); err != nil {
			return methodSet{}, err
		}
		if name == "*" && len(list) > 1 {
			return methodSet{}, fmt.Errorf("%q is every method: leave out the others, or the star", name)
		}
		if m.has(name) {
			return methodSet{}, fmt.Errorf("method %q is listed twice", name)
		}
		m.names = append(m.names, name)
	}
	if len(list) == 0 || list[0] == "*" {
		return methodSet{any: true}, nil
	}
	return m, nil
}

func checkMethod(name string) error {
	upper := strings.ToUpper(name)
	switch {
	case name == "":
		return fmt.Errorf("%q is no method: write GET, or * for every method", name)
	case !httpguts.ValidHeaderFieldName(name): // a token, as methods are
		return fmt.Errorf("%q is no method: write one of letters, such as GET, per entry", name)
	case upper == "CONNECT":
		return fmt.Errorf("method %q is never sent for a caller: leave it out", name)
	case name != upper && slices.Contains(ownMethods[:], upper):
		return fmt.Errorf("methods are case-sensitive: write %s for %q", upper, name)
	}
	return nil
}

// list is the set as the file would write it.
func (m methodSet) list() []string {
	if m.any {
		return []string{"*"}
	}
	return m.names
}

// has does not allocate.
func (m methodSet) has(method string) bool {
	if m.fold {
		return m.any || slices.ContainsFunc(m.names, func(name string) bool { return strings.EqualFold(name, method) })
	}
	return m.any || slices.Contains(m.names, method)
}

// covers says whether m has every method that o has.
func (m methodSet) covers(o methodSet) bool {
	if m.any || o.any {
		return m.any
	}
	return !slices.ContainsFunc(o.names, func(name string) bool { return !m.has(name) })
}
