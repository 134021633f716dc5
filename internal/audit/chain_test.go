package audit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// chained gives n lines of a log that follows past, and the last one's hash.
func chained(t *testing.T, n int, past Past) (text, last string) {
	t.Helper()
	var out bytes.Buffer
	l := New(Config{W: &out, Sample: 1, Chain: true, Past: past})
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			l.Write(&Entry{Decision: Denied, Reason: fmt.Sprintf(`"hash":"%d\n`, i)})
		})
	}
	group.Wait()
	l.Close()
	done, err := Verify(strings.NewReader(out.String()), past.Last)
	if err != nil || done.Lines != n {
		t.Fatalf("Verify gives %d lines and %v, want %d", done.Lines, err, n)
	}
	return out.String(), done.Last
}

func TestChain(t *testing.T) {
	whole, last := chained(t, 50, Past{})
	more, end := chained(t, 3, Past{Last: last})
	if done, err := Verify(strings.NewReader(whole+more), ""); err != nil || done.Lines != 53 || done.Last != end {
		t.Errorf("behind a restart Verify gives %d lines and %v, want 53", done.Lines, err)
	}
	if done, err := Verify(strings.NewReader(more), Anything); err != nil || done.Lines != 3 || done.Last != end {
		t.Errorf("Verify from anywhere gives %d lines and %v, want 3", done.Lines, err)
	}
	lines := strings.SplitAfter(whole, "\n")
	for name, c := range map[string]struct{ text, prev, want string }{
		"changed":            {strings.Replace(whole, `"decision":"denied"`, `"decision":"allow"`, 1), "", "line 1: it was changed"},
		"dropped":            {strings.Join(slices.Delete(slices.Clone(lines), 9, 10), ""), "", "line 10: it does not follow"},
		"swapped":            {lines[0] + lines[2] + lines[1], "", "line 2: it does not follow"},
		"added":              {lines[0] + lines[0], "", "line 2: it does not follow"},
		"torn":               {whole[:len(whole)-10], "", "line 50: it is torn"},
		"torn in the middle": {lines[0][:90] + "\n" + whole, "", "line 1: it is torn"},
		"unchained":          {`{"msg":"call"}` + "\n", "", "line 1: it has no hash"},
		"no head":            {strings.Join(lines[1:], ""), "", "line 1: the lines before it are missing: it follows the one with the hash "},
		"no head, one file":  {more, "", "line 1: the lines before it are missing: it follows the one with the hash " + last},
		"a file is missing":  {more, end, "line 1: it follows the line with the hash " + last + ", and not that with " + end},
		"begun anew":         {whole, end, "line 1: a log begins here, and does not follow the line with the hash " + end},
	} {
		if _, err := Verify(strings.NewReader(c.text), c.prev); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Verify says %v, want %q", name, err, c.want)
		}
	}
}

// TestTornLinesAreVouchedFor: what a crash cut off is told of by the line behind
// it, and by no other.
func TestTornLinesAreVouchedFor(t *testing.T) {
	whole, last := chained(t, 3, Past{})
	fragment := whole[:40]
	var out bytes.Buffer
	l := New(Config{W: &out, Chain: true, Past: Past{Last: last, Torn: tornReason([]byte(fragment))}})
	l.Write(&Entry{Decision: Denied})
	l.Close()
	done, err := Verify(strings.NewReader(whole+fragment+"\n"+out.String()), "")
	if err != nil || done.Lines != 5 || !slices.Equal(done.Torn, []int{4}) {
		t.Errorf("Verify gives %+v and %v, want 5 lines and that line 4 is torn", done, err)
	}
	for name, text := range map[string]string{
		"another fragment":     whole + fragment + "x\n" + out.String(),
		"two fragments":        whole + fragment + "\n" + fragment + "\n" + out.String(),
		"nothing behind it":    whole + fragment,
		"a line that is valid": whole + `{"msg":"call"}` + "\n" + out.String(),
		"one line tells twice": whole + fragment + "\n" + out.String() + fragment + "\n",
	} {
		if done, err := Verify(strings.NewReader(text), ""); err == nil {
			t.Errorf("%s: Verify gives %+v, want an error", name, done)
		}
	}
}
