package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree makes files under a new folder: a name that ends in a slash is a folder, a
// text that begins with "->" is a link.
func tree(t testing.TB, files ...[2]string) (root string) {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir()) // macOS has a link in it
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name, text := filepath.Join(root, f[0]), f[1]
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		switch to, link := strings.CutPrefix(text, "->"); {
		case strings.HasSuffix(f[0], "/"):
			must(t, os.MkdirAll(name, 0o755))
		case link:
			must(t, os.Symlink(strings.ReplaceAll(to, "ROOT", root), name))
		default:
			must(t, os.WriteFile(name, []byte(text), 0o644))
		}
	}
	return root
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTrail(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files [][2]string
		path  string
		dirs  []string
		names []string
	}{
		{"a file", [][2]string{{"etc/policy.yaml", "{}"}}, "etc/policy.yaml", []string{"etc"}, []string{"etc/policy.yaml"}},
		{"a folder", [][2]string{{"etc/policy.d/a.yaml", "{}"}}, "etc/policy.d",
			[]string{"etc", "etc/policy.d"}, []string{"etc/policy.d", "etc/policy.d/*"}},
		{"a mounted ConfigMap", [][2]string{{"m/..1/policy.yaml", "{}"}, {"m/..data", "->..1"}, {"m/policy.yaml", "->..data/policy.yaml"}},
			"m/policy.yaml", []string{"m", "m/..1"}, []string{"m/policy.yaml", "m/..data", "m/..1/policy.yaml"}},
		{"a folder behind an absolute link", [][2]string{{"v1/policy.d/a.yaml", "{}"}, {"etc/current", "->ROOT/v1"}},
			"etc/current/policy.d", []string{"etc", "v1", "v1/policy.d"},
			[]string{"etc/current", "v1/policy.d", "v1/policy.d/*"}},
		{"a link upwards", [][2]string{{"a/b/link", "->../../c"}, {"c/", ""}}, "a/b/link",
			[]string{"a/b", ".", "c"}, []string{"a/b/link", "c", "c/*"}},
		{"a link to its own folder", [][2]string{{"a/link", "->."}}, "a/link", []string{"a"}, []string{"a/link", "a/*"}},
		{"a missing file", [][2]string{{"etc/", ""}}, "etc/policy.yaml", []string{"etc"}, []string{"etc/policy.yaml"}},
		{"a missing folder", nil, "etc/policy.d/policy.yaml", []string{"."}, []string{"etc"}},
		{"a link to nothing", [][2]string{{"etc/policy.yaml", "->../v2/policy.yaml"}}, "etc/policy.yaml",
			[]string{"etc", "."}, []string{"etc/policy.yaml", "v2"}},
		{"links in a circle", [][2]string{{"a", "->b"}, {"b", "->a"}}, "a", []string{"."}, []string{"a", "b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := tree(t, tt.files...)
			dirs, names := trail(filepath.Join(root, tt.path))
			same := func(what string, got map[string]bool, want []string) {
				for i := range want {
					want[i] = filepath.Join(root, want[i])
				}
				slices.Sort(want)
				if got := slices.Sorted(maps.Keys(got)); !slices.Equal(got, want) {
					t.Errorf("%s: got %v, want %v", what, got, want)
				}
			}
			same("folders", dirs, tt.dirs)
			same("names", names, tt.names)
		})
	}
}
