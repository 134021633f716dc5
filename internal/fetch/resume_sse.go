package fetch

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// events is a text/event-stream that is continued by Last-Event-ID (section 9.2
// of the HTML standard). It hands on whole events only: one that the upstream
// broke off in comes again, so what came of it is dropped. A clean end is one.
type events struct {
	resumption
	// buf[start:ready] may be handed on, buf[ready:end] is part of an event. The
	// line at hand begins at line, and there is no ending in buf[line:seek].
	buf                           []byte
	start, ready, line, seek, end int

	begun   bool // the answer's first line is behind
	resumed bool // the answer is not the first
	afterCR bool // an LF at seek belongs to the line before
	fields  bool // the event at hand has any
	plain   bool // an event was too large to be held back: all is handed on as it comes

	// last is the last event ID (of the whole events), id that of the event at
	// hand, retry its reconnection time.
	last, id string
	retry    time.Duration
}

// eventsFrom and eventsMost are the sizes of the buffer, which doubles from one to
// the other.
const (
	eventsFrom = 4 << 10
	eventsMost = 1 << 20
)

// utf8BOM may begin a stream, and means nothing.
var utf8BOM = []byte("\uFEFF")

// Read gives the next whole events, as far as p goes.
func (e *events) Read(p []byte) (int, error) {
	for e.start == e.ready {
		switch {
		case e.err != nil:
			return 0, e.err
		case e.broke != nil:
			e.err = e.reconnect()
		default:
			e.fill()
		}
	}
	n := copy(p, e.buf[e.start:e.ready])
	e.start += n
	return n, nil
}

// fill reads once. All that is ready has been handed on.
func (e *events) fill() {
	if e.makeRoom(); e.plain && e.ready > 0 {
		return
	}
	n, err := e.body.Read(e.buf[e.end:])
	e.end += n
	e.scan()
	if e.plain || err == io.EOF {
		e.ready = e.end
	}
	if e.ready > e.start {
		e.progress()
	}
	switch {
	case err == nil:
	case err == io.EOF:
		e.err = e.finished()
	case e.plain || !resumable(err):
		e.err = err
	default:
		e.broke = err
	}
}

// makeRoom moves what is part of an event to the front, and gives up on holding
// back one that is too large.
func (e *events) makeRoom() {
	from := e.start
	e.end = copy(e.buf, e.buf[from:e.end])
	e.start, e.ready, e.line, e.seek = 0, 0, e.line-from, e.seek-from
	if e.end < len(e.buf) {
		return
	}
	if len(e.buf) >= eventsMost {
		e.plain, e.ready = true, e.end
		return
	}
	grown := make([]byte, max(2*len(e.buf), eventsFrom))
	copy(grown, e.buf)
	e.buf = grown
}

// scan takes in the lines that are complete.
func (e *events) scan() {
	if e.resumed && !e.begun && bytes.HasPrefix(e.buf[:e.end], utf8BOM) {
		e.start = len(utf8BOM) // to whoever reads on it would be part of a line
		e.ready, e.line, e.seek = e.start, e.start, max(e.seek, e.start)
	}
	for !e.plain {
		if e.afterCR && e.seek < e.end {
			e.afterCR = false
			if e.buf[e.seek] == '\n' {
				e.passLF()
			}
		}
		i := bytes.IndexAny(e.buf[e.seek:e.end], "\r\n")
		if i < 0 {
			e.seek = e.end
			return
		}
		i += e.seek
		e.afterCR = e.buf[i] == '\r'
		line := e.buf[e.line:i]
		e.line, e.seek = i+1, i+1
		if e.take(line) {
			e.ready = i + 1
		}
	}
}

// passLF counts an LF to the line that ended in CR before it.
func (e *events) passLF() {
	if e.ready == e.seek {
		e.ready++
	}
	e.seek++
	e.line++
}

// take reads a line; true: all up to here may be handed on. A comment may where no
// event has begun, so that a stream of comments is not held back.
func (e *events) take(line []byte) (whole bool) {
	if !e.begun {
		e.begun = true
		line = bytes.TrimPrefix(line, utf8BOM)
	}
	if len(line) == 0 {
		e.last, e.least, e.fields = e.id, e.retry, false
		return true
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	if len(name) == 0 {
		return !e.fields
	}
	e.fields = true
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			e.id = string(value)
		}
	case "retry":
		if text := string(value); allDigits(text) {
			e.retry = min(amount(text, time.Millisecond), longestAsked)
		}
	}
	return false
}

// reconnect asks for the events behind the last whole one.
func (e *events) reconnect() error {
	if e.last == "" || !httpguts.ValidHeaderFieldValue(e.last) {
		broke := e.body.try.fail(e.broke)
		why := "no event had an id yet"
		if e.last != "" {
			why = "the last event's id cannot stand in a header"
		}
		return e.giveUp(broke, stop("NOT_RESUMED", "%s", why))
	}
	headers := http.Header{"Last-Event-Id": {e.last}}
	if _, given := e.hop.header["Accept-Encoding"]; !given {
		headers["Accept-Encoding"] = identity // the lines have to be read
	}
	if err := e.again(headers, refuseEvents); err != nil {
		return err
	}
	e.start, e.ready, e.line, e.seek, e.end = 0, 0, 0, 0, 0
	e.resumed, e.begun, e.afterCR, e.fields = true, false, false, false
	e.id, e.retry = e.last, e.least
	return nil
}

// refuseEvents says why an answer does not go on with the events. A 204 does: it
// says that there are no more.
func refuseEvents(res *http.Response) string {
	switch {
	case res.StatusCode == http.StatusNoContent, res.StatusCode == http.StatusOK && isEvents(res):
		return ""
	case res.StatusCode == http.StatusOK:
		return "the upstream answered with something else than text/event-stream, or coded"
	default:
		return "the upstream answered with status " + strconv.Itoa(res.StatusCode)
	}
}

// wantsEvents says that the hop asks for events that are to be resumed, which have
// to come uncoded.
func (h *hop) wantsEvents() bool {
	return h.route.Resume.Events > 0 && strings.Contains(strings.ToLower(h.header.Get("Accept")), "text/event-stream")
}
