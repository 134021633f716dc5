package audit

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// valve is a writer that waits until it is opened.
type valve struct {
	open chan struct{}
	bytes.Buffer
}

func (v *valve) Write(p []byte) (int, error) {
	<-v.open
	return v.Buffer.Write(p)
}

// TestSlowDisk: a disk that hangs holds a call for a moment, then as much as fits in
// the queue, then all; nothing is dropped.
func TestSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &valve{open: make(chan struct{})}
		l := New(Config{W: v, Sample: 1})
		big := strings.Repeat("x", 16<<10)
		began := time.Now()
		l.Write(&Entry{Reason: big})
		if took := time.Since(began); took != patience {
			t.Errorf("a line that is not written holds its call for %v, want %v", took, patience)
		}
		const calls = 200
		var ended sync.WaitGroup
		var mu sync.Mutex
		through := 0
		for i := range calls {
			ended.Go(func() {
				l.Write(&Entry{Reason: fmt.Sprint(big, i)})
				mu.Lock()
				defer mu.Unlock()
				through++
			})
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		l.mu.Lock()
		held := l.queue.bytes
		l.mu.Unlock()
		if most := maxQueued + 20<<10; held < maxQueued || held > most {
			t.Errorf("%d bytes wait to be written, want %d to %d", held, maxQueued, most)
		}
		mu.Lock()
		if through == 0 || through >= calls {
			t.Errorf("%d calls of %d came through while nothing was written, want as many as the queue holds", through, calls)
		}
		mu.Unlock()
		close(v.open)
		ended.Wait()
		if lost := l.Close(); lost != 0 {
			t.Errorf("%d lines are lost", lost)
		}
		if n := strings.Count(v.String(), "\n"); n != calls+1 {
			t.Errorf("%d lines were written, want %d", n, calls+1)
		}
	})
}

// TestLineIsWrittenBeforeTheAnswer: where the disk is not slow, Write comes back
// behind the line.
func TestLineIsWrittenBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // time stands still while the writer runs
		var out bytes.Buffer
		l := New(Config{W: &out, Sample: 1})
		defer l.Close()
		for i := range 100 {
			l.Write(&Entry{Decision: Denied})
			if n := strings.Count(out.String(), "\n"); n != i+1 {
				t.Fatalf("behind %d calls there are %d lines", i+1, n)
			}
		}
	})
}

// full is a disk that takes so many bytes.
type full struct {
	bytes.Buffer
	room int
}

var errFull = errors.New("disk full")

func (f *full) Write(p []byte) (int, error) {
	if len(p) <= f.room {
		f.room -= len(p)
		return f.Buffer.Write(p)
	}
	whole := bytes.LastIndexByte(p[:f.room], '\n') + 1 // as File does
	f.room -= whole
	f.Buffer.Write(p[:whole])
	return whole, errFull
}

// TestFailureIsToldAndCounted: once when it begins, and with the count when it ends,
// in the log too; the chain holds.
func TestFailureIsToldAndCounted(t *testing.T) {
	var told []string
	w := &full{room: 1 << 20}
	l := New(Config{W: w, Chain: true, Failed: func(lost int64, err error) { told = append(told, fmt.Sprintf("%d %v", lost, err)) }})
	write := func(n int) {
		for range n {
			l.Write(&Entry{Decision: Denied})
		}
	}
	write(2)
	w.room = 10
	write(3)
	w.room = 1 << 20
	write(1)
	w.room = 0
	write(4)
	w.room = 1 << 20
	write(2)
	w.room = 0
	write(5)
	if lost := l.Close(); lost != 5 {
		t.Errorf("Close tells of %d lost lines, want the 5 that no line tells of", lost)
	}
	want := []string{"1 disk full", "3 <nil>", "1 disk full", "4 <nil>", "1 disk full"}
	if fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("the failures told are %q, want %q", told, want)
	}
	text := w.String()
	if done, err := Verify(strings.NewReader(text), ""); err != nil || done.Lines != 7 {
		t.Errorf("Verify gives %+v and %v, want 7 lines:\n%s", done, err, text)
	}
	for _, word := range []string{"3 lines before this one could not be written", "4 lines before this one could not be written"} {
		if strings.Count(text, word) != 1 {
			t.Errorf("the log does not say once that %s:\n%s", word, text)
		}
	}
	l.Write(&Entry{Decision: Denied})
	if lost := l.Close(); lost != 6 {
		t.Errorf("a line behind Close is not counted: %d are lost, want 6", lost)
	}
}

// TestPartOfABatch: of several lines that are written at once, some may fit.
func TestPartOfABatch(t *testing.T) {
	w := &full{room: 1 << 20}
	l := &Log{cfg: Config{W: w, Chain: true}}
	lines := func(n int) (all [][]byte) {
		for range n {
			all = append(all, encode(&Entry{Decision: Denied}))
		}
		return all
	}
	l.write(lines(4))
	w.room = w.Len()/4*2 + 100 // two lines and a part
	l.write(lines(5))
	if l.lost != 3 {
		t.Errorf("%d lines are lost, want 3", l.lost)
	}
	w.room = w.Len()/6 + 100 // the word on those, and nothing else
	l.write(lines(2))
	if l.lost != 2 {
		t.Errorf("behind the word on 3, %d lines are lost, want 2", l.lost)
	}
	w.room = 1 << 20
	l.write(lines(1))
	if done, err := Verify(strings.NewReader(w.String()), ""); err != nil || done.Lines != 4+2+1+2 || l.lost != 0 {
		t.Errorf("Verify gives %+v and %v, with %d lost; want 9 lines and none lost", done, err, l.lost)
	}
}
