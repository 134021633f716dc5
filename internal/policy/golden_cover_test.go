package policy

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// TestGoldenCoversEveryField goes through the schema. For every field there is a
// good file whose answers change when the field is taken out: it has an effect,
// and the file asserts it. And there is a bad file that shows how it is refused.
func TestGoldenCoversEveryField(t *testing.T) {
	effects, refusals := map[string]bool{}, map[string]bool{}
	for _, g := range goldens(t) {
		s, err := g.load(t)
		var faults *Error
		switch {
		case errors.As(err, &faults):
			for _, p := range faults.Problems {
				refusals[withoutIndexes(p.Path)] = true
			}
		case err == nil && g.section("policy.yaml") != "":
			g.effects(s, effects)
		}
	}
	byField := map[string]bool{} // `Timeouts.total`, at whatever level
	fields := schemaFields()
	for _, f := range fields {
		byField[f.name] = byField[f.name] || refusals[f.path]
	}
	for _, f := range fields {
		reason, refused := onlyRefused[f.path]
		switch {
		case refused && !refusals[f.path] && !refusals[parent(f.path)]:
			t.Errorf("no bad file shows that %s is refused: %s", f.path, reason)
		case !refused && !effects[f.path] && !slices.Contains(notAlone, f.path):
			t.Errorf("no good file has %s so that its answers change without it", f.path)
		}
		if !byField[f.name] {
			t.Errorf("no bad file shows how %s is refused, such as %s", f.name, f.path)
		}
	}
	if len(fields) < 150 {
		t.Errorf("only %d fields were found", len(fields))
	}
}

// onlyRefused are fields that a shared message brings to where they mean nothing.
var onlyRefused = map[string]string{
	"upstreams.routes.timeouts.tls":           "connections are the upstream's",
	"upstreams.routes.timeouts.dns":           "connections are the upstream's",
	"upstreams.routes.sizes.response_header":  "connections are the upstream's",
	"upstreams.routes.retry.budget.ratio":     "the budget is the upstream's",
	"upstreams.routes.retry.budget.min":       "the budget is the upstream's",
	"upstreams.routes.retry.budget.window":    "the budget is the upstream's",
	"upstreams.routes.retry.budget.unlimited": "the budget is the upstream's",
}

// notAlone are fields that no good file can be without, or with another value,
// while the rest stays.
var notAlone = []string{
	"defaults.proxy.direct",            // nothing stands above defaults
	"credentials.headers.secrets.name", // the template has the name too
}

// schemaField is one field that is no group of others.
type schemaField struct{ path, name string }

func schemaFields() (out []schemaField) {
	var walk func(md protoreflect.MessageDescriptor, path string, above []protoreflect.FullName)
	walk = func(md protoreflect.MessageDescriptor, path string, above []protoreflect.FullName) {
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			at := joinPath(path, fd.TextName())
			switch {
			case !isMessage(fd):
				out = append(out, schemaField{at, string(md.Name()) + "." + fd.TextName()})
			case fd.Message() != md || !slices.Contains(above, md.FullName()): // rules of rules are refused
				walk(fd.Message(), at, append(slices.Clone(above), md.FullName()))
			}
		}
	}
	walk(new(policyv1.Policy).ProtoReflect().Descriptor(), "", nil)
	return out
}

var source = regexp.MustCompile(`(?m) from [^=\n]*$`)

// effects notes the fields without which the answers are others. Where a setting
// comes from does not count: the value has to be another. What cannot be left out
// alone is changed, or left out with its group.
func (g *golden) effects(s *Snapshot, found map[string]bool) {
	values := func(s *Snapshot) string { return source.ReplaceAllString(g.warnings(s)+g.answers(s), "") }
	with := values(s)
	file := readDocument("policy.yaml", []byte(repeated(g.section("policy.yaml")))).file
	differs := func() (sound, differs bool) {
		g.asked = nil
		without, problems := compile(file, g.dir, g.options())
		sound = !slices.ContainsFunc(problems, func(p problem) bool { return !p.warning })
		return sound, sound && values(without) != with
	}
	eachField(file.ProtoReflect(), nil, "", func(path string, f field) {
		if found[path] {
			return
		}
		restore := f.clear()
		sound, effect := differs()
		restore()
		if text, ok := f.m.Get(f.fd).Interface().(string); !sound && ok {
			f.m.Set(f.fd, protoreflect.ValueOfString(text+"2"))
			sound, effect = differs()
			f.m.Set(f.fd, protoreflect.ValueOfString(text))
		}
		if !sound && f.group != nil {
			restore := f.group.clear()
			_, effect = differs()
			restore()
		}
		found[path] = found[path] || effect
	})
}

// field is one of a message that has it set; group is the field that the message
// itself is the value of, if it is one.
type field struct {
	m     protoreflect.Message
	fd    protoreflect.FieldDescriptor
	group *field
}

// clear takes the field out, and gives how to put it back.
func (f field) clear() (restore func()) {
	value := f.m.Get(f.fd)
	if f.fd.IsList() || f.fd.IsMap() { // which Clear would empty
		value = proto.Clone(f.m.Interface()).ProtoReflect().Get(f.fd)
	}
	f.m.Clear(f.fd)
	return func() { f.m.Set(f.fd, value) }
}

// eachField visits what m has set, but for groups.
func eachField(m protoreflect.Message, group *field, path string, visit func(string, field)) {
	var set []protoreflect.FieldDescriptor
	m.Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		set = append(set, fd)
		return true
	})
	for _, fd := range set {
		at, f := joinPath(path, fd.TextName()), field{m, fd, group}
		switch {
		case !isMessage(fd):
			visit(at, f)
		case fd.IsList():
			for i := range m.Get(fd).List().Len() {
				eachField(m.Get(fd).List().Get(i).Message(), nil, at, visit)
			}
		default:
			eachField(m.Get(fd).Message(), &f, at, visit)
		}
	}
}

var indexes = regexp.MustCompile(`\[\d+\]`)

func withoutIndexes(path string) string { return strings.TrimSpace(indexes.ReplaceAllString(path, "")) }
