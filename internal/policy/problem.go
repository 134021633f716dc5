package policy

import (
	"fmt"
	"strings"
	"unicode"
)

// Error says why a policy cannot be used: all that is wrong with it, in the order
// of its files and their lines.
type Error struct {
	// Problems holds at least one, and no warnings. Of more than 1,000 the last
	// only counts the rest.
	Problems []Problem
}

// maxShown is how many problems the text of an error shows.
const maxShown = 100

// Error gives all problems as text, up to 100.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i == maxShown {
			fmt.Fprintf(&b, "\n%d more", len(e.Problems)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// Problem is one fault of a policy, or a warning.
type Problem struct {
	// File is the file's name.
	File string `json:"file"`
	// Line and Column say where in it, from 1, the column in characters; 0: about
	// the file, or the line, as a whole.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Path is the key in the file, such as `upstreams[2].hosts[0]`.
	Path string `json:"path,omitempty"`
	// Reason says what is wrong and what to write instead.
	Reason string `json:"reason"`
	// Text is the line, secrets masked; of a long one the part about Column.
	Text string `json:"text,omitempty"`
	// Warning: the policy can be used all the same.
	Warning bool `json:"warning,omitempty"`

	caret int // Column's place in Text, from 1; 0: none
}

// String gives position, path and reason, then the line with a caret under it.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Column > 0 {
		fmt.Fprintf(&b, ":%d", p.Column)
	}
	if p.Path != "" {
		b.WriteString(" " + p.Path)
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Reason)
	if p.Text != "" {
		fmt.Fprintf(&b, "\n%4d | %s", p.Line, p.Text)
	}
	if p.Text != "" && p.caret > 0 {
		fmt.Fprintf(&b, "\n%4d | %s^", p.Line, strings.Repeat(".", p.caret-1))
	}
	return b.String()
}

// quote sets Text and the caret: of the line without its masked parts, what is
// near the column.
func (p *Problem) quote(line string, masks []span) {
	const width = 160
	text, caret := masked([]rune(line), masks, p.Column)
	if len(text) > width {
		from := min(max(caret-width/2, 0), len(text)-width)
		text, caret = text[from:from+width], caret-from
	}
	p.Text, p.caret = strings.TrimRightFunc(strings.Map(printable, string(text)), unicode.IsSpace), caret
}

// printable keeps a line from steering a terminal.
func printable(r rune) rune {
	switch {
	case r == '\t':
		return '→'
	case unicode.IsPrint(r):
		return r
	default:
		return unicode.ReplacementChar
	}
}
