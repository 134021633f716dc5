package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/fetchsvc/fetchsvc/api"
	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

func linkedPolicySet() *descriptorpb.FileDescriptorSet {
	set := new(descriptorpb.FileDescriptorSet)
	for _, fd := range withImports(policyv1.File_fetchsvc_policy_v1_policy_proto) {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(fd))
	}
	return set
}

// TestPolicySchemaUpToDate holds the committed schema to the linked descriptors,
// all but the words, as for the OpenAPI document.
func TestPolicySchemaUpToDate(t *testing.T) {
	want, err := policySchema(linkedPolicySet())
	if err != nil {
		t.Fatal(err)
	}
	got, fresh := parse(t, api.PolicySchema), parse(t, want)
	dropWords(got)
	dropWords(fresh)
	if diff := cmp.Diff(fresh, got); diff != "" {
		t.Errorf("api/policy.schema.json is stale: run `make gen` (-want +got):\n%s", diff)
	}
}

// TestPolicySchemaComplete asks the committed schema for every key, with its words.
func TestPolicySchemaComplete(t *testing.T) {
	doc := parse(t, api.PolicySchema)
	seen := map[protoreflect.FullName]bool{}
	var walk func(md protoreflect.MessageDescriptor, schema any)
	walk = func(md protoreflect.MessageDescriptor, schema any) {
		if seen[md.FullName()] {
			return
		}
		seen[md.FullName()] = true
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			if words, _ := at(schema, "properties", fd.TextName(), "description").(string); words == "" {
				t.Errorf("%s is missing or has no words", fd.FullName())
			}
			if fd.Message() != nil && !fd.IsMap() && fd.Message().ParentFile().Package() == md.ParentFile().Package() {
				walk(fd.Message(), at(doc, "$defs", string(fd.Message().Name())))
			}
		}
		if closed, _ := at(schema, "additionalProperties").(bool); closed || at(schema, "additionalProperties") == nil {
			t.Errorf("%s takes unknown keys", md.FullName())
		}
	}
	walk(new(policyv1.Policy).ProtoReflect().Descriptor(), doc)
	if len(seen) < 10 {
		t.Errorf("only %d messages were looked at", len(seen))
	}
}

// TestPolicySchemaJudges puts policies before the committed schema.
func TestPolicySchemaJudges(t *testing.T) {
	dev, err := os.ReadFile("../../cmd/fetchsvc/dev.yaml")
	if err != nil {
		t.Fatal(err)
	}
	up := func(rest string) string { return "upstreams: [{name: a, hosts: [a.example], " + rest + "}]" }
	tests := []struct{ name, text, want string }{
		{"the example", string(dev), ""},
		{"an empty mapping", "{}", ""},
		{"a number for a word that is one", up("tls: {min_version: 1.2}"), ""},
		{"a rule in rules", up("deny: {rules: [{methods: [DELETE]}]}"), ""},
		{"a credential", "credentials: [{name: a, bind: [https://a.example], bearer: {token: {secret: env:A}}}]", ""},
		{"unknown key", up("timeout: 3s"), "timeout: unknown"},
		{"JSON's spelling", up("minRate: 1KiB"), "minRate: unknown"},
		{"no name", "upstreams: [{hosts: [a.example]}]", "name: missing"},
		{"no hosts", "upstreams: [{name: a}]", "hosts: missing"},
		{"bad name", "upstreams: [{name: A, hosts: [a.example]}]", "pattern"},
		{"no unit", up("timeouts: {total: 5}"), "type"},
		{"wrong unit", up("timeouts: {total: 1d}"), "pattern"},
		{"no such word", up("mode: off"), "enum"},
		{"out of bounds", up("retry: {max_attempts: 11}"), "maximum"},
		{"no scheme", "credentials: [{name: a, bind: [https://a.example]}]", "oneOf"},
		{"claims", up("allow: {claims: {realm.team: a}}"), ""},
		{"no claims", up("allow: {claims: {}}"), "minProperties"},
		{"a claim that is no text", up("allow: {claims: {admin: true}}"), "type"},
		{"a claim of nothing", up("allow: {claims: {admin: ''}}"), "minLength"},
		{"an empty list", up("allow: {callers: []}"), "minItems"},
		{"an empty text", up("credential: ''"), "minLength"},
		{"nothing", up("credential: null"), "type"},
	}
	doc := parse(t, api.PolicySchema)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var v any
			if err := yaml.Unmarshal([]byte(tt.text), &v); err != nil {
				t.Fatal(err)
			}
			raw, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, &v); err != nil {
				t.Fatal(err)
			}
			got := strings.Join(judge(doc, doc, v), "; ")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("the schema says %q, want %q", got, tt.want)
			}
		})
	}
}

// judge applies the keywords of JSON Schema that openapigen writes, and fails on
// those that it does not know.
func judge(doc map[string]any, schema map[string]any, v any) (faults []string) {
	fail := func(ok bool, what string) {
		if !ok {
			faults = append(faults, what)
		}
	}
	members, isObject := v.(map[string]any)
	items, isList := v.([]any)
	text, isText := v.(string)
	number, isNumber := v.(float64)
	for keyword, rule := range schema {
		switch keyword {
		case "$schema", "$id", "$defs", "title", "description", "examples", "properties":
		case "$ref":
			faults = append(faults, judge(doc, at(doc, strings.Split(strings.TrimPrefix(rule.(string), "#/"), "/")...).(map[string]any), v)...)
		case "type":
			is := map[any]bool{"object": isObject, "array": isList, "string": isText, "number": isNumber, "integer": isNumber && number == float64(int(number))}
			_, truth := v.(bool)
			is["boolean"] = truth
			fail(is[rule], "type")
		case "required":
			for _, name := range rule.([]any) {
				_, has := members[name.(string)]
				fail(has || !isObject, fmt.Sprint(name, ": missing"))
			}
		case "additionalProperties":
			if values, ok := rule.(map[string]any); ok { // any key
				for _, sub := range members {
					faults = append(faults, judge(doc, values, sub)...)
				}
				continue
			}
			for name, sub := range members {
				known, ok := at(schema, "properties", name).(map[string]any)
				if fail(ok, name+": unknown"); ok {
					faults = append(faults, judge(doc, known, sub)...)
				}
			}
		case "items":
			for _, item := range items {
				faults = append(faults, judge(doc, rule.(map[string]any), item)...)
			}
		case "allOf":
			for _, sub := range rule.([]any) {
				faults = append(faults, judge(doc, sub.(map[string]any), v)...)
			}
		case "oneOf":
			met := 0
			for _, sub := range rule.([]any) {
				if len(judge(doc, sub.(map[string]any), v)) == 0 {
					met++
				}
			}
			fail(met == 1, "oneOf")
		case "enum":
			met := false
			for _, word := range rule.([]any) {
				met = met || word == v
			}
			fail(met, "enum")
		case "pattern":
			fail(!isText || regexp.MustCompile(rule.(string)).MatchString(text), "pattern")
		case "minimum":
			fail(!isNumber || number >= rule.(float64), "minimum")
		case "maximum":
			fail(!isNumber || number <= rule.(float64), "maximum")
		case "minLength":
			fail(!isText || utf8.RuneCountInString(text) >= int(rule.(float64)), "minLength")
		case "maxLength":
			fail(!isText || utf8.RuneCountInString(text) <= int(rule.(float64)), "maxLength")
		case "minItems":
			fail(!isList || len(items) >= int(rule.(float64)), "minItems")
		case "maxItems":
			fail(!isList || len(items) <= int(rule.(float64)), "maxItems")
		case "minProperties":
			fail(!isObject || len(members) >= int(rule.(float64)), "minProperties")
		case "maxProperties":
			fail(!isObject || len(members) <= int(rule.(float64)), "maxProperties")
		case "uniqueItems":
			seen := map[string]bool{}
			for _, item := range items {
				fail(!seen[fmt.Sprint(item)], "uniqueItems")
				seen[fmt.Sprint(item)] = true
			}
		default:
			faults = append(faults, keyword+": this test does not know the keyword")
		}
	}
	return faults
}
