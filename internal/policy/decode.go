package policy

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxDepth bounds how deep a file may nest; the schema needs about ten levels.
const maxDepth = 64

// message reads the mapping n into m and notes every fault. key is the key that
// n is the value of; nil: the file itself, or a list's member.
func (d *document) message(key, n *yaml.Node, path string, m protoreflect.Message, depth int) {
	if depth > maxDepth {
		d.refuse(key, n, path, "is nested too deeply: at most %d levels", maxDepth)
		return
	}
	if !d.isPlain(key, n, path) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.refuse(key, n, path, "must be %s, not %s%s", mappingWords(m.Descriptor()), kindWords(n), mappingHint(m.Descriptor(), n))
		return
	}
	first := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if !d.isKey(k, path) {
			continue
		}
		if twice := first[k.Value]; twice != nil {
			d.failAt(positionOf(nil, k), joinPath(path, k.Value), "key %q is given twice, first on line %d: merge the two", k.Value, twice.Line)
			continue
		}
		first[k.Value] = k
		fd := m.Descriptor().Fields().ByName(protoreflect.Name(k.Value))
		if fd == nil {
			d.unknownKey(k, path, m.Descriptor())
			continue
		}
		if o := fd.ContainingOneof(); o != nil && !o.IsSynthetic() && m.WhichOneof(o) != nil {
			d.refuse(nil, k, joinPath(path, k.Value), "cannot stand beside %s: keep one of the two", m.WhichOneof(o).TextName())
			continue
		}
		d.field(k, v, joinPath(path, k.Value), m, fd, depth)
	}
}

// isKey refuses keys that are more than a word.
func (d *document) isKey(k *yaml.Node, path string) bool {
	switch {
	case k.Kind == yaml.ScalarNode && k.Tag == "!!merge":
		d.refuse(nil, k, path, "merge keys (<<) are not supported: write the keys out")
	case k.Kind == yaml.AliasNode:
		return d.isPlain(nil, k, path)
	case k.Kind != yaml.ScalarNode:
		d.refuse(nil, k, path, "a key must be a word, not %s: put a value with { or [ in quotes", kindWords(k))
	default:
		return d.isPlain(nil, k, path)
	}
	return false
}

// isPlain refuses what makes a file say something else than its text shows:
// aliases, anchors and tags.
func (d *document) isPlain(key, n *yaml.Node, path string) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		d.refuse(key, n, path, "aliases (*name) are not supported: write the value out, or put it in quotes")
		return false
	case n.Anchor != "":
		d.failAt(positionOf(key, n), path, "anchors (&name) are not supported: take it out, or put the value in quotes")
		return true
	case n.Style&yaml.TaggedStyle != 0:
		d.refuse(key, n, path, "tags (!name) are not supported: take it out, or put the value in quotes")
		return false
	}
	return true
}

// field reads the value v into fd of m.
func (d *document) field(k, v *yaml.Node, path string, m protoreflect.Message, fd protoreflect.FieldDescriptor, depth int) {
	switch {
	case isNull(v) && v.Style&yaml.TaggedStyle == 0 && v.Anchor == "":
		d.refuse(k, v, path, "has no value: write %s, or take the key out", wanted(fd))
	case fd.IsList():
		d.list(k, v, path, m, fd, depth)
	case fd.IsMap():
		d.texts(k, v, path, m, fd)
	case isMessage(fd):
		d.message(k, v, path, m.Mutable(fd).Message(), depth+1)
	default:
		if value, ok := d.scalar(k, v, path, fd); ok {
			m.Set(fd, value)
		}
	}
}

// texts reads a mapping whose keys are free, and whose values are texts.
func (d *document) texts(k, v *yaml.Node, path string, m protoreflect.Message, fd protoreflect.FieldDescriptor) {
	switch {
	case !d.isPlain(k, v, path):
		return
	case v.Kind != yaml.MappingNode:
		d.refuse(k, v, path, "must be a mapping, not %s: write %s", kindWords(v), wanted(fd))
		return
	case len(v.Content) == 0:
		d.refuse(k, v, path, "is an empty mapping, which says nothing: write %s, or take the key out", wanted(fd))
		return
	}
	first := make(map[string]*yaml.Node, len(v.Content)/2)
	into := m.Mutable(fd).Map()
	for i := 0; i+1 < len(v.Content); i += 2 {
		key, value := v.Content[i], v.Content[i+1]
		at := joinPath(path, key.Value)
		switch {
		case !d.isKey(key, path):
		case key.Value == "":
			d.refuse(nil, key, path, "has an empty key: write %s", wanted(fd))
		case first[key.Value] != nil:
			d.failAt(positionOf(nil, key), at, "key %q is given twice, first on line %d: merge the two", shortened(key.Value), first[key.Value].Line)
		case isNull(value) && value.Style&yaml.TaggedStyle == 0 && value.Anchor == "":
			d.refuse(key, value, at, "has no value: write one, or take the key out")
		default:
			if text, ok := d.scalar(key, value, at, fd.MapValue()); ok {
				into.Set(protoreflect.ValueOfString(key.Value).MapKey(), text)
			}
		}
		first[key.Value] = key
	}
}

// list reads a list. A member that is at fault leaves an empty one, so that the
// numbers of the others stay right.
func (d *document) list(k, v *yaml.Node, path string, m protoreflect.Message, fd protoreflect.FieldDescriptor, depth int) {
	if !d.isPlain(k, v, path) {
		return
	}
	if v.Kind != yaml.SequenceNode {
		d.refuse(k, v, path, "must be a list, not %s%s", kindWords(v), listHint(fd, v))
		return
	}
	if len(v.Content) == 0 && depth > 0 {
		d.refuse(k, v, path, "is an empty list, which says nothing: write %s, or take the key out", wanted(fd))
		return
	}
	list := m.Mutable(fd).List()
	for i, item := range v.Content {
		at := path + "[" + strconv.Itoa(i) + "]"
		switch {
		case isNull(item) && item.Style&yaml.TaggedStyle == 0 && item.Anchor == "":
			list.Append(list.NewElement())
			d.refuse(nil, item, at, "has no value: write one, or take the - out")
		case isMessage(fd):
			d.message(nil, item, at, list.AppendMutable().Message(), depth+1)
		default:
			value, ok := d.scalar(nil, item, at, fd)
			if !ok {
				value = list.NewElement()
			}
			list.Append(value)
		}
	}
}

// unknownKey notes a key that the schema has not.
func (d *document) unknownKey(k *yaml.Node, path string, md protoreflect.MessageDescriptor) {
	const most = 12 // more are no help
	known := fieldNames(md)
	meant := didYouMean(k.Value, known)
	text := fmt.Sprintf("unknown key %q%s", shortened(k.Value), meant)
	if meant == "" && len(known) <= most {
		text += "; known here: " + strings.Join(known, ", ")
	}
	at := path
	if isWord(k.Value) {
		at = joinPath(path, k.Value)
	}
	d.failAt(positionOf(nil, k), at, "%s", text)
	if _, name, ok := strings.Cut(meant, `"`); ok { // that the key it was meant for is missing follows
		d.spoil(joinPath(path, strings.TrimRight(name, `"?`)))
	}
}

// refuse notes a fault by which the value at path is lost.
func (d *document) refuse(key, n *yaml.Node, path, format string, args ...any) {
	d.failAt(positionOf(key, n), path, format, args...)
	d.spoil(path)
}

// isMessage says that fd is a group of keys that the schema names; a duration is
// text.
func isMessage(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && !isDuration(fd) && !fd.IsMap()
}

func isDuration(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && fd.Message().FullName() == "google.protobuf.Duration"
}
