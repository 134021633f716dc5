// Command openapigen writes the OpenAPI document of the REST face and the JSON
// Schema of the policy file from the compiled schema: its messages, comments,
// constraints and HTTP bindings.
//
//	buf build proto -o IMAGE && go run ./internal/openapigen IMAGE OPENAPI POLICY
//
// No plugin is used, because none says what this face really does: how streams
// are framed, what an error looks like, that unknown fields are refused, and
// which bounds the requests have; nor how the policy file is spelled.
package main

import (
	"bytes"
	"fmt"
	"os"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: openapigen IMAGE OPENAPI POLICY")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "openapigen:", err)
		os.Exit(1)
	}
}

func run(image, openAPI, policy string) error {
	raw, err := os.ReadFile(image)
	if err != nil {
		return err
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(raw, set); err != nil {
		return fmt.Errorf("%s: %w", image, err)
	}
	if err := write(openAPI, set, generate); err != nil {
		return err
	}
	return write(policy, set, policySchema)
}

// write puts a document into a file; an unchanged one keeps its time.
func write(name string, set *descriptorpb.FileDescriptorSet, make func(*descriptorpb.FileDescriptorSet) ([]byte, error)) error {
	doc, err := make(set)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, doc) {
		return nil
	}
	return os.WriteFile(name, doc, 0o644)
}

// generate gives the OpenAPI document, indented and with a final newline. The same set
// gives the same bytes.
func generate(set *descriptorpb.FileDescriptorSet) ([]byte, error) {
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, err
	}
	s, err := collect(files)
	if err != nil {
		return nil, err
	}
	paths, err := s.paths()
	if err != nil {
		return nil, err
	}
	schemas, err := s.schemas()
	if err != nil {
		return nil, err
	}
	doc := object{
		{"openapi", "3.1.0"},
		{"info", object{
			{"title", "fetchsvc"},
			{"version", "v1"},
			{"description", s.about},
		}},
		{"servers", []any{object{{"url", "http://127.0.0.1:8080"}}}},
		{"security", []any{}},
		{"tags", s.tags()},
		{"paths", paths},
		{"components", object{
			{"schemas", schemas},
			{"responses", object{{"Problem", problemResponse()}}},
		}},
	}
	return doc.indented()
}
