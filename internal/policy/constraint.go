package policy

import (
	"errors"
	"strconv"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// validate notes where the files break the schema's constraints.
func (b *bundle) validate() error {
	var broken *protovalidate.ValidationError
	switch err := protovalidate.Validate(b.file); {
	case err == nil:
		return nil
	case !errors.As(err, &broken):
		return err
	}
	type place struct {
		d    *document
		path string
	}
	faults := map[place]Problem{} // of several at a place the last: a list's come before its members'
	for _, v := range broken.Violations {
		whole := violationPath(v)
		d, path := b.place(whole)
		path, reason := constraintWords(v, whole, path, d.locate(path).found)
		if !d.isNoise(path) {
			faults[place{d, path}] = d.problemAt(d.locate(path), path, reason, false)
		}
	}
	for _, v := range broken.Violations { // what broke them is no longer needed
		b.unset(violationPath(v), v.Proto.GetRuleId())
	}
	for at, p := range faults { // noted together: one does not make noise of another
		at.d.problems = append(at.d.problems, p)
		at.d.spoil(p.Path)
	}
	return nil
}

// unset takes a word or a number that is none of those allowed out of the
// message, so that compiling does not find more to say about it.
func (b *bundle) unset(path, rule string) {
	if !strings.HasPrefix(rule, "int32.") && !strings.HasPrefix(rule, "double.") && !strings.HasPrefix(rule, "duration.") &&
		rule != "string.in" && rule != "repeated.unique" {
		return
	}
	m := b.file.ProtoReflect()
	for {
		step, rest := nextStep(path)
		fd := m.Descriptor().Fields().ByName(protoreflect.Name(step))
		switch {
		case !isMessage(fd):
			m.Clear(fd)
			return
		case fd.IsList():
			step, rest = nextStep(rest)
			index, _ := strconv.Atoi(step)
			m = m.Get(fd).List().Get(index).Message()
		default:
			m = m.Get(fd).Message()
		}
		path = rest
	}
}

// violationPath writes where v is as `upstreams[2].hosts[0]`.
func violationPath(v *protovalidate.Violation) string {
	var b strings.Builder
	for i, e := range v.Proto.GetField().GetElements() {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(e.GetFieldName())
		if e.HasIndex() {
			b.WriteString("[" + strconv.FormatUint(e.GetIndex(), 10) + "]")
		}
	}
	return b.String()
}

func fieldRules(fd protoreflect.FieldDescriptor) *validate.FieldRules {
	return proto.GetExtension(fd.Options(), validate.E_Field).(*validate.FieldRules)
}

// schemaAt gives the field or the oneof at path.
func schemaAt(path string) (fd protoreflect.FieldDescriptor, oneof protoreflect.OneofDescriptor) {
	md := new(policyv1.Policy).ProtoReflect().Descriptor()
	for path != "" {
		var step string
		step, path = nextStep(path)
		if _, err := strconv.Atoi(step); err == nil {
			continue
		}
		if fd = md.Fields().ByName(protoreflect.Name(step)); fd == nil {
			return nil, md.Oneofs().ByName(protoreflect.Name(step))
		}
		if fd.IsMap() {
			return fd, nil
		}
		if isMessage(fd) {
			md = fd.Message()
		}
	}
	return fd, nil
}
