package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// policyMessage is the message that a policy file spells.
const policyMessage protoreflect.FullName = "fetchsvc.policy.v1.Policy"

// policySchema gives the JSON Schema (draft 2020-12) of a policy file, for editors
// to complete and check what is written. The loader has the last word: it checks
// more.
func policySchema(set *descriptorpb.FileDescriptorSet) ([]byte, error) {
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, err
	}
	d, err := files.FindDescriptorByName(policyMessage)
	if err != nil {
		return nil, err
	}
	c := config{defs: map[string]object{}}
	root, err := c.message(d.(protoreflect.MessageDescriptor))
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(c.defs))
	for name := range c.defs {
		names = append(names, name)
	}
	slices.Sort(names)
	var defs object
	for _, name := range names {
		defs = append(defs, member{name, c.defs[name]})
	}
	doc := object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"$id", "https://raw.githubusercontent.com/fetchsvc/fetchsvc/main/api/policy.schema.json"},
		{"title", "fetchsvc policy"},
	}
	return append(append(doc, root...), member{"$defs", defs}).indented()
}

// config describes messages as YAML spells them: snake_case keys only, and
// nothing that is unknown or empty.
type config struct {
	defs map[string]object // by message name
}

func (c *config) message(m protoreflect.MessageDescriptor) (object, error) {
	properties, required, text := object{}, []any{}, comment(m)
	for i := range m.Fields().Len() {
		fd := m.Fields().Get(i)
		s, err := c.field(fd)
		if err != nil {
			return nil, err
		}
		properties = append(properties, member{fd.TextName(), s})
		if mustBeSet(fd) || refusesNothing(fd) {
			required = append(required, fd.TextName())
		}
	}
	var rules []any
	for _, choice := range choicesOf(m) {
		text += "\n\n" + choice.words()
		rules = append(rules, choice.rule())
	}
	s := object{{"description", text}, {"type", "object"}, {"properties", properties}}
	if len(required) > 0 {
		s = append(s, member{"required", required})
	}
	if len(rules) > 0 {
		s = append(s, member{"allOf", rules})
	}
	return append(s, member{"additionalProperties", false}), nil
}

// refusesNothing says that the pattern of fd refuses what is not given.
func refusesNothing(fd protoreflect.FieldDescriptor) bool {
	pattern := fieldRules(fd).GetString().GetPattern()
	return pattern != "" && !regexp.MustCompile(pattern).MatchString("")
}

func (c *config) field(fd protoreflect.FieldDescriptor) (object, error) {
	rules := fieldRules(fd)
	text := member{"description", comment(fd)}
	if fd.IsMap() && fd.MapValue().Kind() != protoreflect.StringKind {
		return nil, unsupported(fd, "a map of other than texts")
	}
	if fd.IsMap() {
		return append(object{text}, mapSchema(rules.GetMap())...), nil
	}
	if !fd.IsList() {
		s, err := c.value(fd, rules)
		return append(object{text}, s...), err
	}
	item, err := c.value(fd, rules.GetRepeated().GetItems())
	s := append(object{text, {"type", "array"}, {"items", item}}, listBounds(rules.GetRepeated())...)
	if rules.GetRepeated().GetMinItems() == 0 && fd.ContainingMessage().FullName() != policyMessage {
		s = append(s, member{"minItems", 1}) // the loader refuses a list that says nothing
	}
	if rules.GetRepeated().GetUnique() {
		s = append(s, member{"uniqueItems", true})
	}
	return s, err
}

// mapSchema is a mapping whose keys are free; its values are texts.
func mapSchema(rules *validate.MapRules) object {
	s := object{{"type", "object"}, {"additionalProperties", textSchema(rules.GetValues().GetString())}, {"minProperties", 1}}
	if rules.HasMaxPairs() {
		s = append(s, member{"maxProperties", rules.GetMaxPairs()})
	}
	return s
}

// value is the schema of one value of fd.
func (c *config) value(fd protoreflect.FieldDescriptor, rules *validate.FieldRules) (object, error) {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return object{{"type", "boolean"}}, nil
	case protoreflect.StringKind:
		return textSchema(rules.GetString()), nil
	case protoreflect.Int32Kind:
		return append(object{{"type", "integer"}}, int32Bounds(rules.GetInt32())...), nil
	case protoreflect.DoubleKind:
		return append(object{{"type", "number"}}, doubleBounds(rules.GetDouble())...), nil
	case protoreflect.MessageKind:
		return c.messageValue(fd)
	default:
		return nil, unsupported(fd, fd.Kind().String())
	}
}

// textSchema is text that is not empty: what is not given is left out. A word that
// reads as a number may be written as one.
func textSchema(rules *validate.StringRules) object {
	var words []any
	for _, w := range rules.GetIn() {
		if w != "" {
			words = append(words, w)
		}
		if n, err := strconv.ParseFloat(w, 64); err == nil {
			words = append(words, n)
		}
	}
	if len(words) > 0 {
		return object{{"enum", words}}
	}
	s := append(object{{"type", "string"}}, stringBounds(rules)...)
	if !slices.ContainsFunc(s, func(m member) bool { return m.key == "minLength" || m.key == "pattern" }) {
		s = append(s, member{"minLength", 1})
	}
	return s
}

func doubleBounds(r *validate.DoubleRules) (o object) {
	if r.HasGte() {
		o = append(o, member{"minimum", r.GetGte()})
	}
	if r.HasLte() {
		o = append(o, member{"maximum", r.GetLte()})
	}
	return o
}

func (c *config) messageValue(fd protoreflect.FieldDescriptor) (object, error) {
	m := fd.Message()
	switch {
	case m.FullName() == "google.protobuf.Duration":
		return object{
			{"type", "string"},
			{"pattern", `^([0-9]+(\.[0-9]+)?(h|m|s|ms|us|ns))+$`},
			{"examples", []any{"5s", "500ms", "1m30s"}},
		}, nil
	case !strings.HasPrefix(string(m.FullName()), string(policyMessage.Parent())+"."):
		return nil, unsupported(fd, string(m.FullName()))
	}
	name := string(m.Name())
	if _, known := c.defs[name]; !known {
		c.defs[name] = nil // it may hold itself
		s, err := c.message(m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fd.FullName(), err)
		}
		c.defs[name] = s
	}
	return object{{"$ref", "#/$defs/" + name}}, nil
}
