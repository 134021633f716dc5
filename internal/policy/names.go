package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// nameGlob is a pattern for the names of callers: `billing`, `ci-*`, `*`. A
// `*` is any run of characters, slashes included; the rest is case-sensitive.
type nameGlob struct{ text string }

func parseNameGlob(s string) (nameGlob, error) {
	fail := func(reason string) (nameGlob, error) { return nameGlob{}, fmt.Errorf("%q: %s", s, reason) }
	switch {
	case s == "":
		return fail("a name is missing; `*` is every caller")
	case len(s) > maxPattern:
		return nameGlob{}, fmt.Errorf("a name has at most %d bytes", maxPattern)
	case !utf8.ValidString(s):
		return fail("it is not valid UTF-8")
	case strings.Contains(s, "**"):
		return fail("one `*` is any run of characters already")
	case strings.ContainsAny(s, `?[{\!`):
		return fail("in names only `*` has a meaning: any run of characters")
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return fail("it has a space or control character; list names one by one")
	}
	return nameGlob{s}, nil
}

func (n nameGlob) match(name string) bool {
	ok, _ := starMatch(n.text, name)
	return ok
}

func (n nameGlob) covers(m nameGlob) bool { return starCovers(n.text, m.text) }
