package content

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// maxJSONDepth is how deep arrays and objects may nest in [LosslessJSON].
const maxJSONDepth = 100

// maxJSONValues is how many values there may be in [LosslessJSON]. As a
// google.protobuf.Value each takes some 150 bytes, of which `[]` on the wire is two.
const maxJSONValues = 300_000

// LosslessJSON reports whether body is one JSON value (RFC 8259) that comes
// back the same, white space and the order of members apart, from a trip
// through google.protobuf.Value: valid UTF-8, no member twice in an object, no
// lone surrogate, at most 300,000 values nested at most 100 deep, and no number
// that a float64 would change (its value counts, not its spelling: 1.0 and 1e2 are
// fine, 9007199254740993 and 1e400 are not).
//
// It builds no tree. Beside body it holds a few words for each member name of
// the objects that are open, and a copy of those names that have escapes.
func LosslessJSON(body []byte) bool {
	if !utf8.Valid(body) {
		return false
	}
	s := jsonScanner{b: body}
	s.space()
	if !s.value(0) {
		return false
	}
	s.space()
	return s.i == len(s.b)
}

// jsonScanner walks over b, which is valid UTF-8. Its methods leave i after
// what they took, and say whether it was there and lossless.
type jsonScanner struct {
	b []byte
	i int
	// values is how many have begun.
	values int
	// names are the member names of the open objects, outermost first.
	names []jsonName
	// unescaped holds those of them that have escapes.
	unescaped []byte
}

// jsonName is where a member's name stands, in b or in unescaped.
type jsonName struct {
	from, to  int
	unescaped bool
}

func (s *jsonScanner) name(n jsonName) []byte {
	if n.unescaped {
		return s.unescaped[n.from:n.to]
	}
	return s.b[n.from:n.to]
}

func (s *jsonScanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return
		}
	}
}

// at takes c if it is next.
func (s *jsonScanner) at(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *jsonScanner) word(w string) bool {
	if hasPrefix(s.b[s.i:], w) {
		s.i += len(w)
		return true
	}
	return false
}

func (s *jsonScanner) value(depth int) bool {
	if s.values++; s.i >= len(s.b) || s.values > maxJSONValues {
		return false
	}
	switch s.b[s.i] {
	case '{':
		return depth < maxJSONDepth && s.object(depth+1)
	case '[':
		return depth < maxJSONDepth && s.array(depth+1)
	case '"':
		_, ok := s.string()
		return ok
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	end, simple := jsonNumber(s.b, s.i)
	if end < 0 || !simple && !survivesFloat(s.b[s.i:end]) {
		return false
	}
	s.i = end
	return true
}

func (s *jsonScanner) array(depth int) bool {
	s.i++ // '['
	s.space()
	if s.at(']') {
		return true
	}
	for {
		s.space()
		if !s.value(depth) {
			return false
		}
		s.space()
		if s.at(']') {
			return true
		}
		if !s.at(',') {
			return false
		}
	}
}

func (s *jsonScanner) object(depth int) bool {
	s.i++ // '{'
	s.space()
	if s.at('}') {
		return true
	}
	outer := len(s.names)
	for {
		s.space()
		if !s.member(depth) {
			return false
		}
		s.space()
		if s.at('}') {
			ok := s.distinct(s.names[outer:])
			s.names = s.names[:outer]
			return ok
		}
		if !s.at(',') {
			return false
		}
	}
}

func (s *jsonScanner) member(depth int) bool {
	from := s.i + 1
	escaped, ok := s.string()
	if !ok {
		return false
	}
	n := jsonName{from: from, to: s.i - 1}
	if escaped {
		raw := s.b[n.from:n.to]
		n = jsonName{from: len(s.unescaped), unescaped: true}
		s.unescaped = appendUnescaped(s.unescaped, raw)
		n.to = len(s.unescaped)
	}
	if s.names == nil {
		s.names = make([]jsonName, 0, 32) // the one allocation for most bodies
	}
	s.names = append(s.names, n)
	s.space()
	if !s.at(':') {
		return false
	}
	s.space()
	return s.value(depth)
}

// distinct reports whether no two of names are the same; it may reorder them.
func (s *jsonScanner) distinct(names []jsonName) bool {
	const few = 16
	if len(names) > few {
		slices.SortFunc(names, func(a, b jsonName) int { return bytes.Compare(s.name(a), s.name(b)) })
		for i := 1; i < len(names); i++ {
			if bytes.Equal(s.name(names[i-1]), s.name(names[i])) {
				return false
			}
		}
		return true
	}
	for i := 1; i < len(names); i++ {
		for j := range i {
			if bytes.Equal(s.name(names[i]), s.name(names[j])) {
				return false
			}
		}
	}
	return true
}
