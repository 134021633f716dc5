package policy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// write puts files, by name, into dir.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func names(s *Snapshot) string {
	var all []string
	for _, up := range s.Upstreams {
		all = append(all, up.Name)
	}
	return strings.Join(all, " ")
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"20-more.yml":    "upstreams: [{name: c, hosts: [c.example]}]\n",
		"10-first.yaml":  "defaults: {timeouts: {total: 7s}}\nupstreams:\n  - {name: a, hosts: [a.example]}\n  - {name: b, hosts: [b.example]}\n",
		"00-empty.yaml":  "# nothing yet\n",
		".hidden.yaml":   "wrong: 1\n",
		"README.md":      "wrong\n",
		"sub/deep.yaml":  "wrong: 1\n",
		"x.yaml/no.yaml": "wrong: 1\n",
	})
	s, err := Load(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(s); got != "a b c" || s.Source != dir {
		t.Errorf("upstreams %q of %q, want a b c of %q", got, s.Source, dir)
	}
	before := s.SHA256
	write(t, dir, map[string]string{"30-empty.yaml": ""})
	if s, err = Load(dir, Options{}); err != nil || s.SHA256 == before || len(s.SHA256) != 64 {
		t.Errorf("with one file more: %v, digest %q, before %q", err, s.SHA256, before)
	}
}

func TestFolderNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"a.yaml": "batch: {concurrency: 2}\nupstreams:\n  - {name: a, hosts: [a.example]}\n",
		"b.yaml": "upstreams:\n  - {name: b, hosts: [b.example]}\n  - {name: c, hosts: [c.example, a.example], mode: raport}\n",
		"c.yaml": "\nbatch: {concurrency: 3}\noperators: ops\n",
	})
	_, err := Load(dir, Options{})
	var faults *Error
	if !errors.As(err, &faults) {
		t.Fatalf("Load gives %v, want faults", err)
	}
	var got []string
	for _, p := range faults.Problems {
		head, _, _ := strings.Cut(p.String(), "\n")
		got = append(got, strings.ReplaceAll(head, dir+string(filepath.Separator), ""))
	}
	want := []string{
		`b.yaml:3:34 upstreams[1].hosts[1]: "a.example" by https is already listed by upstream "a"; a host belongs to one upstream`,
		`b.yaml:3:52 upstreams[1].mode: must be enforce or report, not "raport"; did you mean "report"?`,
		`c.yaml:2:8 batch: stands in a.yaml:1 already: there can be only one, put the two together`,
		`c.yaml:3:12 operators: must be a list, not text: write [ops]`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("Load says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestTornFileSilencesWhatMayFollow: the credential is in the file that cannot be
// read.
func TestTornFileSilencesWhatMayFollow(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"a.yaml": "upstreams: [{name: a, hosts: [a.example], credential: key, mod: report}]\n",
		"b.yaml": "credentials: [\n",
	})
	_, err := Load(dir, Options{})
	if err == nil || strings.Count(err.Error(), dir) != 2 || !strings.Contains(err.Error(), "a.yaml:1:60") || !strings.Contains(err.Error(), "b.yaml:1:") {
		t.Errorf("Load says\n%v\nwant one fault of each file", err)
	}
}

// TestFolderOfKubernetes lays files out as a mounted ConfigMap has them, and swaps
// them as an update does.
func TestFolderOfKubernetes(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"..2026_01_01/policy.yaml": "upstreams: [{name: old, hosts: [a.example]}]\n",
		"..2026_01_02/policy.yaml": "upstreams: [{name: new, hosts: [a.example]}]\n",
	})
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..2026_01_01", "..data")
	link("..data/policy.yaml", "policy.yaml")
	s, err := Load(dir, Options{})
	if err != nil || names(s) != "old" {
		t.Fatalf("Load: %v, %v", s, err)
	}
	link("..2026_01_02", "..data_tmp")
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	if s, err = Load(dir, Options{}); err != nil || names(s) != "new" {
		t.Errorf("Load after the swap: %v, %v", s, err)
	}
}

func TestFolderRefuses(t *testing.T) {
	tests := []struct {
		name string
		make func(dir string) error
		want string
	}{
		{"no policy file", func(dir string) error { return os.WriteFile(filepath.Join(dir, "a.txt"), nil, 0o600) }, "holds no file *.yaml"},
		{"a link to nowhere", func(dir string) error { return os.Symlink("gone", filepath.Join(dir, "a.yaml")) }, "no such file"},
		{"a pipe", func(dir string) error { return unix.Mkfifo(filepath.Join(dir, "a.yaml"), 0o600) }, "is no regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := tt.make(dir); err != nil {
				t.Fatal(err)
			}
			_, err := Load(dir, Options{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Load says %v, want it to say %q", err, tt.want)
			}
		})
	}
}
