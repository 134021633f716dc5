package docs_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	inlineCode = regexp.MustCompile("`[^`\n]+`")
	link       = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	heading    = regexp.MustCompile(`(?m)^#{1,6} +(.*)$`)
	dropped    = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	repoPath   = regexp.MustCompile(`^\.?(?:cmd|internal|proto|docs|gen|api|tools|ci|deploy)/[\w./-]*\w$`)
	testName   = regexp.MustCompile(`^Test[A-Z]\w+$`)
)

// anchors gives the fragments that GitHub makes of a page's headings.
func anchors(prose string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(prose, -1) {
		text := link.ReplaceAllStringFunc(m[1], func(s string) string { return s[1:strings.IndexByte(s, ']')] })
		a := strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(text)), ""), " ", "-")
		all[a] = true
	}
	return all
}

func TestLinks(t *testing.T) {
	pages := map[string]*page{}
	for _, p := range readPages(t) {
		pages[p.path] = p
	}
	for _, p := range pages {
		prose := inlineCode.ReplaceAllString(p.prose, "")
		for _, m := range link.FindAllStringSubmatch(prose, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			to := p.path
			if file != "" {
				to = path.Join(path.Dir(p.path), file)
			}
			if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(to))); err != nil || strings.HasPrefix(to, "..") {
				t.Errorf("%s links to %s, which is not there", p.path, m[1])
				continue
			}
			if anchor != "" && (pages[to] == nil || !anchors(pages[to].prose)[anchor]) {
				t.Errorf("%s links to %s, and that page has no such heading", p.path, m[1])
			}
		}
	}
}

// TestNamesExist: a file or a test that a page names is there.
func TestNamesExist(t *testing.T) {
	tests := testNames(t)
	for _, p := range readPages(t) {
		for _, code := range inlineCode.FindAllString(p.prose, -1) {
			name := strings.Trim(code, "`")
			if testName.MatchString(name) && !tests[name] {
				t.Errorf("%s names the test %s, which is not there", p.path, name)
			}
			if !repoPath.MatchString(name) {
				continue
			}
			if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(name))); err != nil {
				t.Errorf("%s names %s, which is not there", p.path, name)
			}
		}
	}
}

// testNames are the tests of this module.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	names := map[string]bool{}
	for _, dir := range []string{"../cmd", "../internal", "../docs"} {
		err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, "_test.go") {
				return err
			}
			text, err := os.ReadFile(name)
			for _, m := range function.FindAllSubmatch(text, -1) {
				names[string(m[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// TestNothingOfThisMachine: a page names no directory of the machine it was
// written on.
func TestNothingOfThisMachine(t *testing.T) {
	private := regexp.MustCompile(`(?:^|[\s"'(=])/(?:root|home|work|tmp|Users|mnt)/`)
	for _, p := range readPages(t) {
		texts := []string{p.prose}
		for _, f := range p.fences {
			texts = append(texts, f.text)
		}
		if found := private.FindString(strings.Join(texts, "\n")); found != "" {
			t.Errorf("%s names %s", p.path, found)
		}
	}
}
