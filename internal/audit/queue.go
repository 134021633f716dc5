package audit

import (
	"io"
	"strconv"
	"sync"
	"time"
)

const (
	// maxQueued bounds what waits to be written, in bytes; calls that end when it is
	// full wait for room. The writer holds as much again.
	maxQueued = 1 << 20
	// patience is how long a call waits for its line to be written. So a line is
	// in the file before the answer is out, unless the disk is slow.
	patience = 100 * time.Millisecond
)

// Log writes entries. Safe for concurrent use; Close when the last call is over.
type Log struct {
	cfg    Config
	floods *floods

	mu     sync.Mutex
	room   *sync.Cond // told when the queue was taken
	queue  *batch
	closed bool
	late   int64 // lines that came behind Close

	wake, over, ended chan struct{}
	timers            sync.Pool // of *time.Timer, stopped

	// What follows is the writer's alone.
	last   string // hash of the last line
	out    []byte
	marks  []mark
	failed bool
	// lost are the lines that could not be written, until a line says so; missing
	// are those since it failed.
	lost, missing int64
}

// batch is lines that are written at once.
type batch struct {
	lines [][]byte
	bytes int
	// written is closed when they are, or are lost.
	written chan struct{}
}

// mark is where a line ends in what is written, and its hash.
type mark struct {
	end  int
	hash string
}

func newBatch() *batch { return &batch{written: make(chan struct{})} }

// put hands one line to the writer. It waits for room as long as it takes, so that
// no line is dropped, and then a little for the line to be written.
func (l *Log) put(line []byte) {
	l.mu.Lock()
	for l.queue.bytes >= maxQueued && !l.closed {
		l.room.Wait()
	}
	if l.closed {
		l.late++
		l.mu.Unlock()
		return
	}
	b := l.queue
	b.lines, b.bytes = append(b.lines, line), b.bytes+len(line)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default: // the writer was told, and has not looked yet
	}
	l.await(b)
}

// await waits until b is written, but no longer than patience.
func (l *Log) await(b *batch) {
	timer, ok := l.timers.Get().(*time.Timer)
	if ok {
		timer.Reset(patience)
	} else {
		timer = time.NewTimer(patience)
	}
	select {
	case <-b.written:
	case <-timer.C:
	}
	timer.Stop()
	l.timers.Put(timer)
}

// Close writes what waits, the counts of floods included, and gives how many lines
// were lost at the end: those that could not be written and are not told of yet.
func (l *Log) Close() (lost int64) {
	counted := l.lines(l.floods.close())
	l.mu.Lock()
	if !l.closed {
		l.queue.lines = append(l.queue.lines, counted...)
		l.closed = true
		close(l.over)
		l.room.Broadcast()
	}
	l.mu.Unlock()
	<-l.ended
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost + l.late
}

// run is the writer. It ends, with the queue empty, once the Log is closed.
func (l *Log) run() {
	defer close(l.ended)
	for open := true; open; {
		var counted [][]byte
		select {
		case <-l.wake:
		case <-l.floods.ends:
			counted = l.lines(l.floods.sweep())
		case <-l.over:
			open = false
		}
		b := l.take()
		l.write(append(b.lines, counted...))
		close(b.written)
	}
}

// lines tells of all, and gives their lines.
func (l *Log) lines(all []*Entry) (lines [][]byte) {
	for _, e := range all {
		if line := l.line(e); line != nil {
			lines = append(lines, line)
		}
	}
	return lines
}

// take gives what waits, and makes room.
func (l *Log) take() *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.queue
	l.queue = newBatch()
	l.room.Broadcast()
	return b
}

// write writes lines at once, behind a word on those that were lost before them.
func (l *Log) write(lines [][]byte) {
	if len(lines) == 0 {
		return
	}
	told := l.lost
	if told > 0 {
		lines = append([][]byte{notice(strconv.FormatInt(told, 10) + " lines before this one could not be written")}, lines...)
	}
	l.out, l.marks = l.out[:0], l.marks[:0]
	last := l.last
	for _, line := range lines {
		if l.cfg.Chain {
			l.out, last = link(l.out, line, last)
		} else {
			l.out = append(l.out, line...)
		}
		l.out = append(l.out, '\n')
		l.marks = append(l.marks, mark{len(l.out), last})
	}
	n, err := l.cfg.W.Write(l.out)
	if err == nil && n < len(l.out) {
		err = io.ErrShortWrite
	}
	whole := 0
	for whole < len(lines) && l.marks[whole].end <= n {
		l.last = l.marks[whole].hash
		whole++
	}
	l.account(told, whole, len(lines), err)
}

// account counts the lines that were lost: all but whole of them. Where some were
// before, the first line is the word on them, and no call's.
func (l *Log) account(told int64, whole, all int, err error) {
	now := int64(all - whole)
	switch {
	case told > 0 && whole > 0:
		l.lost -= told
	case told > 0:
		now--
	}
	l.lost, l.missing = l.lost+now, l.missing+now
	failed := l.failed
	l.failed = err != nil
	if l.failed != failed && l.cfg.Failed != nil {
		l.cfg.Failed(l.missing, err)
	}
	if !l.failed {
		l.missing = 0
	}
}
