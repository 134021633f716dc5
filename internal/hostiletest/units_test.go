package hostiletest

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/content"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// maxUnit is the server's bound for one line or event of a stream.
const maxUnit = 1 << 20

// TestUnits: streams parted into lines and events, by an upstream that does not
// end them. The server parts them as it is done here.
func TestUnits(t *testing.T) {
	const events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
	lines := func(r io.Reader) func() error {
		l := content.NewLines(r, maxUnit)
		return func() error { _, err := l.Next(); return err }
	}
	sse := func(r io.Reader) func() error {
		e := content.NewEvents(r, maxUnit)
		return func() error { _, err := e.Next(); return err }
	}
	for name, tc := range map[string]struct {
		peer   testpeer.Script
		more   string
		framed func(io.Reader) func() error
		kind   fault.Kind
	}{
		"line without end":                 {forever(events, strings.Repeat("x", 8<<10)), "", lines, fault.ResponseTooLarge},
		"data line without end":            {forever(events+"data: ", strings.Repeat("x", 8<<10)), "", sse, fault.ResponseTooLarge},
		"event of many lines":              {forever(events, strings.Repeat("data: x\n", 1000)), "", sse, fault.ResponseTooLarge},
		"event of empty data":              {forever(events, strings.Repeat("data\n", 1000)), "", sse, fault.ResponseTooLarge},
		"event of ids":                     {forever(events, strings.Repeat("id: x\n", 1000)), "", sse, fault.ResponseTooLarge},
		"comments without end":             {forever(events, strings.Repeat(": x\n", 1000)), "timeouts: {stream_total: 200ms}", sse, fault.TotalTimeout},
		"empty lines without end":          {forever(events, strings.Repeat("\n", 1000)), "timeouts: {stream_total: 200ms}", sse, fault.TotalTimeout},
		"data line without end, resumable": {forever(events+"id: 1\n\ndata: ", strings.Repeat("x", 8<<10)), "resume: {events: 3}", sse, fault.ResponseTooLarge},
		"comments without end, resumable":  {forever(events, strings.Repeat(": x\n", 1000)), "resume: {events: 3}; timeouts: {stream_total: 200ms}", sse, fault.TotalTimeout},
		"id of 1 MiB, resumable":           {ends(events + "id: " + strings.Repeat("i", 1<<19) + "\ndata: a\n\ndata"), "resume: {events: 1}", sse, ""},
		"retry beyond 64 bits, resumable":  {ends(chunkedEvents("id: 1\nretry: 99999999999999999999999\ndata: a\n\n")), "resume: {events: 3}", sse, fault.BodyCutShort},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := testpeer.Raw(t, testpeer.InTurn(tc.peer, testpeer.ResetBeforeHead))
			e := row{more: tc.more}.engine(t, nil)
			live, _, err := e.Open(t.Context(), request(t, srv.URL+"/"))
			if err != nil {
				t.Fatal(err)
			}
			defer live.Close()
			next := tc.framed(live)
			for err == nil {
				err = next()
			}
			if tc.kind == "" && err != io.EOF || tc.kind != "" && !errors.Is(err, tc.kind) {
				t.Errorf("the stream ended with %v, want %s", err, tc.kind)
			}
			if n := srv.Conns(); n > 4 {
				t.Errorf("%d connections were made", n)
			}
		})
	}
}

// chunkedEvents is a stream of events that breaks off behind text.
func chunkedEvents(text string) string {
	return "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 10000\r\n\r\n" + text
}
