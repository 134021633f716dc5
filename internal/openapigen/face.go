package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// apiPackage is the package whose services and messages are described.
const apiPackage protoreflect.FullName = "fetchsvc.v1"

// face is what the schema files say, sorted by who sends it.
type face struct {
	about    string // what the package is for
	services []protoreflect.ServiceDescriptor
	messages []protoreflect.MessageDescriptor // with fields, nested ones included
	enums    []protoreflect.EnumDescriptor
	sent     map[protoreflect.FullName]bool // messages that callers send
}

func collect(files *protoregistry.Files) (*face, error) {
	f := &face{sent: map[protoreflect.FullName]bool{}}
	files.RangeFilesByPackage(apiPackage, func(fd protoreflect.FileDescriptor) bool {
		for i := range fd.Services().Len() {
			f.services = append(f.services, fd.Services().Get(i))
		}
		f.addEnums(fd.Enums())
		f.addMessages(fd.Messages())
		// The comment of a file's syntax line, field 12 of FileDescriptorProto,
		// or of its package, field 2, is about the package.
		for _, n := range []int32{12, 2} {
			if c := fd.SourceLocations().ByPath(protoreflect.SourcePath{n}).LeadingComments; c != "" {
				f.about = unwrap(c)
			}
		}
		return true
	})
	if len(f.services) == 0 {
		return nil, errors.New("the image has no service of " + string(apiPackage))
	}
	byName := func(a, b protoreflect.Descriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	}
	slices.SortFunc(f.services, func(a, b protoreflect.ServiceDescriptor) int { return byName(a, b) })
	slices.SortFunc(f.messages, func(a, b protoreflect.MessageDescriptor) int { return byName(a, b) })
	slices.SortFunc(f.enums, func(a, b protoreflect.EnumDescriptor) int { return byName(a, b) })
	for _, s := range f.services {
		for i := range s.Methods().Len() {
			f.markSent(s.Methods().Get(i).Input())
		}
	}
	return f, nil
}

func (f *face) addMessages(ms protoreflect.MessageDescriptors) {
	for i := range ms.Len() {
		m := ms.Get(i)
		f.addEnums(m.Enums())
		f.addMessages(m.Messages())
		if m.Fields().Len() > 0 && !m.IsMapEntry() {
			f.messages = append(f.messages, m)
		}
	}
}

func (f *face) addEnums(es protoreflect.EnumDescriptors) {
	for i := range es.Len() {
		f.enums = append(f.enums, es.Get(i))
	}
}

// markSent notes m and what it holds as sent by callers.
func (f *face) markSent(m protoreflect.MessageDescriptor) {
	if m.ParentFile().Package() != apiPackage || f.sent[m.FullName()] {
		return
	}
	f.sent[m.FullName()] = true
	for i := range m.Fields().Len() {
		if sub := m.Fields().Get(i).Message(); sub != nil {
			f.markSent(sub)
		}
	}
}

// schemaName is a message's or enum's name in the document.
func schemaName(d protoreflect.Descriptor) string {
	return strings.TrimPrefix(string(d.FullName()), string(apiPackage)+".")
}

// comment is what the .proto file says above d, one line a paragraph.
func comment(d protoreflect.Descriptor) string {
	return unwrap(d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments)
}

// unwrap joins the lines of each paragraph.
func unwrap(text string) string {
	var paragraphs []string
	for p := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		paragraphs = append(paragraphs, strings.Join(strings.Fields(p), " "))
	}
	return strings.Join(paragraphs, "\n\n")
}

// sentence is the first sentence of a comment, without its stop: a summary.
func sentence(text string) string {
	for i := range text {
		if text[i] == '.' && (i+1 == len(text) || text[i+1] == ' ' || text[i+1] == '\n') {
			return text[:i]
		}
	}
	return text
}

// unsupported is the error for a construct that the document cannot show yet.
func unsupported(d protoreflect.Descriptor, what string) error {
	return fmt.Errorf("%s: openapigen does not know how to describe %s", d.FullName(), what)
}
