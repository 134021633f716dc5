package content

import (
	"bytes"
	"io"
	"slices"
	"strings"
)

// LeastScrubbed is the length, in bytes, of the shortest text that is looked for:
// shorter ones would tear ordinary text apart.
const LeastScrubbed = 6

// Scrubber finds texts in what an upstream sends, in the forms in which one comes
// back, and replaces each by as many `*`. The forms: as it is; percent-encoded, or
// as a form has it; with the escapes of JSON and the like, or of HTML; in
// hexadecimal; in base64 (both alphabets), also within a longer text that was
// encoded, and escaped in its turn; in UTF-16. It never changes: safe for concurrent
// use.
type Scrubber struct {
	forms []form
	views []view // those that some form is looked for in
}

// form is one spelling of a text.
type form struct {
	text []byte
	// fail is Knuth, Morris and Pratt's: for each length, the longest beginning of
	// the text that is an end of that much of it.
	fail []int
	view view
}

// NewScrubber makes one for values; nil: there is nothing to look for. Those under
// LeastScrubbed bytes are left out.
func NewScrubber(values []string) *Scrubber {
	s := &Scrubber{}
	for _, v := range values {
		v = strings.Trim(v, " \t") // at its ends no header field keeps it (RFC 9110 section 5.5)
		if len(v) < LeastScrubbed {
			continue
		}
		for _, text := range plainForms(v) {
			s.add(text, asIs)
		}
		for _, text := range base64Forms(v) {
			s.add(text, asIs)
			if strings.ContainsAny(text, "+/") { // which escapers escape
				s.add(text, percent)
				s.add(text, backslash)
				s.add(text, entity)
			}
		}
		if strings.Trim(v, unreserved) == "" {
			continue // nobody escapes any of it
		}
		s.add(v, percent)
		s.add(strings.ReplaceAll(v, " ", "+"), percent)
		s.add(v, backslash)
		s.add(v, entity)
	}
	if len(s.forms) == 0 {
		return nil
	}
	return s
}

const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

func (s *Scrubber) add(text string, in view) {
	for _, f := range s.forms {
		if f.view == in && string(f.text) == text {
			return
		}
	}
	s.forms = append(s.forms, form{[]byte(text), failures(text), in})
	if !slices.Contains(s.views, in) {
		s.views = append(s.views, in)
	}
}

// failures is the table of the algorithm.
func failures(text string) []int {
	fail := make([]int, len(text)+1)
	for i, k := 1, 0; i < len(text); i++ {
		for k > 0 && text[i] != text[k] {
			k = fail[k]
		}
		if text[i] == text[k] {
			k++
		}
		fail[i+1] = k
	}
	return fail
}

// pending is how many bytes at the end of b may be the beginning of the form.
func (f *form) pending(b []byte) (k int) {
	if len(b) >= len(f.text) {
		b = b[len(b)-len(f.text)+1:]
	}
	for _, c := range b {
		for k > 0 && c != f.text[k] {
			k = f.fail[k]
		}
		if c == f.text[k] {
			k++
		}
	}
	return k
}

// span is a part of what was looked through.
type span struct{ from, to int }

// find gives where b has any form, and from where on it may be the beginning of
// one; whole: nothing follows b.
func (s *Scrubber) find(b []byte, whole bool) (found []span, settled int) {
	settled = len(b)
	for _, v := range s.views {
		text, at, cut := v.read(b)
		if text == nil {
			continue // no escape in it: as it is, it is looked through anyway
		}
		if cut < len(b) && !whole {
			settled = min(settled, cut)
		}
		for i := range s.forms {
			f := &s.forms[i]
			if f.view != v {
				continue
			}
			for next := 0; ; {
				n := bytes.Index(text[next:], f.text)
				if n < 0 {
					break
				}
				next += n + 1
				found = append(found, span{at.source(next - 1), at.source(next - 1 + len(f.text))})
			}
			if whole {
				continue
			}
			if k := f.pending(text); k > 0 {
				settled = min(settled, at.source(len(text)-k))
			}
		}
	}
	return found, settled
}

// Bytes scrubs b in place and counts what it found.
func (s *Scrubber) Bytes(b []byte) int {
	if len(b) > scrubChunk {
		return s.inPlace(b, io.EOF) // by parts: a view of the whole may be many times as large
	}
	found, _ := s.find(b, true)
	for _, f := range found {
		blank(b[f.from:f.to])
	}
	return finds(found)
}

// CutBytes is Bytes for what was cut off at its end: what may be the beginning of a
// text there is replaced too, if it is LeastScrubbed bytes long.
func (s *Scrubber) CutBytes(b []byte) int { return s.inPlace(b, io.ErrUnexpectedEOF) }

// inPlace scrubs b as a stream that ends with end. What is written is behind what
// was read.
func (s *Scrubber) inPlace(b []byte, end error) int {
	r := s.Reader(&ending{*bytes.NewReader(b), end})
	for at := 0; at < len(b); {
		n, err := r.Read(b[at:])
		if at += n; err != nil {
			break
		}
	}
	return r.Found()
}

// ending gives its bytes and then an error of its own.
type ending struct {
	bytes.Reader
	err error
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if err == io.EOF {
		err = e.err
	}
	return n, err
}

// Text scrubs t; where nothing is found it is t itself.
func (s *Scrubber) Text(t string) (string, int) {
	found, _ := s.find([]byte(t), true)
	if len(found) == 0 {
		return t, 0
	}
	b := []byte(t)
	for _, f := range found {
		blank(b[f.from:f.to])
	}
	return string(b), finds(found)
}

func blank(b []byte) {
	for i := range b {
		b[i] = '*'
	}
}

// finds sorts and counts; those that overlap are one.
func finds(found []span) (n int) {
	slices.SortFunc(found, func(a, b span) int { return a.from - b.from })
	end := -1
	for _, f := range found {
		if f.from >= end {
			n++
		}
		end = max(end, f.to)
	}
	return n
}
