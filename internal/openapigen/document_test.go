package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/fetchsvc/fetchsvc/api"
	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// linked are the API's files as the running code has them, without comments.
func linked() []protoreflect.FileDescriptor {
	return withImports(fetchsvcv1.File_fetchsvc_v1_service_proto, fetchsvcv1.File_fetchsvc_v1_policy_service_proto)
}

// withImports gives files with all that they import, imports first.
func withImports(files ...protoreflect.FileDescriptor) (all []protoreflect.FileDescriptor) {
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(fd protoreflect.FileDescriptor) {
		if seen[fd.Path()] {
			return
		}
		seen[fd.Path()] = true
		for i := range fd.Imports().Len() {
			add(fd.Imports().Get(i).FileDescriptor)
		}
		all = append(all, fd)
	}
	for _, fd := range files {
		add(fd)
	}
	return all
}

func linkedSet() *descriptorpb.FileDescriptorSet {
	set := new(descriptorpb.FileDescriptorSet)
	for _, fd := range linked() {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(fd))
	}
	return set
}

func parse(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// at walks down objects and gives what stands there, or nil.
func at(v any, keys ...string) any {
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[k]
	}
	return v
}

// TestUpToDate holds the committed document to the linked descriptors, all but
// the words: those are only in the image that `make gen` builds.
func TestUpToDate(t *testing.T) {
	want, err := generate(linkedSet())
	if err != nil {
		t.Fatal(err)
	}
	got, fresh := parse(t, api.OpenAPI), parse(t, want)
	dropWords(got)
	dropWords(fresh)
	if diff := cmp.Diff(fresh, got); diff != "" {
		t.Errorf("api/openapi.json is stale: run `make gen` (-want +got):\n%s", diff)
	}
}

func dropWords(v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, sub := range v {
			if _, text := sub.(string); text && (key == "description" || key == "summary") {
				delete(v, key)
				continue
			}
			dropWords(sub)
		}
	case []any:
		for _, sub := range v {
			dropWords(sub)
		}
	}
}

// TestComplete asks the committed document for every RPC, message field and
// enum value of the API, each with its words, without the generator's help.
func TestComplete(t *testing.T) {
	doc := parse(t, api.OpenAPI)
	schemas := at(doc, "components", "schemas")
	operations := map[any]bool{}
	for _, item := range at(doc, "paths").(map[string]any) {
		for _, verb := range []string{"get", "post"} {
			if at(item, verb, "description") != nil {
				operations[at(item, verb, "operationId")] = true
			}
		}
	}
	enum := func(e protoreflect.EnumDescriptor) {
		name := strings.TrimPrefix(string(e.FullName()), "fetchsvc.v1.")
		values, _ := at(schemas, name, "enum").([]any)
		words, _ := at(schemas, name, "description").(string)
		if len(values) != e.Values().Len() {
			t.Errorf("enum %s has %d values, want %d", name, len(values), e.Values().Len())
			return
		}
		for i := range e.Values().Len() {
			v := string(e.Values().Get(i).Name())
			if values[i] != v || !strings.Contains(words, "- `"+v+"`: ") {
				t.Errorf("enum %s: value %s is missing or has no words", name, v)
			}
		}
	}
	for _, fd := range linked() {
		if fd.Package() != "fetchsvc.v1" {
			continue
		}
		for i := range fd.Services().Len() {
			for j := range fd.Services().Get(i).Methods().Len() {
				if m := fd.Services().Get(i).Methods().Get(j).Name(); !operations[string(m)] {
					t.Errorf("RPC %s has no operation with words", m)
				}
			}
		}
		for i := range fd.Enums().Len() {
			enum(fd.Enums().Get(i))
		}
		for i := range fd.Messages().Len() {
			m := fd.Messages().Get(i)
			for j := range m.Enums().Len() {
				enum(m.Enums().Get(j))
			}
			for j := range m.Fields().Len() {
				f := m.Fields().Get(j).TextName()
				if at(schemas, string(m.Name()), "properties", f, "description") == nil {
					t.Errorf("field %s.%s is missing or has no words", m.Name(), f)
				}
			}
		}
	}
}

func TestProblemNamesEveryKind(t *testing.T) {
	var want []any
	for _, k := range fault.Kinds() {
		want = append(want, string(k))
	}
	got := at(parse(t, api.OpenAPI), "components", "schemas", "Problem", "properties", "reason", "enum")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Problem.reason is stale: run `make gen` (-want +got):\n%s", diff)
	}
}

func TestReferencesResolve(t *testing.T) {
	doc := parse(t, api.OpenAPI)
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if r, ok := v["$ref"].(string); ok && at(doc, strings.Split(strings.TrimPrefix(r, "#/"), "/")...) == nil {
				t.Errorf("%s leads nowhere", r)
			}
			for _, sub := range v {
				walk(sub)
			}
		case []any:
			for _, sub := range v {
				walk(sub)
			}
		}
	}
	walk(doc)
}

func TestTextForm(t *testing.T) {
	if bytes.ContainsRune(api.OpenAPI, '\r') || !bytes.HasSuffix(api.OpenAPI, []byte("\n}\n")) {
		t.Error("api/openapi.json must have LF line ends and one final newline")
	}
	for range 3 {
		a, errA := generate(linkedSet())
		b, errB := generate(linkedSet())
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Fatalf("two runs differ (errors %v, %v)", errA, errB)
		}
	}
}
