package policy

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Limits of one pattern. With them the work of a match is at most
// (length of the path) x (length of the pattern), whatever a path is made of.
const (
	maxPattern  = 1024 // bytes
	maxSegments = 64
	maxDeep     = 4 // `**` in one pattern
)

// glob is a pattern for paths. It is compared with the decoded path, segment
// by segment and case-sensitively: `*` is any run of characters but `/`, `**`
// any number of whole segments, none included. One trailing slash makes no
// difference in the pattern or the path: most servers take `/admin` and
// `/admin/` for the same thing, and a deny must not be dodged by it.
//
// The zero glob matches `/` alone.
type glob struct {
	text     string // as written, without the trailing slash
	segments []segment
}

type segment struct {
	kind segmentKind
	// text is empty for `*` and `**`.
	text string
	// loose marks a `*` that other stars join to a `**`: it asks for one more
	// segment without saying where.
	loose bool
}

// segmentKind is ordered from the most specific.
type segmentKind uint8

const (
	literal segmentKind = iota
	starred             // `v*`
	whole               // `*`
	pastEnd             // behind the last segment
	deep                // `**`
)

// parseGlob reads a pattern such as `/v1/**` or `/v*/users/*.json`.
func parseGlob(s string) (glob, error) {
	if err := checkPattern(s); err != nil {
		return glob{}, fmt.Errorf("%q: %w", s, err)
	}
	if s == "/" {
		return glob{}, nil
	}
	g := glob{text: strings.TrimSuffix(s, "/")}
	stars := 0
	for text := range strings.SplitSeq(g.text[1:], "/") {
		seg, err := parseSegment(text)
		if err != nil {
			return glob{}, fmt.Errorf("%q: %w", s, err)
		}
		if seg.kind == deep {
			stars++
			if n := len(g.segments); n > 0 && g.segments[n-1].kind == deep {
				return glob{}, fmt.Errorf("%q: `**` already is any number of segments; write it once", s)
			}
		}
		g.segments = append(g.segments, seg)
	}
	if len(g.segments) > maxSegments || stars > maxDeep {
		return glob{}, fmt.Errorf("%q: a pattern has at most %d segments, and at most %d of them are `**`", s, maxSegments, maxDeep)
	}
	g.segments = canonical(g.segments)
	return g, nil
}

// checkPattern refuses what no path to be matched may hold and what other
// dialects of patterns give a meaning to.
func checkPattern(s string) error {
	if len(s) > maxPattern {
		return fmt.Errorf("a pattern has at most %d bytes", maxPattern)
	}
	if !strings.HasPrefix(s, "/") {
		return errors.New("a path pattern begins with a slash, such as /v1/**")
	}
	if !utf8.ValidString(s) {
		return errors.New("it is not valid UTF-8")
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '%':
			return fmt.Errorf("it is compared with the decoded path, so percent-escapes do not match: write %s", unescaped(s))
		case c == '?':
			return errors.New("`?` has no meaning here and the query is not matched: `*` is any run of characters")
		case c == '#':
			return errors.New("a fragment is never sent: leave out `#` and what follows")
		case c == '[' || c == '{':
			return fmt.Errorf("`%c` has no meaning here: write one pattern per alternative, or `*` for any characters", c)
		case c == '\\':
			return errors.New(`servers disagree whether a backslash is a slash: segments are parted by "/", and nothing needs escaping`)
		case c == ';':
			return errors.New("some servers cut a segment at `;`: leave it and what follows out")
		case isControl(c):
			return fmt.Errorf("it has a control character at byte %d", i)
		}
	}
	return nil
}

// unescaped tells what to write for a pattern with percent-escapes.
func unescaped(s string) string {
	plain, err := url.PathUnescape(s)
	if err != nil || plain == s || strings.Contains(plain, "%") {
		return "`*` for the percent sign"
	}
	return fmt.Sprintf("%q", plain)
}

func parseSegment(text string) (segment, error) {
	switch {
	case text == "":
		return segment{}, errors.New("it has an empty segment (//): requests with one are refused, so nothing would match")
	case text == "." || text == "..":
		return segment{}, errors.New("it has a dot segment: requests with one are refused, so write the path without it")
	case text == "*":
		return segment{kind: whole}, nil
	case text == "**":
		return segment{kind: deep}, nil
	case strings.Contains(text, "**"):
		return segment{}, errors.New("`**` stands alone between slashes, such as /v1/**/logs; inside a segment one `*` will do")
	case strings.Contains(text, "*"):
		return segment{kind: starred, text: text}, nil
	}
	return segment{kind: literal, text: text}, nil
}

// canonical gives a run of `*` and `**` its one form: `/**/*/**` and `/**/*` are
// `/*/**`, one segment or more.
func canonical(in []segment) []segment {
	var out []segment
	for i := 0; i < len(in); {
		if in[i].kind < whole {
			out = append(out, in[i])
			i++
			continue
		}
		stars, gap := 0, false
		for ; i < len(in) && in[i].kind >= whole; i++ {
			if in[i].kind == deep {
				gap = true
			} else {
				stars++
			}
		}
		for range stars {
			out = append(out, segment{kind: whole, loose: gap})
		}
		if gap {
			out = append(out, segment{kind: deep})
		}
	}
	return out
}

// String is the pattern as written, without its trailing slash.
func (g glob) String() string {
	if g.text == "" {
		return "/"
	}
	return g.text
}

// match says whether the pattern takes the path. It does not allocate. What it
// says of an ambiguous path (see decodePath) nobody should rely on.
func (g glob) match(path decodedPath) bool {
	ok, _ := g.walk(path.rest)
	return ok
}

// walk is match and the number of comparisons it took. Only the last `**` is
// ever given more: whatever an earlier one could take in addition, the later
// one can take as well. So each pattern segment meets each path segment at most
// once.
func (g glob) walk(path string) (ok bool, steps int) {
	i, more := 0, path != ""
	back, resume := -1, "" // the segment behind the last `**`, and the path it was tried on
	for {
		steps++
		switch {
		case i < len(g.segments) && g.segments[i].kind == deep:
			i++
			if i == len(g.segments) {
				return true, steps
			}
			back, resume = i, path
			continue
		case !more:
			return i == len(g.segments), steps
		case i < len(g.segments):
			text, rest, found := strings.Cut(path, "/")
			fits, n := g.segments[i].match(text)
			steps += n
			if fits {
				i, path, more = i+1, rest, found
				continue
			}
		}
		if back < 0 {
			return false, steps
		}
		i = back
		_, resume, more = strings.Cut(resume, "/")
		path = resume
	}
}

func (s segment) match(text string) (bool, int) {
	switch s.kind {
	case literal:
		return s.text == text, 0
	case starred:
		return starMatch(s.text, text)
	}
	return true, 0
}

// starMatch matches a text without regard to slashes; `*` is any run of bytes.
// The steps are those of walk.
func starMatch(pattern, text string) (ok bool, steps int) {
	p, t := 0, 0
	back, resume := -1, 0
	for t < len(text) {
		steps++
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			back, resume = p, t
		case p < len(pattern) && pattern[p] == text[t]:
			p, t = p+1, t+1
		case back >= 0:
			resume++
			p, t = back, resume
		default:
			return false, steps
		}
	}
	return strings.Trim(pattern[p:], "*") == "", steps
}

// starCovers says whether pattern takes all that other takes. A star of other
// stands for a text that no literal of pattern need equal, so only a star of
// pattern may take it: that is what matching does with the character `*`.
func starCovers(pattern, other string) bool {
	ok, _ := starMatch(pattern, other)
	return ok
}

// covers says whether g matches every path that h matches.
//
// It lays g over the segments of h as match lays it over those of a path. A
// `**` of h is nothing, or a segment nobody foresaw, or many: only a gap of g
// with a `**` in it may lie there, and it cannot count on it for a `*`.
func (g glob) covers(h glob) bool {
	var rows [2][maxSegments + 1]bool // [j]: the rest of g covers h.segments[j:]
	row, below := &rows[0], &rows[1]
	for i := len(g.segments); i >= 0; i-- {
		row, below = below, row
		for j := len(h.segments); j >= 0; j-- {
			switch {
			case i == len(g.segments):
				row[j] = j == len(h.segments)
			case g.segments[i].kind == deep:
				row[j] = below[j] || j < len(h.segments) && row[j+1]
			case j == len(h.segments):
				row[j] = false
			case h.segments[j].kind == deep:
				row[j] = g.segments[i].loose && row[j+1]
			default:
				row[j] = g.segments[i].covers(h.segments[j]) && below[j+1]
			}
		}
	}
	return row[0]
}

// covers compares two segments of which neither is `**`.
func (s segment) covers(t segment) bool {
	switch s.kind {
	case whole:
		return true
	case starred:
		return t.kind != whole && starCovers(s.text, t.text)
	}
	return t.kind == literal && s.text == t.text
}

// moreSpecific is -1 if g is more specific than h, 1 if h is, and 0 if neither:
// sorting by it puts the most specific first.
//
// Up to the first `**`, the first segments that differ in kind decide: literal
// before `v1*` before `v*` before `*` before the end before `**`. From there on
// places mean nothing, so sums do: more literal text, then more segments, fewer
// gaps of any length, fewer stars. It is an order (transitive), and a pattern
// that covers another without being covered by it is never the more specific.
func (g glob) moreSpecific(h glob) int {
	for i := 0; ; i++ {
		a, b := g.at(i), h.at(i)
		if c := a.compare(b); c != 0 {
			return c
		}
		switch a.kind {
		case pastEnd:
			return 0
		case deep:
			return g.sum(i).compare(h.sum(i))
		}
	}
}

// at gives segment i, a `*` beside a `**` as the `**`.
func (g glob) at(i int) segment {
	if i >= len(g.segments) {
		return segment{kind: pastEnd}
	}
	if g.segments[i].loose {
		return segment{kind: deep}
	}
	return g.segments[i]
}

func (s segment) compare(t segment) int {
	if s.kind != starred || t.kind != starred {
		return cmp.Compare(s.kind, t.kind)
	}
	return starCompare(s.text, t.text)
}

// starCompare is -1 if a is the more specific of two patterns with stars: the
// longer text before the first star, then more text, then fewer stars.
func starCompare(a, b string) int {
	stars, others := strings.Count(a, "*"), strings.Count(b, "*")
	return cmp.Or(
		cmp.Compare(strings.IndexByte(b, '*'), strings.IndexByte(a, '*')),
		cmp.Compare(len(b)-others, len(a)-stars),
		cmp.Compare(stars, others),
	)
}

// globSum measures segments whose places mean nothing.
type globSum struct{ text, segments, gaps, stars int }

func (g glob) sum(from int) globSum {
	var s globSum
	for _, seg := range g.segments[from:] {
		if seg.kind == deep {
			s.gaps++
			continue
		}
		s.segments++
		stars := strings.Count(seg.text, "*")
		s.stars += stars
		s.text += len(seg.text) - stars
	}
	return s
}

func (s globSum) compare(t globSum) int {
	return cmp.Or(
		cmp.Compare(t.text, s.text),
		cmp.Compare(t.segments, s.segments),
		cmp.Compare(s.gaps, t.gaps),
		cmp.Compare(s.stars, t.stars),
	)
}

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
