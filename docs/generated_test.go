package docs_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// update rewrites what the tests write into pages: go test ./docs -update.
var update = flag.Bool("update", false, "rewrite the parts of the pages that tests write; read the diff")

// rewriting is held by who rewrites a page.
var rewriting sync.Mutex

// generated holds that a page has text between the lines
//
//	<!-- generated: NAME -->
//	<!-- end -->
//
// as same judges it: what it calls the same is left as it stands.
func generated(t *testing.T, page, name, text string, same func(onPage, text string) bool) {
	t.Helper()
	rewriting.Lock()
	defer rewriting.Unlock()
	file := filepath.Join("..", filepath.FromSlash(page))
	all, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- generated: "+name+" -->\n", "\n<!-- end -->"
	before, rest, found := strings.Cut(string(all), begin)
	stands, after, closed := strings.Cut(rest, end)
	switch {
	case !found || !closed:
		t.Fatalf("%s has no place for %s: write the lines %q and %q", page, name, strings.TrimSpace(begin), strings.TrimSpace(end))
	case same(strings.TrimSpace(stands), strings.TrimSpace(text)):
	case *update:
		if err := os.WriteFile(file, []byte(before+begin+"\n"+strings.TrimSpace(text)+"\n"+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s: %s is out of date: run `go test ./docs -run %s -update` and read the diff. It is:\n%s", page, name, strings.SplitN(t.Name(), "/", 2)[0], text)
	}
}

// exactly is how tables are compared.
func exactly(onPage, text string) bool { return onPage == text }
