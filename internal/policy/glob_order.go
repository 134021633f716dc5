package policy

import (
	"cmp"
	"strings"
)

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
