package secret

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestGet(t *testing.T) {
	env := map[string]string{"GOOD": canary, "LINE": canary + "\n", "EMPTY": "", "CTL": canary + "\r\nX: y"}
	s := New(Config{LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		write(t, path, text)
		return "file:" + path
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	const pem = "-----BEGIN X-----\r\nabc\n-----END X-----"
	tests := []struct {
		name, ref string
		pem       bool
		want      string
		err       string // part of it
	}{
		{name: "environment", ref: "env:GOOD", want: canary},
		{name: "environment, line end", ref: "env:LINE", want: canary},
		{name: "environment, unset", ref: "env:NONE", err: "secret env:NONE: the environment has no such variable"},
		{name: "environment, empty", ref: "env:EMPTY", err: "secret env:EMPTY: it is empty"},
		{name: "environment, control character", ref: "env:CTL", err: "secret env:CTL: it holds a control character"},
		{name: "file", ref: file("a", canary), want: canary},
		{name: "file, LF", ref: file("b", canary+"\n"), want: canary},
		{name: "file, CRLF", ref: file("c", canary+"\r\n"), want: canary},
		{name: "file, two line ends", ref: file("d", canary+"\n\n"), err: "control character"},
		{name: "file, spaces stay", ref: file("e", " x \n"), want: " x "},
		{name: "file, not ASCII", ref: file("f", "pässwörd"), want: "pässwörd"},
		{name: "file, NUL", ref: file("g", "a\x00b"), err: "control character"},
		{name: "file, DEL", ref: file("h", "a\x7fb"), err: "control character"},
		{name: "file, empty", ref: file("i", ""), err: "it is empty"},
		{name: "file, only a line end", ref: file("j", "\n"), err: "it is empty"},
		{name: "file, at the limit", ref: file("k", strings.Repeat("x", maxSize)), want: strings.Repeat("x", maxSize)},
		{name: "file, too large", ref: file("l", strings.Repeat("x", maxSize+1)), err: "larger than 65536 bytes"},
		{name: "file, none", ref: "file:" + dir + "/none", err: "secret file:" + dir + "/none: stat"},
		{name: "directory", ref: "file:" + dir, err: "no regular file"},
		{name: "pipe", ref: "file:" + fifo, err: "no regular file"},
		{name: "PEM", ref: file("m", pem+"\n"), pem: true, want: pem},
		{name: "PEM, NUL", ref: file("n", "a\x00b"), pem: true, err: "control character"},
		{name: "PEM asked for as a line", ref: file("o", pem), err: "control character"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			get, check := s.Get, s.Check
			if tt.pem {
				get, check = s.GetPEM, s.CheckPEM
			}
			got, err := get(tt.ref)
			if (check(tt.ref) == nil) != (err == nil) {
				t.Errorf("the check says otherwise than the look-up: %v", err)
			}
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || leaks(err.Error()) {
					t.Fatalf("error: got %v, want %q in it", err, tt.err)
				}
				return
			}
			if err != nil || got.Reveal() != tt.want {
				t.Fatalf("got %d bytes, %v; want %d bytes", len(got.Reveal()), err, len(tt.want))
			}
		})
	}
}

func TestReferencesThatAreNone(t *testing.T) {
	for _, ref := range []string{"", canary, "vault:" + canary, "env:", "env:" + canary, "env:1A", "file:", "file:" + canary, "file://" + canary + "\x00", "ENV:A"} {
		_, err := parse(ref)
		if err == nil || leaks(err.Error()) || !strings.Contains(err.Error(), "env:NAME") && !strings.Contains(err.Error(), "file:/absolute") {
			t.Errorf("%q: got %v, want how to write it and nothing of it", ref, err)
		}
	}
	for _, ref := range []string{"env:A_1", "file:/run/secrets/a"} {
		if _, err := parse(ref); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

// TestRotation goes by the fake clock of the bubble; the files' own times are
// years after it, which a File takes for recent and so reads again.
func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ref := "file:" + path
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := New(Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		want := func(text string) {
			t.Helper()
			v, err := s.Get(ref)
			if err != nil || v.Reveal() != text {
				t.Fatalf("got %q, %v; want %q", v.Reveal(), err, text)
			}
		}
		write(t, path, "one")
		want("one")
		write(t, path, "two")
		want("one") // looked at a moment ago
		time.Sleep(time.Second)
		want("two")

		next := path + ".new" // as Kubernetes does
		write(t, next, "three")
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		want("three")

		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		want("three")
		time.Sleep(keepByDefault - time.Second)
		want("three")
		time.Sleep(time.Second)
		if v, err := s.Get(ref); err == nil || !strings.Contains(err.Error(), ref) || !v.IsZero() {
			t.Fatalf("after the grace: %v, want an error that names %s, and no value", err, ref)
		}
		write(t, path, "four")
		time.Sleep(time.Second)
		want("four")

		write(t, path, "")
		time.Sleep(time.Second)
		want("four") // an empty file is a write that goes on
		if got := strings.Count(log.String(), "level=ERROR"); got != 2 {
			t.Errorf("%d errors are logged, want one for each time that the file went bad:\n%s", got, log.String())
		}
		if got := strings.Count(log.String(), "level=INFO"); got != 1 {
			t.Errorf("%d recoveries are logged, want 1:\n%s", got, log.String())
		}
	})
}

// TestSettledFile: a file that has not been touched for long is not read again,
// and one whose time changed is.
func TestSettledFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	write(t, path, "one")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	reads := 0
	f := &File{Path: path, Limit: 10, Check: func([]byte) error { reads++; return nil }}
	look := func() Reading {
		f.looked = time.Time{} // a second ago
		return f.Read()
	}
	for range 3 {
		look()
	}
	if reads != 1 {
		t.Errorf("an untouched file was read %d times, want once", reads)
	}
	write(t, path, "two") // the same size
	if r := look(); string(r.Data) != "two" || r.Version != 2 {
		t.Errorf("got %q, version %d; want two, 2", r.Data, r.Version)
	}
}

func TestConcurrentUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	write(t, path, "one")
	s := New(Config{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if v, err := s.Get("file:" + path); err != nil || v.Reveal() != "one" {
					t.Errorf("got %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestUnusedFilesAreForgotten(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		for _, name := range []string{"a", "b"} {
			write(t, filepath.Join(dir, name), "x")
			if err := s.Check("file:" + filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(unused + time.Second)
		}
		if len(s.files) != 1 {
			t.Errorf("%d files are remembered, want the last one", len(s.files))
		}
	})
}
