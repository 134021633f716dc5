package policy

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// problem is one thing that compiling found, at a path such as
// `upstreams[2].hosts[0]`. A warning does not keep the policy from being used.
type problem struct {
	path    string
	err     error
	warning bool
}

// position is where a path leads in a document.
type position struct {
	line, column int  // from 1, columns in characters; 0: nowhere
	found        bool // to the path's end; else to the last part that is there
}

// locate follows path as far as the tree goes.
func (d *document) locate(path string) position {
	n := d.root
	var at position
	for path != "" && n != nil {
		whole := path
		var step string
		step, path = nextStep(path)
		var key, next *yaml.Node
		if i, err := strconv.Atoi(step); err == nil && n.Kind == yaml.SequenceNode && i < len(n.Content) {
			next = n.Content[i]
		} else if n.Kind == yaml.MappingNode {
			if key, next = child(n, step); next == nil { // a key with dots
				if key, next = child(n, whole); next != nil {
					path = ""
				}
			}
		}
		if next == nil {
			return at
		}
		at, n = positionOf(key, next), next
	}
	at.found = n != nil
	return at
}

// positionOf gives where value stands, or its key if value begins further down
// or is nothing at all.
func positionOf(key, value *yaml.Node) position {
	if key != nil && (value.Line != key.Line || isNull(value)) {
		value = key
	}
	return position{line: value.Line, column: value.Column}
}

// nextStep cuts `a` from `a.b`, `a[1]` and `1` from `1].b`.
func nextStep(path string) (step, rest string) {
	i := strings.IndexAny(path, ".[]")
	if i < 0 {
		return path, ""
	}
	return path[:i], strings.TrimLeft(path[i:], ".[]")
}

// child gives a mapping's key and value by the key's name.
func child(n *yaml.Node, name string) (key, value *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// joinPath gives the path of a key inside path.
func joinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// parent is the path that holds the last key or member of path.
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}
