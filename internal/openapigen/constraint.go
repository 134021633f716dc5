package main

import (
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The constraints of buf.validate, as far as JSON Schema can say them. What a
// schema lets through, the service may still refuse.

func fieldRules(fd protoreflect.FieldDescriptor) *validate.FieldRules {
	return proto.GetExtension(fd.Options(), validate.E_Field).(*validate.FieldRules)
}

// mustBeSet says that a JSON object without the field is refused.
func mustBeSet(fd protoreflect.FieldDescriptor) bool {
	r := fieldRules(fd)
	behaviors := proto.GetExtension(fd.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	if r.GetRequired() || slices.Contains(behaviors, annotations.FieldBehavior_REQUIRED) {
		return true
	}
	// Without presence an absent field is an empty one, and its rules apply.
	return !fd.HasPresence() && (r.GetRepeated().GetMinItems() > 0 ||
		r.GetString().GetMinBytes() > 0 || r.GetString().GetMinLen() > 0 || r.GetBytes().GetMinLen() > 0)
}

func listBounds(r *validate.RepeatedRules) (o object) {
	if r.GetMinItems() > 0 {
		o = append(o, member{"minItems", r.GetMinItems()})
	}
	if r.HasMaxItems() {
		o = append(o, member{"maxItems", r.GetMaxItems()})
	}
	return o
}

// stringBounds gives lengths in characters: n bytes are at most n characters
// and at least n/4.
func stringBounds(r *validate.StringRules) (o object) {
	if n := max(r.GetMinLen(), (r.GetMinBytes()+3)/4); n > 0 {
		o = append(o, member{"minLength", n})
	}
	switch {
	case r.HasMaxLen():
		o = append(o, member{"maxLength", r.GetMaxLen()})
	case r.HasMaxBytes():
		o = append(o, member{"maxLength", r.GetMaxBytes()})
	}
	if r.GetPattern() != "" {
		o = append(o, member{"pattern", r.GetPattern()})
	}
	return o
}

// bytesBounds gives lengths of the base64 text, padding included.
func bytesBounds(r *validate.BytesRules) (o object) {
	if r.GetMinLen() > 0 {
		o = append(o, member{"minLength", (r.GetMinLen()*4 + 2) / 3})
	}
	if r.HasMaxLen() {
		o = append(o, member{"maxLength", (r.GetMaxLen() + 2) / 3 * 4})
	}
	return o
}

func int32Bounds(r *validate.Int32Rules) (o object) {
	if r.HasGte() {
		o = append(o, member{"minimum", r.GetGte()})
	}
	if r.HasLte() {
		o = append(o, member{"maximum", r.GetLte()})
	}
	return o
}

func int64Bounds(r *validate.Int64Rules) (o object) {
	if r.HasGte() {
		o = append(o, member{"minimum", r.GetGte()})
	}
	if r.HasLte() {
		o = append(o, member{"maximum", r.GetLte()})
	}
	return o
}

// choice is a set of fields of which at most one may be set, or exactly one.
type choice struct {
	fields   []string
	required bool
}

// choicesOf gives the oneofs of m, the language's own and buf.validate's.
func choicesOf(m protoreflect.MessageDescriptor) (cs []choice) {
	for i := range m.Oneofs().Len() {
		o := m.Oneofs().Get(i)
		if o.IsSynthetic() {
			continue
		}
		var c choice
		for j := range o.Fields().Len() {
			c.fields = append(c.fields, o.Fields().Get(j).TextName())
		}
		c.required = proto.GetExtension(o.Options(), validate.E_Oneof).(*validate.OneofRules).GetRequired()
		cs = append(cs, c)
	}
	rules := proto.GetExtension(m.Options(), validate.E_Message).(*validate.MessageRules)
	for _, o := range rules.GetOneof() {
		cs = append(cs, choice{fields: o.GetFields(), required: o.GetRequired()})
	}
	return cs
}

func (c choice) words() string {
	list := "`" + strings.Join(c.fields, "`, `") + "`."
	if c.required {
		return "Exactly one of " + list
	}
	return "At most one of " + list
}

// rule is the choice in JSON Schema. Several members of `oneOf` would make code
// generators invent types, so that "at most one" is said by what may not be.
func (c choice) rule() object {
	var each, pairs []any
	for i, a := range c.fields {
		each = append(each, object{{"required", []any{a}}})
		for _, b := range c.fields[:i] {
			pairs = append(pairs, object{{"required", []any{b, a}}})
		}
	}
	if c.required {
		return object{{"oneOf", each}}
	}
	return object{{"not", object{{"anyOf", pairs}}}}
}
