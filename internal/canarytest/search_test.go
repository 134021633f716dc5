package canarytest

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"strings"
	"testing"
)

// window is how many characters of a core, however it is coded, are enough to be
// found: the better part of a secret is as bad as all of it. Fewer would be mistaken
// for another's, since all cores have the awkward part in them.
const window = 16

// searcher looks for every part of every core, in every form.
type searcher struct {
	parts map[[window]byte]found
	// begins are the first three bytes of the parts, in 24 bits: most text has none.
	begins [1 << 18]uint64
}

// found is what a part is of.
type found struct{ canary, form string }

func newSearcher(all map[string]canary) *searcher {
	s := &searcher{parts: map[[window]byte]found{}}
	for _, c := range all {
		low := hex.EncodeToString([]byte(c.core))
		s.add(c, "as it is", c.core)
		s.add(c, "hex", low)
		s.add(c, "hex", strings.ToUpper(low))
		for before := range 3 {
			text := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), c.core...))
			text = text[(before*8+5)/6 : (before+len(c.core))*8/6] // without what neighbours shape
			s.add(c, "base64", text)
			s.add(c, "base64", strings.NewReplacer("+", "-", "/", "_").Replace(text))
		}
	}
	return s
}

func (s *searcher) add(c canary, form, text string) {
	for i := range len(text) - window + 1 {
		part := [window]byte([]byte(text[i : i+window]))
		s.parts[part] = found{c.name, form}
		b := begin(part[:])
		s.begins[b/64] |= 1 << (b % 64)
	}
}

func begin(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }

// exact finds parts in b as it stands.
//
// This and the views are all that a search costs, and nothing else writes what they
// read: the race detector would have it last minutes.
//
//go:norace
func (s *searcher) exact(b []byte, hit func(at int, f found)) {
	for i := 0; i+window <= len(b); i++ {
		n := begin(b[i:])
		if s.begins[n/64]&(1<<(n%64)) == 0 {
			continue
		}
		if f, ok := s.parts[[window]byte(b[i:i+window])]; ok {
			hit(i, f)
		}
	}
}

// search gives what is in b, whatever it was coded by, twice over: a line of each
// canary and form, with where it is.
func (s *searcher) search(b []byte) map[found]string {
	hits := map[found]string{}
	look := func(text []byte, by string) {
		s.exact(text, func(at int, f found) {
			f.form += by
			if hits[f] == "" {
				hits[f] = fmt.Sprintf("%.300q", text[max(at-80, 0):min(at+60, len(text))])
			}
		})
	}
	look(b, "")
	for _, first := range views {
		text := first.read(b)
		look(text, " behind "+first.name)
		if !first.holds || text == nil {
			continue
		}
		for _, second := range views {
			look(second.read(text), " behind "+first.name+" and "+second.name)
		}
	}
	return hits
}

// TestSearch: the search finds a canary in each form that it is for, whole or as
// the most of it, and nothing else.
func TestSearch(t *testing.T) {
	a := newAviary()
	v := a.hatch("it")
	s := newSearcher(a.list())
	twice := base64.URLEncoding.EncodeToString([]byte("x=" + hex.EncodeToString([]byte(v))))
	for name, text := range map[string]string{
		"as it is": v, "its beginning": v[:len(v)-10], "its end": v[len(v)-17:], "percent": strings.ReplaceAll(v, "?", "%3f"), "all percent": everyByte(v, "%%%02X"),
		"JSON": strings.ReplaceAll(v, ">", `\u003e`), "all JSON": everyByte(v, `\u%04x`), "HTML": html.EscapeString(v), "all HTML": everyByte(v, "&#%d;"),
		"base64 0": base64.StdEncoding.EncodeToString([]byte(v)), "base64 1": base64.RawURLEncoding.EncodeToString([]byte("a" + v + "b")),
		"base64 2": base64.StdEncoding.EncodeToString([]byte("ab" + v + "c")), "base64, slashes escaped": strings.ReplaceAll(base64.StdEncoding.EncodeToString([]byte(v)), "/", `\/`),
		"hex": hex.EncodeToString([]byte(v)), "hex in base64": twice, "UTF-16": everyByte(v, "%c\x00"), "UTF-16, high first": everyByte(v, "\x00%c"),
	} {
		if len(s.search([]byte("some text before "+text+", and some behind"))) == 0 {
			t.Errorf("%s: not found in %q", name, text)
		}
	}
	other := newAviary()
	text := other.hatch("other") + base64.StdEncoding.EncodeToString([]byte(other.hatch("another"))) + v[:20]
	if hits := s.search([]byte(text)); len(hits) != 0 {
		t.Errorf("found in what has none: %v", hits)
	}
}

// everyByte writes each byte of s by a format.
func everyByte(s, format string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

// everyRune writes each character.
func everyRune(s, format string) string {
	var b strings.Builder
	for _, c := range s {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}
