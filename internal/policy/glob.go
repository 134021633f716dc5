package policy

import (
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
