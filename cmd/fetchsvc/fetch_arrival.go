package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// begin takes the head.
func (t *transfer) begin(head *fetchsvcv1.FetchResponse) error {
	t.answer = head
	t.bar.end()
	t.bar = nil
	if t.verbose {
		for _, h := range responseHeads(head) {
			h.show(t.errs, "<")
		}
	}
	if t.include || t.head {
		if _, err := t.to.Write(headBytes(head)); err != nil {
			return writeError(err)
		}
	}
	if t.toFile() {
		t.bar = t.progress("received", contentLength(head))
	}
	return nil
}

// progress shows how far the transfer is, if somebody looks on.
func (t *transfer) progress(verb string, total int64) *progress {
	if t.noProgress || !isTerminal(t.errs) {
		return nil
	}
	return startProgress(t.errs, verb, total)
}

// contentLength is how many bytes will come; -1: not known.
func contentLength(head *fetchsvcv1.FetchResponse) int64 {
	for _, f := range head.GetHeaders() {
		if strings.EqualFold(f.GetName(), "Content-Length") && head.GetDecoded() == "" {
			if n, err := strconv.ParseInt(f.GetValue(), 10, 64); err == nil {
				return n
			}
		}
	}
	return -1
}

// write hands on what came.
func (t *transfer) write(p []byte, units int) error {
	if _, err := t.to.Write(p); err != nil {
		return writeError(err)
	}
	t.came += int64(units)
	t.bar.add(len(p))
	return nil
}

// finish takes the end: now the answer is whole.
func (t *transfer) finish(end *fetchsvcv1.FetchResponse) error {
	t.bar.end()
	if t.verbose {
		proto.Merge(end, t.answer) // each sets what the other leaves out
		writeVerbose(t.errs, end, nil)
	}
	return writeError(t.to.keep())
}

// account adds to a failure what became of the body so far.
func (t *transfer) account(err error) error {
	if t.answer == nil {
		return err
	}
	came := strconv.FormatInt(t.came, 10) + " " + t.unit()
	kept := "were written"
	if f, ok := t.to.(*outputFile); ok && f.place.replace {
		kept = "had come; " + t.output + " was not written"
	}
	return exit{fmt.Errorf("%w\n  %s of the body %s", err, came, kept), exitCode(err)}
}

func (t *transfer) unit() string {
	unit := "bytes"
	switch {
	case t.sse:
		unit = "events"
	case t.lines:
		unit = "lines"
	}
	if t.came == 1 {
		return strings.TrimSuffix(unit, "s")
	}
	return unit
}

func lineText(l *fetchsvcv1.Line) []byte {
	if raw := l.GetRaw(); raw != nil {
		return append(raw, '\n')
	}
	return append([]byte(l.GetText()), '\n')
}

// shownEvent is how --sse writes an event.
type shownEvent struct {
	ID    string `json:"id"`
	Event string `json:"event"`
	Data  string `json:"data"`
	Retry *int64 `json:"retry,omitempty"`
}

// eventText writes an event whole: the service tells the last event ID only where
// it changes.
func (t *transfer) eventText(e *fetchsvcv1.Event) []byte {
	if e.Id != nil {
		t.lastID = e.GetId()
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(shownEvent{t.lastID, cmp.Or(e.GetEvent(), "message"), e.GetData(), e.Retry}) // strings and a number
	return out.Bytes()
}
