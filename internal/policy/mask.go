package policy

import (
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// span is a part of a line, in characters from 0; to < 0: to the line's end.
type span struct{ from, to int }

// measure finds out which parts of lines the secrets take: from a secret's first
// character to its last where it stands on one line as it is, else to where the
// next value begins.
func (s *secrets) measure(root *yaml.Node, lines []string) {
	if s.masks != nil || len(s.nodes) == 0 {
		return
	}
	s.masks = map[int][]span{}
	var open *yaml.Node
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if open != nil {
			s.cover(open, n.Line, n.Column-1)
			open = nil
		}
		if s.nodes[n] {
			if end := endOnLine(n, lines); end > 0 {
				s.masks[n.Line] = append(s.masks[n.Line], span{n.Column - 1, end})
			} else {
				open = n
			}
		}
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(root)
	if open != nil {
		s.cover(open, len(lines)+1, 0)
	}
}

// cover masks what is between n's first character and a place.
func (s *secrets) cover(n *yaml.Node, line, column int) {
	from := n.Column - 1
	for l := n.Line; l < line; l++ {
		s.masks[l] = append(s.masks[l], span{from, -1})
		from = 0
	}
	if column > from {
		s.masks[line] = append(s.masks[line], span{from, column})
	}
}

// endOnLine gives where n ends if it stands on one line as it is; else 0.
func endOnLine(n *yaml.Node, lines []string) int {
	if n.Line < 1 || n.Line > len(lines) || n.Kind != yaml.ScalarNode {
		return 0
	}
	quote := ""
	switch n.Style {
	case yaml.DoubleQuotedStyle:
		quote = `"`
	case yaml.SingleQuotedStyle:
		quote = "'"
	case 0:
	default:
		return 0
	}
	text, rest := quote+n.Value+quote, []rune(lines[n.Line-1])
	from := n.Column - 1
	if from < 0 || from > len(rest) || !strings.HasPrefix(string(rest[from:]), text) {
		return 0
	}
	return from + utf8.RuneCountInString(text)
}

// masked gives line with `…` for each span, and where column is then.
func masked(line []rune, masks []span, column int) (out []rune, caret int) {
	caret = column
	for i := 0; i < len(line); {
		m, ok := maskAt(masks, i)
		if !ok {
			out, i = append(out, line[i]), i+1
			continue
		}
		end := len(line)
		if m.to >= 0 {
			end = min(m.to, end)
		}
		out = append(out, '…')
		switch {
		case column > end:
			caret -= end - i - 1
		case column > i+1:
			caret = len(out)
		}
		i = end
	}
	return out, caret
}

func maskAt(masks []span, i int) (span, bool) {
	for _, m := range masks {
		if m.from <= i && (m.to < 0 || i < m.to) {
			return m, true
		}
	}
	return span{}, false
}

// blindLine gives line i of a file without a tree, and what to mask on it: all
// behind a key that may hold a secret, and a line that may go on with one.
func blindLine(lines []string, i int) (line string, masks []span) {
	line = lines[i]
	for j := i; j >= 0; j-- {
		before, rest, ok := strings.Cut(lines[j], ":")
		key := strings.Trim(before, " \t-{[\"'")
		switch {
		case !ok || !isKeyLike(key):
			continue
		case j == i && (isSecretKey(key) || hasUserinfo(line) || hidesSecret(rest)):
			blank := len(rest) - len(strings.TrimLeft(rest, " "))
			return line, []span{{utf8.RuneCountInString(before) + 1 + blank, -1}}
		case j < i && (isSecretKey(key) || hasUserinfo(line)):
			return "…", nil
		}
		return line, nil
	}
	if hasUserinfo(line) {
		return "…", nil
	}
	return line, nil
}

// hidesSecret says that a line's rest has a key of a secret in it.
func hidesSecret(rest string) bool {
	for _, word := range strings.FieldsFunc(rest, func(r rune) bool { return strings.ContainsRune(`{}[],: "'`, r) }) {
		if isSecretKey(word) {
			return true
		}
	}
	return false
}
