package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// document is one file of a policy: its text, its tree, the message it spells,
// and what is wrong with it.
type document struct {
	name  string
	lines []string
	root  *yaml.Node // nil: it holds nothing
	file  *policyv1.Policy
	torn  bool // it could not be read to its end

	problems []Problem
	faulty   map[string]bool // paths whose value could not be taken
	above    map[string]bool // what those paths are inside of
	secrets  secrets
}

// readDocument reads text as far as it can be read.
func readDocument(name string, text []byte) *document {
	d := &document{name: name, file: new(policyv1.Policy), faulty: map[string]bool{}, above: map[string]bool{}}
	text = oneLineBreak(bytes.TrimPrefix(text, []byte("\ufeff")))
	d.lines = strings.Split(string(text), "\n")
	if !d.isText(text) {
		return d
	}
	d.root = d.parse(text)
	if d.root != nil {
		d.secrets.note(d.root)
		d.message(nil, d.root, "", d.file.ProtoReflect(), 0)
	}
	return d
}

// oneLineBreak gives text with LF for everything that YAML 1.1 takes for the end
// of a line, so that lines are counted as its reader counts them.
func oneLineBreak(text []byte) []byte {
	for _, other := range []string{"\r\n", "\r", "\u0085", "\u2028", "\u2029"} {
		text = bytes.ReplaceAll(text, []byte(other), []byte("\n"))
	}
	return text
}

// isText refuses what is no UTF-8, and the control characters that YAML refuses
// without saying where.
func (d *document) isText(text []byte) bool {
	line, column := 1, 1
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			d.tear(position{line: line, column: column}, "the file is not UTF-8: save it in that encoding")
			return false
		case r == '\n':
			line, column = line+1, 0
		case r < ' ' && r != '\t', r >= 0x7f && r < 0xa0, r == '\ufeff', r == '\ufffe', r == '\uffff':
			d.tear(position{line: line, column: column}, fmt.Sprintf("the file holds the control character %U: take it out", r))
			return false
		}
		i, column = i+size, column+1
	}
	return true
}

// parse gives the tree of the one YAML document that text holds; nil: none.
func (d *document) parse(text []byte) *yaml.Node {
	root, second, err := readYAML(text)
	if err != nil {
		d.syntax(text, err)
		return nil
	}
	if second != nil {
		line := d.separatorBefore(second.Line)
		d.lines[line-1] = d.lines[line-1][:min(len("---"), len(d.lines[line-1]))] // what follows is in no tree
		d.failAt(position{line: line, column: 1}, "", "a second document (---) would be ignored: put everything into one")
	}
	if root == nil || len(root.Content) == 0 || isEmpty(root.Content[0]) {
		return nil
	}
	return root.Content[0]
}

// readYAML reads the first document of text, and the second if there is one.
func readYAML(text []byte) (root, second *yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil { // a file is refused, whatever the reader makes of it
			root, second, err = nil, nil, fmt.Errorf("the reader fails: %v", p)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(text))
	root, second = new(yaml.Node), new(yaml.Node)
	if err := dec.Decode(root); errors.Is(err, io.EOF) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, err
	}
	if err := dec.Decode(second); errors.Is(err, io.EOF) {
		return root, nil, nil
	} else if err != nil {
		return nil, nil, err
	}
	return root, second, nil
}

// separatorBefore gives the line of the `---` above line, or line.
func (d *document) separatorBefore(line int) int {
	for i := min(line, len(d.lines)); i > 0; i-- {
		if strings.HasPrefix(d.lines[i-1], "---") {
			return i
		}
	}
	return min(max(line, 1), len(d.lines))
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// isEmpty says that nothing is written at n, not even null.
func isEmpty(n *yaml.Node) bool { return isNull(n) && n.Value == "" && n.Anchor == "" }

// failAt notes a fault at a place, whose value is still taken.
func (d *document) failAt(at position, path, format string, args ...any) {
	d.problems = append(d.problems, d.problemAt(at, path, fmt.Sprintf(format, args...), false))
}

func (d *document) problemAt(at position, path, reason string, warning bool) Problem {
	return Problem{File: d.name, Line: at.line, Column: at.column, Path: path, Reason: reason, Warning: warning}
}

// tear notes the fault that keeps the file from being read.
func (d *document) tear(at position, reason string) {
	d.torn = true
	d.problems = append(d.problems, d.problemAt(at, "", reason, false))
}

// spoil notes that the value at path is not in the message, so that what follows
// from that is not reported too.
func (d *document) spoil(path string) {
	d.faulty[path] = true
	for p := parent(path); p != ""; p = parent(p) {
		d.above[p] = true
	}
}

// isNoise says that a fault at path may follow from one that is known.
func (d *document) isNoise(path string) bool {
	if d.above[path] {
		return true
	}
	for p := path; p != ""; p = parent(p) {
		if d.faulty[p] {
			return true
		}
	}
	return false
}

// finish gives the problems in order, at most limit of them, with their lines.
func (d *document) finish(limit int) []Problem {
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path))
	})
	out := d.problems[:min(limit, len(d.problems))]
	if len(out) > 0 && !d.torn {
		d.secrets.measure(d.root, d.lines)
	}
	for i := range out {
		p := &out[i]
		p.Path, p.Reason = d.secrets.scrub(p.Path), d.secrets.scrub(p.Reason)
		switch {
		case p.Line < 1 || p.Line > len(d.lines):
		case d.torn:
			p.quote(blindLine(d.lines, p.Line-1))
		default:
			p.quote(d.lines[p.Line-1], d.secrets.masks[p.Line])
		}
	}
	return out
}
