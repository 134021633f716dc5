package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// claimSet is what the claims of a token must be, by name: all of it. The empty
// set is met by any.
type claimSet []claimGlob

// claimGlob is a pattern for one claim. A `*` is any run of characters; the rest
// is case-sensitive.
type claimGlob struct {
	// path is a claim's name, or names joined by dots.
	path, text string
}

// claims reads the file's mapping.
func (c *compiler) claims(path string, in map[string]string) claimSet {
	var out claimSet
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if err := checkClaim(name, in[name]); err != nil {
			c.fail(joinPath(path, name), err)
			continue
		}
		out = append(out, claimGlob{name, in[name]})
	}
	return out
}

func checkClaim(name, text string) error {
	switch {
	case len(name) > 256 || len(text) > maxPattern:
		return fmt.Errorf("a claim's name has at most 256 bytes, its pattern at most %d", maxPattern)
	case !utf8.ValidString(name) || !utf8.ValidString(text):
		return errors.New("it is not valid UTF-8")
	case strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.Contains(name, ".."):
		return fmt.Errorf("%q is no claim: write its name, or the names on the way to it joined by dots, such as realm.team", name)
	case strings.Contains(text, "**"):
		return fmt.Errorf("%q: one `*` is any run of characters already", text)
	case strings.ContainsFunc(name+text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("it has a control character")
	}
	return nil
}

// missing is the first claim that does not match; empty: all do.
func (s claimSet) missing(claims map[string]any) string {
	for _, g := range s {
		if value, ok := claimAt(claims, g.path); !ok || !g.match(value) {
			return g.path
		}
	}
	return ""
}

// covers says that all claims that meet o meet s.
func (s claimSet) covers(o claimSet) bool {
	for _, g := range s {
		if !slices.ContainsFunc(o, func(h claimGlob) bool { return g.path == h.path && starCovers(g.text, h.text) }) {
			return false
		}
	}
	return true
}

// words are the members as the file has them.
func (s claimSet) words() (out []string) {
	for _, g := range s {
		out = append(out, g.path+": "+g.text)
	}
	return out
}

// claimAt finds a claim by its whole name, since names may have dots in them
// (`https://example.com/team`), else within others.
func claimAt(claims map[string]any, path string) (any, bool) {
	if value, ok := claims[path]; ok {
		return value, true
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if within, ok := claims[path[:i]].(map[string]any); ok {
			if value, ok := claimAt(within, path[i+1:]); ok {
				return value, true
			}
		}
	}
	return nil, false
}

// match takes texts, numbers as the token spells them, true and false; a list if
// one of its members matches. `scope` is a list of words (RFC 8693 section 4.2).
func (g claimGlob) match(value any) bool {
	switch v := value.(type) {
	case string:
		if g.path == "scope" && slices.ContainsFunc(strings.Split(v, " "), g.matchText) {
			return true
		}
		return g.matchText(v)
	case json.Number:
		return g.matchText(v.String())
	case float64:
		return g.matchText(strconv.FormatFloat(v, 'f', -1, 64))
	case bool:
		return g.matchText(strconv.FormatBool(v))
	case []any:
		return slices.ContainsFunc(v, func(member any) bool {
			_, nested := member.([]any)
			return !nested && g.match(member)
		})
	}
	return false
}

func (g claimGlob) matchText(text string) bool {
	ok, _ := starMatch(g.text, text)
	return ok
}
