package main

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// schemas describes every message and enum as the REST face spells it: proto
// names, enums and 64-bit integers as strings, bytes as base64.
func (f *face) schemas() (object, error) {
	named := object{
		{"Problem", f.problem()},
		{"Status", status()},
		{"StreamLine", streamLine()},
	}
	for _, e := range f.enums {
		named = append(named, member{schemaName(e), enumSchema(e)})
	}
	for _, m := range f.messages {
		s, err := f.message(m)
		if err != nil {
			return nil, err
		}
		named = append(named, member{schemaName(m), s})
	}
	slices.SortFunc(named, func(a, b member) int { return strings.Compare(a.key, b.key) })
	for i := 1; i < len(named); i++ {
		if named[i].key == named[i-1].key {
			return nil, fmt.Errorf("two schemas are named %s", named[i].key)
		}
	}
	return named, nil
}

func enumSchema(e protoreflect.EnumDescriptor) object {
	var names []any
	text := comment(e) + "\n"
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		names = append(names, v.Name())
		text += fmt.Sprintf("\n- `%s`: %s", v.Name(), comment(v))
	}
	return object{{"type", "string"}, {"enum", names}, {"description", text}}
}

// message is the schema of m. What callers send is closed, as unknown fields
// are refused; what fetchsvc sends is open, so that it may grow.
func (f *face) message(m protoreflect.MessageDescriptor) (object, error) {
	properties, required, text := object{}, []any{}, comment(m)
	for i := range m.Fields().Len() {
		fd := m.Fields().Get(i)
		s, err := f.field(fd)
		if err != nil {
			return nil, err
		}
		properties = append(properties, member{fd.TextName(), s})
		if mustBeSet(fd) {
			required = append(required, fd.TextName())
		}
	}
	choices := choicesOf(m)
	for _, c := range choices {
		text += "\n\n" + c.words()
	}
	s := object{{"type", "object"}, {"description", text}, {"properties", properties}}
	if len(required) > 0 {
		s = append(s, member{"required", required})
	}
	if f.sent[m.FullName()] {
		var rules []any
		for _, c := range choices {
			rules = append(rules, c.rule())
		}
		if len(rules) > 0 {
			s = append(s, member{"allOf", rules})
		}
		s = append(s, member{"additionalProperties", false})
	}
	return s, nil
}

// field is the schema of one field, with its constraints and its comment.
func (f *face) field(fd protoreflect.FieldDescriptor) (object, error) {
	var s object
	rules := fieldRules(fd)
	switch {
	case fd.IsMap():
		return nil, unsupported(fd, "a map")
	case fd.IsList():
		item, err := f.value(fd, rules.GetRepeated().GetItems())
		if err != nil {
			return nil, err
		}
		s = append(object{{"type", "array"}, {"items", item}}, listBounds(rules.GetRepeated())...)
	default:
		var err error
		if s, err = f.value(fd, rules); err != nil {
			return nil, err
		}
	}
	if text := comment(fd); text != "" {
		s = append(s, member{"description", text})
	}
	return s, nil
}
