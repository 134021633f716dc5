package policy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// problem is one fault that compiling found, at a path such as
// `upstreams[2].hosts[0]`.
type problem struct {
	path string
	err  error
}

// render writes the problems as the schema's reader writes its own: file, line,
// column, the reason, the line and a caret.
func render(name string, text []byte, root *yaml.Node, problems []problem) error {
	lines := strings.Split(string(text), "\n")
	out := make([]string, len(problems))
	for i, p := range problems {
		at := locate(root, p.path)
		if at == nil || at.Line < 1 || at.Line > len(lines) {
			out[i] = fmt.Sprintf("%s: %s: %v", name, p.path, p.err)
			continue
		}
		out[i] = fmt.Sprintf("%s:%d:%d %s: %v\n%4d | %s\n%4d | %s^", name, at.Line, at.Column, p.path, p.err,
			at.Line, lines[at.Line-1], at.Line, strings.Repeat(".", max(at.Column-1, 0)))
	}
	return errors.New(strings.Join(out, "\n"))
}

// locate follows path as far as the tree goes and gives the last node found.
func locate(n *yaml.Node, path string) *yaml.Node {
	for path != "" && n != nil {
		var step string
		step, path = nextStep(path)
		var next *yaml.Node
		if i, err := strconv.Atoi(step); err == nil && n.Kind == yaml.SequenceNode && i < len(n.Content) {
			next = n.Content[i]
		} else if n.Kind == yaml.MappingNode {
			next = child(n, step)
		}
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// nextStep cuts `a` from `a.b`, `a[1]` and `1` from `1].b`.
func nextStep(path string) (step, rest string) {
	i := strings.IndexAny(path, ".[]")
	if i < 0 {
		return path, ""
	}
	return path[:i], strings.TrimLeft(path[i:], ".[]")
}

// child gives a mapping's value by the proto or the JSON spelling of its key.
func child(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i].Value; k == key || strings.EqualFold(k, strings.ReplaceAll(key, "_", "")) {
			return n.Content[i+1]
		}
	}
	return nil
}
