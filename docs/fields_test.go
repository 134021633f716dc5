package docs_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/fetchsvc/fetchsvc/api"
	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// policyPages are where the fields of the policy file are described, each in a row
// of a table below a heading that names what it is in, such as "### `timeouts`".
var policyPages = []string{"docs/policy.md", "docs/retries.md", "docs/proxies-and-tls.md"}

var policySchema = new(policyv1.Policy).ProtoReflect().Descriptor()

// policyFields are the fields of the policy file, by message, each with the keys
// that lead to it, such as `upstreams.timeouts.total`; rules within rules are left
// out.
func policyFields() map[protoreflect.FullName][]string {
	all := map[protoreflect.FullName][]string{}
	var walk func(md protoreflect.MessageDescriptor, path string)
	walk = func(md protoreflect.MessageDescriptor, path string) {
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			at := path + "." + fd.TextName()
			all[fd.FullName()] = append(all[fd.FullName()], at)
			if isPolicyMessage(fd) && !strings.Contains(at, ".rules.") {
				walk(fd.Message(), at)
			}
		}
	}
	walk(policySchema, "")
	return all
}

func isPolicyMessage(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && fd.Message().FullName().Parent() == policySchema.FullName().Parent()
}

var (
	keyHeading = regexp.MustCompile("^#{2,4} +.*?(?:`([a-z0-9_.]+)`)?[^`]*$")
	keyRow     = regexp.MustCompile("^\\| `([a-z0-9_.]+)` \\|")
)

// TestPolicyFieldsAreDescribed: every field of the policy file has its row, and
// every such row its field.
func TestPolicyFieldsAreDescribed(t *testing.T) {
	described := map[protoreflect.FullName]bool{}
	fields := policyFields()
	for _, p := range readPages(t) {
		if !slices.Contains(policyPages, p.path) {
			continue
		}
		section := ""
		for i, line := range strings.Split(p.prose, "\n") {
			if m := keyHeading.FindStringSubmatch(line); m != nil {
				section = m[1]
			}
			m := keyRow.FindStringSubmatch(line)
			if m == nil || section == "" {
				continue
			}
			row := "." + strings.TrimPrefix(section+".", "policy.") + m[1]
			found := false
			for name, paths := range fields {
				if slices.ContainsFunc(paths, func(path string) bool { return strings.HasSuffix(path, row) }) {
					described[name], found = true, true
				}
			}
			if !found {
				t.Errorf("%s:%d: the policy file has no %s", p.path, i+1, row)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !described[name] {
			t.Errorf("no row of %v describes %s, such as %s", policyPages, name, fields[name][0])
		}
	}
}

// TestSchemaAddress: the page names the schema as it names itself.
func TestSchemaAddress(t *testing.T) {
	var schema struct {
		ID string `json:"$id"`
	}
	if err := json.Unmarshal(api.PolicySchema, &schema); err != nil || schema.ID == "" {
		t.Fatalf("the schema has the address %q, %v", schema.ID, err)
	}
	text, err := os.ReadFile("policy.md")
	if err != nil {
		t.Fatal(err)
	}
	if line := "# yaml-language-server: $schema=" + schema.ID + "\n"; !strings.Contains(string(text), line) {
		t.Errorf("policy.md does not have the line %q", line)
	}
}

// TestRetriedKinds: the page lists what is tried again unless the policy says
// otherwise.
func TestRetriedKinds(t *testing.T) {
	text, err := os.ReadFile("retries.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "They are\n\n")
	list, _, _ = strings.Cut(list, "\n\n")
	var got, want []string
	for _, m := range codeSpan.FindAllStringSubmatch(list, -1) {
		got = append(got, m[1])
	}
	for _, k := range fault.Kinds() {
		if k.OfAttempt() && k.MayPass() {
			want = append(want, string(k))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("retries.md lists\n%v, want\n%v", got, want)
	}
}

// TestPolicyFieldsAreShown: every field stands in a policy of some page, which
// TestSnippets loads.
func TestPolicyFieldsAreShown(t *testing.T) {
	shown := map[protoreflect.FullName]bool{}
	for _, p := range readPages(t) {
		for _, f := range p.fences {
			if f.info != "yaml policy" {
				continue
			}
			var doc yaml.Node
			if err := yaml.Unmarshal([]byte(f.text), &doc); err != nil {
				t.Fatalf("%s:%d: %v", p.path, f.line, err)
			}
			noteFields(policySchema, doc.Content[0], shown)
		}
	}
	fields := policyFields()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !shown[name] {
			t.Errorf("no page has a policy with %s, such as %s", name, fields[name][0])
		}
	}
}

// noteFields notes the fields of md that n sets.
func noteFields(md protoreflect.MessageDescriptor, n *yaml.Node, shown map[protoreflect.FullName]bool) {
	if n.Kind == yaml.SequenceNode {
		for _, member := range n.Content {
			noteFields(md, member, shown)
		}
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		fd := md.Fields().ByTextName(n.Content[i].Value)
		if fd == nil {
			continue
		}
		shown[fd.FullName()] = true
		if isPolicyMessage(fd) {
			noteFields(fd.Message(), n.Content[i+1], shown)
		}
	}
}
