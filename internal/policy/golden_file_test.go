package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// golden is one file of testdata/golden.
type golden struct {
	name, comment string
	sections      []section
	dir           string   // that its policy lies in
	asked         []string // secrets that the policy asked for
}

type section struct{ name, text string }

var expected = []string{"want", "warnings", "probes"}

func goldens(t *testing.T) []*golden {
	t.Helper()
	names, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("testdata/golden has no files: %v", err)
	}
	var out []*golden
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, parseGolden(strings.TrimSuffix(filepath.Base(name), ".txt"), string(text)))
	}
	return out
}

func parseGolden(name, text string) *golden {
	g := &golden{name: name}
	into := &g.comment
	for line := range strings.Lines(text) {
		head, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "-- ")
		if head, isHead := strings.CutSuffix(head, " --"); ok && isHead {
			g.sections = append(g.sections, section{name: head})
			into = &g.sections[len(g.sections)-1].text
			continue
		}
		*into += line
	}
	return g
}

func (g *golden) section(name string) string {
	for _, s := range g.sections {
		if s.name == name {
			return s.text
		}
	}
	return ""
}

// write lays the files into a folder of their own.
func (g *golden) write(t *testing.T) {
	t.Helper()
	g.dir, g.asked = t.TempDir(), nil
	files := map[string]string{}
	for _, s := range g.sections {
		if !slices.Contains(append(expected, "secrets"), s.name) {
			files[s.name] = repeated(s.text)
		}
	}
	write(t, g.dir, files)
}

var repeat = regexp.MustCompile(`(?m)^#repeat (\d+) (.*\n)`)

// repeated writes out the lines `#repeat`.
func repeated(text string) string {
	return repeat.ReplaceAllStringFunc(text, func(line string) string {
		m := repeat.FindStringSubmatch(line)
		n, _ := strconv.Atoi(m[1])
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(m[2], "{i}", strconv.Itoa(i)))
		}
		return b.String()
	})
}

// rewrite puts what was got into the file.
func (g *golden) rewrite(t *testing.T, got map[string]string) {
	t.Helper()
	var b strings.Builder
	b.WriteString(g.comment)
	for _, s := range g.sections {
		if !slices.Contains(expected, s.name) {
			b.WriteString("-- " + s.name + " --\n" + s.text)
		}
	}
	for _, name := range expected {
		if got[name] != "" {
			b.WriteString("-- " + name + " --\n" + got[name])
		}
	}
	if err := os.WriteFile("testdata/golden/"+g.name+".txt", []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
