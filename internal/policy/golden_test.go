package policy

import (
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite what testdata/golden expects; read the diff")

// TestGolden holds the policy language by examples. Each file of testdata/golden
// is what it shows, in words, and then sections that begin with `-- name --`:
//
//	policy.yaml    the policy; or policy/… for a folder. Other files lie beside it.
//	               A line `#repeat 3 text {i}` stands for three, with 0, 1 and 2.
//	secrets        the references that can be read; without it, all can
//	want           of a file bad-*: the whole error
//	warnings       of another: all of them
//	probes         questions, and indented what the policy answers
//
// A question is `METHOD URL as CALLER` or `policy`; what is asked of it beside
// the decision is a setting, or `trace`.
func TestGolden(t *testing.T) {
	for _, g := range goldens(t) {
		t.Run(g.name, func(t *testing.T) {
			s, err := g.load(t)
			got := map[string]string{}
			switch bad := strings.HasPrefix(g.name, "bad-"); {
			case bad && err == nil:
				t.Fatal("the policy is accepted")
			case bad:
				got["want"] = g.relative(err.Error()) + "\n"
			case err != nil:
				t.Fatalf("the policy is refused:\n%v", err)
			case g.probes() == 0:
				t.Fatal("it asks nothing")
			default:
				got["warnings"], got["probes"] = g.warnings(s), g.answers(s)
			}
			if strings.Contains(got["probes"], unknownKey) {
				t.Fatalf("a probe asks for what there is not:\n%s", got["probes"])
			}
			if *update {
				g.rewrite(t, got)
				return
			}
			for _, name := range expected {
				if diff := cmp.Diff(g.section(name), got[name]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

func (g *golden) load(t *testing.T) (*Snapshot, error) {
	t.Helper()
	g.write(t)
	path := filepath.Join(g.dir, "policy.yaml")
	if g.section("policy.yaml") == "" {
		path = filepath.Join(g.dir, "policy")
	}
	return Load(path, g.options())
}

// options has a store of secrets that holds those of the section.
func (g *golden) options() Options {
	check := func(ref string) error {
		g.asked = append(g.asked, g.relative(ref))
		if known := g.section("secrets"); known != "" && !slices.Contains(strings.Fields(known), g.relative(ref)) {
			return fmt.Errorf("%s is not there", g.relative(ref))
		}
		return nil
	}
	return Options{CheckSecret: check, CheckPEM: check}
}

// relative takes the folder's name, which is never the same, out of text.
func (g *golden) relative(text string) string {
	return strings.ReplaceAll(text, g.dir+string(filepath.Separator), "")
}

func (g *golden) warnings(s *Snapshot) (text string) {
	for _, w := range s.Warnings {
		text += g.relative(w) + "\n"
	}
	return text
}

func (g *golden) probes() (n int) {
	for line := range strings.Lines(g.section("probes")) {
		if isQuestion(line) {
			n++
		}
	}
	return n
}

func isQuestion(line string) bool {
	return strings.TrimSpace(line) != "" && line[0] != ' ' && line[0] != '#'
}

// answers goes through the probes: questions stay, answers are made anew.
func (g *golden) answers(s *Snapshot) string {
	var b strings.Builder
	var about *probe
	for line := range strings.Lines(g.section("probes")) {
		indented, ok := strings.CutPrefix(line, "    ")
		switch {
		case isQuestion(line):
			about = newProbe(g, s, strings.TrimSpace(line))
			b.WriteString(line + g.relative(about.decision))
		case !ok || about == nil:
			b.WriteString(line)
		case strings.HasPrefix(indented, " "), strings.HasPrefix(indented, "-> "), strings.HasPrefix(indented, "report: "):
		default:
			key, _, _ := strings.Cut(strings.TrimSpace(indented), " = ")
			b.WriteString(about.ask(key))
		}
	}
	return b.String()
}
