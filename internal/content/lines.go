package content

import (
	"bytes"
	"io"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// linesFrom is the size of the first buffer of [Lines]; it doubles as lines need.
const linesFrom = 4 << 10

// Lines parts a stream of bytes into lines, each ended by LF, CR or CRLF. The
// ending is no part of the line. What follows the last ending is a line too,
// unless it is empty.
//
// A line comes out as soon as its ending has been read; after a CR that is
// before it is known whether an LF follows. The buffer is made by the first
// Next and grows to 4 KiB or a byte more than the longest line allowed,
// whichever is more. A Lines is for one goroutine and needs no closing.
type Lines struct {
	r       io.Reader
	maxLine int
	buf     []byte
	start   int   // of what is read and not yet given
	end     int   // of what is read
	scanned int   // buf[start:scanned] has no ending
	lf      int   // buf[start:lf] has no LF
	afterCR bool  // the line before ended in CR: an LF at start belongs to it
	err     error // of r, once there was one
}

// NewLines gives the lines of r, none of more than maxLine bytes. With a
// maxLine of 0, or less, only empty lines pass.
func NewLines(r io.Reader, maxLine int) *Lines {
	return &Lines{r: r, maxLine: max(maxLine, 0)}
}

// Next gives a line, which is valid until the next call. It fails, and then
// fails the same way ever after, with
//   - io.EOF at the end;
//   - a ResponseTooLarge fault for a line of more than the allowed length, as
//     soon as that much of it has come;
//   - any other error of the reader, unchanged. Part of a line before it is not
//     given: a torn line must not look complete;
//   - io.ErrNoProgress if the reader keeps giving neither bytes nor an error.
func (l *Lines) Next() ([]byte, error) {
	for {
		if l.afterCR && l.start < l.end {
			l.afterCR = false
			if l.buf[l.start] == '\n' {
				l.start++
			}
		}
		if i := l.ending(); i >= 0 {
			if i-l.start > l.maxLine {
				return nil, l.tooLong()
			}
			l.afterCR = l.buf[i] == '\r'
			return l.take(i, i+1), nil
		}
		switch rest := l.end - l.start; {
		case rest > l.maxLine:
			return nil, l.tooLong()
		case rest > 0 && l.err == io.EOF:
			return l.take(l.end, l.end), nil
		case l.err != nil:
			return nil, l.err
		}
		l.fill()
	}
}

// ending finds the first CR or LF from start on, or gives -1. Neither an input
// without CR, nor one without LF, nor a line in many pieces is searched twice.
func (l *Lines) ending() int {
	l.scanned = max(l.scanned, l.start)
	l.lf = max(l.lf, l.scanned)
	if l.lf < l.end && l.buf[l.lf] != '\n' {
		if i := bytes.IndexByte(l.buf[l.lf:l.end], '\n'); i >= 0 {
			l.lf += i
		} else {
			l.lf = l.end
		}
	}
	if i := bytes.IndexByte(l.buf[l.scanned:l.lf], '\r'); i >= 0 {
		return l.scanned + i
	}
	l.scanned = l.lf
	if l.lf < l.end {
		return l.lf
	}
	return -1
}

// take gives the bytes up to end and goes on at next.
func (l *Lines) take(end, next int) []byte {
	line := l.buf[l.start:end:end]
	l.start = next
	return line
}

// skip passes over prefix if the stream begins with it, reading no further
// than shows whether it does. It is for a stream of which nothing was given.
func (l *Lines) skip(prefix string) {
	for {
		n := min(l.end, len(prefix))
		switch {
		case string(l.buf[:n]) != prefix[:n]:
			return
		case n == len(prefix):
			l.start = n
			return
		case l.err != nil:
			return
		}
		l.fill()
	}
}

// fill reads once, or until there is a byte or an error, which goes to err.
// What is in the buffer is no more than maxLine bytes.
func (l *Lines) fill() {
	if l.start == l.end || l.end == len(l.buf) {
		l.makeRoom()
	}
	for range maxEmptyReads {
		n, err := l.r.Read(l.buf[l.end:])
		l.end += n
		if err != nil {
			l.err = err
			return
		}
		if n > 0 {
			return
		}
	}
	l.err = io.ErrNoProgress
}

// makeRoom moves what is left to the front; what fills the buffer from the
// front gets one of twice the size, with room for one byte too many at most.
func (l *Lines) makeRoom() {
	rest := l.buf[l.start:l.end]
	if len(rest) == len(l.buf) {
		size := max(2*len(l.buf), linesFrom)
		if size > linesFrom && size-1 > l.maxLine {
			size = max(l.maxLine+1, linesFrom)
		}
		l.buf = make([]byte, size)
	}
	l.end = copy(l.buf, rest)
	l.scanned = max(l.scanned-l.start, 0)
	l.lf = max(l.lf-l.start, 0)
	l.start = 0
}

func (l *Lines) tooLong() error {
	e := fault.Newf(fault.ResponseTooLarge, "the response body has a line of more than %d bytes: use framing BYTES", l.maxLine)
	e.Wire = fault.Answered
	return e
}
