package content

import (
	"bytes"
	"io"
	"math"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// Event is one event of a text/event-stream. Its text is valid UTF-8.
type Event struct {
	// ID is the last event ID: of this event, or else of the latest before it
	// that had one, dispatched or not.
	ID string
	// Type is the event's type; empty means `message`.
	Type string
	// Data is the event's data fields, joined by LF. It may be empty.
	Data string
	// Retry is the latest reconnection time in milliseconds since the event
	// before, if HasRetry; one that no int64 holds is the largest that it does.
	Retry int64
	// HasRetry tells a Retry of 0 from none.
	HasRetry bool
}

// Events parts a text/event-stream into its events, by section 9.2.6 of the
// HTML standard
// (https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation).
// Comments, unknown fields and events without data leave no event, and an event
// that the stream ends in the middle of is dropped, as the standard wants.
//
// An event comes out as soon as its blank line has been read. Memory is bounded
// by a small multiple of the allowed size. An Events is for one goroutine and
// needs no closing.
type Events struct {
	lines    *Lines
	maxEvent int
	begun    bool   // a byte order mark is behind
	size     int    // of the fields since the last blank line
	data     []byte // the data fields, each with an LF
	id       string
	kind     string // the latest type that any event had
	typed    bool   // kind is of this event
	retry    int64
	hasRetry bool
}

// NewEvents gives the events of r. No line, nor the id, event, data and retry
// fields of an event together, may be of more than maxEvent bytes, counted as
// they came, names included and endings not; with 0, or less, no field passes.
// U+FFFD in place of bad bytes can make text up to three times as long.
func NewEvents(r io.Reader, maxEvent int) *Events {
	return &Events{lines: NewLines(r, maxEvent), maxEvent: max(maxEvent, 0)}
}

// Next gives an event. It fails, and then fails the same way ever after, with
//   - io.EOF at the end;
//   - a ResponseTooLarge fault for an event or a line over the allowed size;
//   - any other error of the reader, unchanged;
//   - io.ErrNoProgress if the reader keeps giving neither bytes nor an error.
func (e *Events) Next() (Event, error) {
	if !e.begun {
		e.begun = true
		e.lines.skip(bomUTF8)
	}
	for e.size <= e.maxEvent {
		line, err := e.lines.Next()
		if err != nil {
			return Event{}, err
		}
		if len(line) > 0 {
			e.field(line)
		} else if ev, ok := e.dispatch(); ok {
			return ev, nil
		}
	}
	return Event{}, e.tooLarge()
}

// field takes in a line that is not blank. UTF-8 is mended in values, not in
// the stream: no byte of an ill-formed sequence is taken for a CR, LF or colon.
func (e *Events) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":")) // a comment has an empty name
	value = trimPrefix(value, " ")
	switch string(name) {
	case "data":
		if e.size+len(line) <= e.maxEvent {
			e.data = append(append(e.data, value...), '\n')
		}
	case "event":
		e.kind = renew(e.kind, value)
		e.typed = true
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			e.id = renew(e.id, value)
		}
	case "retry":
		if ms, ok := reconnectionTime(value); ok {
			e.retry, e.hasRetry = ms, true
		}
	default:
		return
	}
	e.size += len(line)
}

// dispatch ends an event; it is none without a data field. One that is empty
// is enough, because the standard looks before it removes the last LF.
func (e *Events) dispatch() (Event, bool) {
	data, typed := e.data, e.typed
	e.data, e.typed, e.size = e.data[:0], false, 0
	if len(data) == 0 {
		return Event{}, false
	}
	ev := Event{ID: e.id, Retry: e.retry, HasRetry: e.hasRetry}
	ev.Data, _ = decodeUTF8(data[:len(data)-1])
	if typed {
		ev.Type = e.kind
	}
	e.retry, e.hasRetry = 0, false
	return ev, true
}

// renew gives value as text, which most often is what old was.
func renew(old string, value []byte) string {
	if old == string(value) {
		return old
	}
	text, _ := decodeUTF8(value)
	return text
}

// reconnectionTime reads ASCII digits, of which there is at least one. The
// standard says "only digits" and no more; browsers ignore an empty value too.
func reconnectionTime(value []byte) (ms int64, ok bool) {
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		d := int64(c - '0')
		if ms > (math.MaxInt64-d)/10 {
			ms = math.MaxInt64 // and stays
		} else {
			ms = ms*10 + d
		}
	}
	return ms, len(value) > 0
}

func (e *Events) tooLarge() error {
	err := fault.Newf(fault.ResponseTooLarge, "the response body has an event of more than %d bytes: use framing BYTES", e.maxEvent)
	err.Wire = fault.Answered
	return err
}
