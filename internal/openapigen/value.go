package main

import (
	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// value is the schema of one value of fd, as the proto3 JSON mapping writes it.
func (f *face) value(fd protoreflect.FieldDescriptor, rules *validate.FieldRules) (object, error) {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return object{{"type", "boolean"}}, nil
	case protoreflect.StringKind:
		return append(object{{"type", "string"}}, stringBounds(rules.GetString())...), nil
	case protoreflect.BytesKind:
		s := object{{"type", "string"}, {"contentEncoding", "base64"}}
		return append(s, bytesBounds(rules.GetBytes())...), nil
	case protoreflect.EnumKind:
		return ref(schemaName(fd.Enum())), nil
	case protoreflect.Int32Kind:
		return append(object{{"type", "integer"}, {"format", "int32"}}, int32Bounds(rules.GetInt32())...), nil
	case protoreflect.Int64Kind:
		return int64Schema(rules.GetInt64(), f.sent[fd.ContainingMessage().FullName()]), nil
	case protoreflect.MessageKind:
		return messageValue(fd)
	default:
		return nil, unsupported(fd, fd.Kind().String())
	}
}

// int64Schema is a string, because JSON readers take numbers for doubles; what
// callers send may be a number as well.
func int64Schema(rules *validate.Int64Rules, sent bool) object {
	pattern := "^-?[0-9]+$"
	if rules.HasGte() && rules.GetGte() >= 0 {
		pattern = "^[0-9]+$"
	}
	if !sent {
		return object{{"type", "string"}, {"format", "int64"}, {"pattern", pattern}}
	}
	s := object{{"type", []any{"string", "integer"}}, {"format", "int64"}, {"pattern", pattern}}
	return append(s, int64Bounds(rules)...)
}

// messageValue is a reference, or the JSON form of a well-known type.
func messageValue(fd protoreflect.FieldDescriptor) (object, error) {
	m := fd.Message()
	switch {
	case m.ParentFile().Package() == apiPackage && m.Fields().Len() > 0:
		return ref(schemaName(m)), nil
	case m.FullName() == "google.protobuf.Duration":
		return durationSchema(), nil
	case m.FullName() == "google.protobuf.Timestamp":
		return object{{"type", "string"}, {"format", "date-time"}}, nil
	case m.FullName() == "google.protobuf.Value":
		return object{}, nil // any JSON value
	case m.FullName() == "google.rpc.Status":
		return ref("Status"), nil
	default:
		return nil, unsupported(fd, string(m.FullName()))
	}
}

func durationSchema() object {
	return object{
		{"type", "string"},
		{"pattern", `^-?[0-9]+(\.[0-9]{1,9})?s$`},
		{"examples", []any{"0.5s"}},
	}
}
