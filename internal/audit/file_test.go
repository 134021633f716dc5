package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// openLog opens a chained log at path; told gets where it went and could not go.
func openLog(t *testing.T, path string, told *[]string) (*Log, *File) {
	t.Helper()
	f, past, err := OpenFile(path, true, func(err error) { *told = append(*told, fmt.Sprint(err)) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return New(Config{W: f, Sample: 1, Chain: true, Past: past}), f
}

func textOf(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRotation: whatever is done with the file, lines go where the path is, and the
// chain goes on from file to file.
func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	var told []string
	l, f := openLog(t, path, &told)
	steps := []func() error{
		func() error { return os.Rename(path, path+".1") },                              // logrotate
		func() error { err := os.Rename(path, path+".2"); f.Follow(); return err },      // and its signal
		func() error { return os.Rename(path, path+".3") },                              // then `create`
		func() error { f.Follow(); f.Follow(); return os.Rename(path, path+".4") },      // signals for nothing
		func() error { return errors.Join(copyFile(path, path+".5"), empty(path)) },     // copytruncate
		func() error { return errors.Join(copyFile(path, path+".6"), os.Remove(path)) }, // taken away
	}
	for i, step := range steps {
		l.Write(&Entry{Decision: Denied, Reason: fmt.Sprint(i)})
		l.Write(&Entry{Decision: Denied, Reason: fmt.Sprint(i)})
		if err := step(); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			if err := os.WriteFile(path, nil, 0o640); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.Write(&Entry{Decision: Denied})
	l.Close()
	last := ""
	for i, name := range []string{".1", ".2", ".3", ".4", ".5", ".6", ""} {
		done, err := Verify(strings.NewReader(textOf(t, path+name)), last)
		want := 2
		if name == "" {
			want = 1
		}
		if err != nil || done.Lines != want {
			t.Errorf("file %d: Verify gives %d lines and %v, want %d", i, done.Lines, err, want)
		}
		last = done.Last
	}
	if got := strings.Join(told, " "); got != "<nil> <nil> <nil> <nil> <nil>" { // copytruncate leaves the file where it is
		t.Errorf("it was told that %s, want 5 times that there is a new file", got)
	}
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	return errors.Join(err, os.WriteFile(to, text, 0o600))
}

func empty(path string) error { return os.Truncate(path, 0) }

// TestPathThatCannotBeFollowed: lines go on to where they went, and it is told once.
func TestPathThatCannotBeFollowed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path, away := filepath.Join(dir, "audit.log"), dir+"-away"
	var told []string
	l, f := openLog(t, path, &told)
	l.Write(&Entry{Decision: Denied})
	rename := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	rename(dir, away) // the folder is gone
	l.Write(&Entry{Decision: Denied})
	l.Write(&Entry{Decision: Denied})
	if len(told) != 1 || !strings.Contains(told[0], "no such file") {
		t.Errorf("it was told that %q, want once that there is no such folder", told)
	}
	rename(away, dir) // and back
	l.Write(&Entry{Decision: Denied})
	rename(path, path+".1")
	if err := os.WriteFile(path, []byte("not empty\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.Write(&Entry{Decision: Denied})
	f.Follow()
	if len(told) != 2 || !strings.Contains(told[1], "is not empty") || !strings.Contains(told[1], "move it away") {
		t.Errorf("it was told that %q, want that the new file is not empty", told)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, _, err := OpenFile(path, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.Write(&Entry{Decision: Denied})
	if len(told) != 2 { // it is adrift all the while
		t.Errorf("it was told that %q", told[2:])
	}
	_ = other.Close()
	l.Write(&Entry{Decision: Denied})
	if len(told) != 3 || told[2] != "<nil>" {
		t.Errorf("it was told that %q, want at last that there is a new file", told)
	}
	l.Close()
	before, err := Verify(strings.NewReader(textOf(t, path+".1")), "")
	if err != nil || before.Lines != 6 {
		t.Errorf("the file before has %d lines, %v; want the 6 of before and meanwhile", before.Lines, err)
	}
	if after, err := Verify(strings.NewReader(textOf(t, path)), before.Last); err != nil || after.Lines != 1 {
		t.Errorf("the new file has %d lines, %v; want 1 that follows", after.Lines, err)
	}
}

// TestOneProcessToAFile: the lock goes with the file, and ends with it.
func TestOneProcessToAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	var told []string
	l, f := openLog(t, path, &told)
	for _, chain := range []bool{true, false} {
		if _, _, err := OpenFile(path, chain, nil); !errors.Is(err, errLocked) || !strings.Contains(err.Error(), path) {
			t.Errorf("chain %v: a second opening gives %v, want that another process writes it", chain, err)
		}
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Write(&Entry{Decision: Denied})
	if _, _, err := OpenFile(path, true, nil); !errors.Is(err, errLocked) {
		t.Errorf("behind a rotation a second opening gives %v", err)
	}
	old, _, err := OpenFile(path+".1", true, nil)
	if err != nil {
		t.Errorf("the file that was moved away is locked: %v", err)
	}
	l.Close()
	_, _ = old.Close(), f.Close()
	again, _, err := OpenFile(path, true, nil)
	if err != nil {
		t.Fatalf("a file that was closed is locked: %v", err)
	}
	_ = again.Close()
}

// TestCrash: a log goes on behind a line that was cut off, wherever it was.
func TestCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	var told []string
	l, f := openLog(t, path, &told)
	for range 3 {
		l.Write(&Entry{Decision: Denied, Reason: "a reason"})
	}
	l.Close()
	_ = f.Close()
	whole := textOf(t, path)
	start := strings.LastIndex(strings.TrimSpace(whole), "\n") + 1
	for cut := start; cut <= len(whole); cut++ {
		for _, end := range []string{"", "\n"} { // the end is what the first restart wrote before a second crash
			if err := os.WriteFile(path, []byte(whole[:cut]+end), 0o600); err != nil {
				t.Fatal(err)
			}
			l, f := openLog(t, path, &told)
			l.Write(&Entry{Decision: Denied})
			l.Close()
			_ = f.Close()
			done, err := Verify(strings.NewReader(textOf(t, path)), "")
			lines, torn := 4, 1 // two, the word on the third, the new one
			if cut == start || cut >= len(whole)-1 {
				torn = 0
			}
			if cut == start {
				lines = 3
			}
			if end == "\n" && (cut == start || cut == len(whole)) {
				continue // an empty line is nobody's
			}
			if err != nil || done.Lines != lines || len(done.Torn) != torn {
				t.Fatalf("cut at %d of %d to %d: Verify gives %+v and %v, want %d lines and %d torn", cut, start, len(whole), done, err, lines, torn)
			}
		}
	}
	changed := strings.Replace(whole, "a reason", "no reason", 3)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenFile(path, true, nil); err == nil || !strings.Contains(err.Error(), "line 1: it was changed") || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("a changed log is continued: %v", err)
	}
	middle := strings.Replace(whole, "\n", "\ngarbage\n", 1)
	if err := os.WriteFile(path, []byte(middle), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenFile(path, true, nil); err == nil || !strings.Contains(err.Error(), "line 2: it is torn") {
		t.Errorf("a log with garbage in the middle is continued: %v", err)
	}
}

// TestPartsOfLinesAreTakenAway: as of a write to a full disk.
func TestPartsOfLinesAreTakenAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	f, _, err := OpenFile(path, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, c := range []struct {
		written string
		whole   int
		want    string
	}{
		{"one\ntwo\nth", 8, "one\ntwo\n"},
		{"fo", 0, "one\ntwo\n"},
		{"four\n", 5, "one\ntwo\nfour\n"},
		{"", 0, "one\ntwo\nfour\n"},
	} {
		if _, err := f.f.WriteString(c.written); err != nil {
			t.Fatal(err)
		}
		if n := f.keepWhole([]byte(c.written)); n != c.whole || textOf(t, path) != c.want {
			t.Errorf("of %q %d bytes stay and the file is %q, want %d and %q", c.written, n, textOf(t, path), c.whole, c.want)
		}
	}
}

// TestNoFile: what is no file is neither locked, read nor followed.
func TestNoFile(t *testing.T) {
	for range 2 {
		f, past, err := OpenFile(os.DevNull, true, nil)
		if err != nil || past != (Past{}) {
			t.Fatalf("got %+v and %v", past, err)
		}
		defer f.Close()
		if _, err := f.Write([]byte("line\n")); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := OpenFile(t.TempDir(), true, nil); err == nil {
		t.Error("a folder is opened")
	}
}
