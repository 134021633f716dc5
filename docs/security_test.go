package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
)

// section gives the text of a page below a heading, up to the next one.
func section(t *testing.T, path, heading string) string {
	t.Helper()
	for _, p := range readPages(t) {
		if p.path != path {
			continue
		}
		_, below, found := strings.Cut(p.prose, "\n## "+heading+"\n")
		if !found {
			t.Fatalf("%s has no section %q", path, heading)
		}
		text, _, _ := strings.Cut(below, "\n## ")
		return text
	}
	t.Fatalf("there is no %s", path)
	return ""
}

// rows gives the cells of the tables in text, without their headings.
func rows(text string) (all [][]string) {
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		all = append(all, cells)
	}
	return all
}

// fuzzName is a fuzz target, as a page names it.
var fuzzName = regexp.MustCompile("`(Fuzz[A-Z]\\w+)`")

// TestEveryDefenceHasItsTest: each row of the table of defences names a test. That
// tests with these names exist, TestNamesExist holds; for fuzz targets this one does.
func TestEveryDefenceHasItsTest(t *testing.T) {
	table := rows(section(t, "docs/security.md", "What is defended, and how"))[1:]
	if len(table) < 20 {
		t.Fatalf("the table has %d rows", len(table))
	}
	targets := sources(t, regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`), "_test.go")
	for _, row := range table {
		if len(row) != 3 || !strings.Contains(row[2], "`Test") && !strings.Contains(row[2], "`Fuzz") {
			t.Errorf("this names no test, or is no row of three: %q", row)
			continue
		}
		for _, m := range fuzzName.FindAllStringSubmatch(row[2], -1) {
			if !targets[m[1]] {
				t.Errorf("it names %s, which is not there", m[1])
			}
		}
	}
}

// TestEveryUnsafeIsExplained: whatever begins with `unsafe` has its row, and each
// row is about something that there is.
func TestEveryUnsafeIsExplained(t *testing.T) {
	there := map[string]bool{}
	for name := range policyFields() {
		there[string(name.Name())] = true
	}
	for _, name := range grantsThereAre() {
		there[name] = true
	}
	for name := range sources(t, regexp.MustCompile(`"(unsafe-[a-z-]+)"`), ".go") {
		there["--"+name] = true
	}
	shown := map[string]bool{}
	for _, row := range rows(section(t, "docs/security.md", "What opens a guard"))[1:] {
		name := strings.Trim(row[0], "`")
		shown[name] = true
		if !there[name] {
			t.Errorf("the page explains %s, which is not there", name)
		}
	}
	found := 0
	for name := range there {
		if !strings.HasPrefix(strings.TrimLeft(name, "-"), "unsafe") {
			continue
		}
		if found++; !shown[name] {
			t.Errorf("the page does not explain %s", name)
		}
	}
	if found < 6 {
		t.Errorf("%d things begin with unsafe, want those of the policy, the grants and the flags", found)
	}
}

// grantsThereAre are what policy may grant.
func grantsThereAre() []string {
	grants := policySchema.Fields().ByName("upstreams").Message().Fields().ByName("grants")
	rules := proto.GetExtension(grants.Options(), validate.E_Field).(*validate.FieldRules)
	return rules.GetRepeated().GetItems().GetString().GetIn()
}

// sources gives what a pattern's group finds in the files of the module with such a
// name.
func sources(t *testing.T, pattern *regexp.Regexp, suffix string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, dir := range []string{"../cmd", "../internal"} {
		err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, suffix) || suffix == ".go" && strings.HasSuffix(name, "_test.go") {
				return err
			}
			text, err := os.ReadFile(name)
			for _, m := range pattern.FindAllSubmatch(text, -1) {
				all[string(m[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}
