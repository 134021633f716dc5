package content

import (
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// allEvents reads events until there is an error, which it asks for twice.
func allEvents(t *testing.T, r io.Reader, maxEvent int) ([]Event, error) {
	t.Helper()
	e := NewEvents(r, maxEvent)
	var events []Event
	for {
		ev, err := e.Next()
		if err == nil {
			events = append(events, ev)
			continue
		}
		if ev, again := e.Next(); ev != (Event{}) || again == nil || again.Error() != err.Error() {
			t.Fatalf("after the error %v Next gives %+v, %v", err, ev, again)
		}
		return events, err
	}
}

func data(lines ...string) []Event {
	var events []Event
	for _, s := range lines {
		events = append(events, Event{Data: s})
	}
	return events
}

func testEvents(t *testing.T, name, input string, want []Event) {
	t.Run(name, func(t *testing.T) {
		for _, ending := range []string{"\n", "\r", "\r\n"} {
			input := strings.ReplaceAll(input, "\n", ending)
			for how, r := range readers(input) {
				if got, err := allEvents(t, r, 1000); err != io.EOF || !slices.Equal(got, want) {
					t.Errorf("%q with %q: %+v, %v, want %+v", how, ending, got, err, want)
				}
			}
		}
	})
}

// The examples of sections 9.2.1 and 9.2.6 of the HTML standard.
func TestEventsOfTheStandard(t *testing.T) {
	testEvents(t, "messages",
		"data: This is the first message.\n\ndata: This is the second message, it\ndata: has two lines.\n\ndata: This is the third message.\n\n",
		data("This is the first message.", "This is the second message, it\nhas two lines.", "This is the third message."))
	testEvents(t, "types", "event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n",
		[]Event{{Type: "add", Data: "73857293"}, {Type: "remove", Data: "2153"}, {Type: "add", Data: "113411"}})
	testEvents(t, "stock", "data: YHOO\ndata: +2\ndata: 10\n\n", data("YHOO\n+2\n10"))
	testEvents(t, "four blocks", ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
		[]Event{{ID: "1", Data: "first event"}, {Data: "second event"}, {Data: " third event"}})
	testEvents(t, "the third block ends early", "data: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
		[]Event{{ID: "1", Data: "first event"}, {Data: "second event"}})
	testEvents(t, "empty data", "data\n\ndata\ndata\n\ndata:", data("", "\n"))
	testEvents(t, "a space after the colon", "data:test\n\ndata: test\n\n", data("test", "test"))
}

func TestEvents(t *testing.T) {
	for _, tc := range []struct {
		name, input string
		want        []Event
	}{
		{"nothing", "", nil},
		{"blank lines", "\n\n\n", nil},
		{"comments only", ":\n: ping\n\n:data: x\n\n", nil},
		{"a comment inside", "data: a\n: no\ndata: b\n\n", data("a\nb")},
		{"unknown fields", "foo: x\nDATA: x\nData: x\n data: x\ndata : x\ndatas: x\ndata: a\n\n", data("a")},
		{"only one space", "data:  a \ndata:\tb\n\n", data(" a \n\tb")},
		{"more colons", "data: a: b\ndata::c\n\n", data("a: b\n:c")},
		{"no data", "event: a\nid: 1\n\n", nil},
		{"no data resets the type", "event: a\n\ndata: b\n\n", data("b")},
		{"no data keeps the ID", "id: 1\n\ndata: b\n\n", []Event{{ID: "1", Data: "b"}}},
		{"the ID stays", "id: 1\ndata: a\n\ndata: b\n\nid: 2\ndata: c\n\n", []Event{{ID: "1", Data: "a"}, {ID: "1", Data: "b"}, {ID: "2", Data: "c"}}},
		{"the ID is emptied", "id: 1\ndata: a\n\nid:\ndata: b\n\ndata: c\n\n", []Event{{ID: "1", Data: "a"}, {Data: "b"}, {Data: "c"}}},
		{"an ID with NUL", "id: 1\nid: 2\x00\ndata: a\n\n", []Event{{ID: "1", Data: "a"}}},
		{"NUL elsewhere", "event: \x00\ndata: \x00\n\n", []Event{{Type: "\x00", Data: "\x00"}}},
		{"the last type counts", "event: a\nevent: b\ndata: c\n\n", []Event{{Type: "b", Data: "c"}}},
		{"the type is emptied", "event: a\nevent\ndata: c\n\n", data("c")},
		{"the type does not stay", "event: a\ndata: b\n\ndata: c\n\n", []Event{{Type: "a", Data: "b"}, {Data: "c"}}},
		{"the type message", "event: message\ndata: b\n\n", []Event{{Type: "message", Data: "b"}}},
		{"retry", "retry: 10\ndata: a\n\ndata: b\n\n", []Event{{Data: "a", Retry: 10, HasRetry: true}, {Data: "b"}}},
		{"retry of zero", "retry: 0\ndata: a\n\n", []Event{{Data: "a", HasRetry: true}}},
		{"retry with zeros", "retry: 0000000000000000000000005\ndata: a\n\n", []Event{{Data: "a", Retry: 5, HasRetry: true}}},
		{"the last retry counts", "retry: 10\nretry: 7\nretry: x\ndata: a\n\n", []Event{{Data: "a", Retry: 7, HasRetry: true}}},
		{"retry without data waits", "retry: 10\n\n\ndata: a\n\n", []Event{{Data: "a", Retry: 10, HasRetry: true}}},
		{"no retry", "retry\nretry:\nretry: -1\nretry: 1.5\nretry: 1 \nretry:  1\nretry: 1ms\nretry: ١\ndata: a\n\n", data("a")},
		{"a large retry", "retry: 9223372036854775807\ndata: a\n\n", []Event{{Data: "a", Retry: math.MaxInt64, HasRetry: true}}},
		{"a retry too large", "retry: 9223372036854775808\ndata: a\n\n", []Event{{Data: "a", Retry: math.MaxInt64, HasRetry: true}}},
		{"a retry far too large", "retry: 99999999999999999999999\ndata: a\n\n", []Event{{Data: "a", Retry: math.MaxInt64, HasRetry: true}}},
		{"unfinished", "data: a\n\ndata: b\n", data("a")},
		{"unfinished line", "data: a\n\ndata: b", data("a")},
		{"a byte order mark", "\ufeffdata: a\n\n", data("a")},
		{"one byte order mark only", "\ufeff\ufeffdata: a\n\ndata: b\n\n", data("b")},
		{"a byte order mark later", "\n\ufeffdata: a\n\ndata: b\ufeff\n\n", data("b\ufeff")},
		{"a byte order mark alone", "\ufeff", nil},
		{"half a byte order mark", "\xef\xbb\n\ndata: a\n\n", data("a")},
		{"a byte order mark and a blank line", "\ufeff\ndata: a\n\n", data("a")},
		{"not UTF-8", "id: \xff\nevent: \xc0\xafx\ndata: a\xe2\x82\ndata: \xf0\x9f\x98b\n\n",
			[]Event{{ID: "\ufffd", Type: "\ufffd\ufffdx", Data: "a\ufffd\n\ufffdb"}}},
		{"surrogates", "data: \xed\xa0\x80\n\n", data("\ufffd\ufffd\ufffd")},
		{"text", "data: 日本 😀\u2028\u0085\n\n", data("日本 😀\u2028\u0085")},
	} {
		testEvents(t, tc.name, tc.input, tc.want)
	}
}

func TestEventsLimit(t *testing.T) {
	for _, tc := range []struct {
		name, input string
		want        []Event
		tooLarge    bool
	}{
		{"a line that fits", "data:67890\n\ndata:67890\n\n", data("67890", "67890"), false},
		{"the mark does not count", "\ufeffdata:67890\n\n", data("67890"), false},
		{"fields that fit", "id:4\ndata:6\n\n", []Event{{ID: "4", Data: "6"}}, false},
		{"a line", "data:6\n\ndata:678901\n\n", data("6"), true},
		{"a line without end", "data:6\n\ndata:678901", data("6"), true},
		{"a comment", "data:6\n\n:2345678901\n", data("6"), true},
		{"an unknown field", "data:6\n\nx:345678901\n", data("6"), true},
		{"fields", "data:6\n\nid:4\ndata:67\n\n", data("6"), true},
		{"data", "data:6\n\ndata:6\ndata:\n\n", data("6"), true},
		{"types", "event:7\nevent:7\n\n", nil, true},
		{"IDs", "id:45\nid:45\nid:\n\n", nil, true},
		{"retries", "retry:7\nretry:7\n\n", nil, true},
		{"comments and unknown fields do not add up", ":234567890\ndata:6\nx:34567890\n:234567890\n\n", data("6"), false},
		{"events do not add up", "event:7\n\nevent:7\n\nid:4567890\n\ndata:67890\n\n", []Event{{ID: "4567890", Data: "67890"}}, false},
		{"one over it at once", "data:678\nid:\n\ndata:6\n\n", nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for how, r := range readers(tc.input) {
				got, err := allEvents(t, r, 10)
				if errors.Is(err, fault.ResponseTooLarge) != tc.tooLarge || !tc.tooLarge && err != io.EOF || !slices.Equal(got, tc.want) {
					t.Errorf("%q: %+v, %v, want %+v and too large %t", how, got, err, tc.want, tc.tooLarge)
				}
			}
		})
	}
}

func TestEventsLimitMessage(t *testing.T) {
	for input, says := range map[string]string{
		"data: 123456\n":     "line of more than 10 bytes: use framing BYTES",
		"data: 1\ndata: 2\n": "event of more than 10 bytes: use framing BYTES",
	} {
		_, err := NewEvents(strings.NewReader(input), 10).Next()
		var e *fault.Error
		if !errors.As(err, &e) || e.Kind != fault.ResponseTooLarge || e.Wire != fault.Answered || !strings.Contains(e.Message, says) {
			t.Errorf("%q gives %#v, want %q", input, err, says)
		}
	}
}

// An event without end costs no more than the limit.
func TestEventsBuffer(t *testing.T) {
	for _, text := range []string{"data: x\n", "data\n", "id: x\r", "x"} {
		r := &endless{text: text}
		e := NewEvents(r, 100_000)
		if ev, err := e.Next(); !errors.Is(err, fault.ResponseTooLarge) {
			t.Errorf("%q without end gives %d bytes, %v", text, len(ev.Data), err)
		}
		if r.n > 200_000 || cap(e.data) > 200_000 {
			t.Errorf("%q without end: %d bytes were read, %d are kept", text, r.n, cap(e.data))
		}
	}
}

// What has arrived is given before more is read.
func TestEventsAtOnce(t *testing.T) {
	for _, tc := range []struct {
		name  string
		steps []string // each is written, and then its events are read
		want  [][]Event
	}{
		{"LF", []string{"data: a\n\n", "data: b\n\n"}, [][]Event{data("a"), data("b")}},
		{"CRLF", []string{"data: a\r\n\r\n", "data: b\r\n\r\n"}, [][]Event{data("a"), data("b")}},
		{"CR", []string{"data: a\r\r", "data: b\r\r"}, [][]Event{data("a"), data("b")}},
		{"up to the last CR", []string{"data: a\r\n\r", "\ndata: b\r\n\r", "\n"}, [][]Event{data("a"), data("b"), nil}},
		{"two at once", []string{"data: a\n\ndata: b\n\ndata", ": c\n", "\n"}, [][]Event{data("a", "b"), nil, data("c")}},
		{"a mark in pieces", []string{"\xef", "\xbb", "\xbf", "data: a\n\n"}, [][]Event{nil, nil, nil, data("a")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // which ends a Next that waits in vain
				r, write := stepwise(len(tc.steps))
				e := NewEvents(r, 100)
				for i, step := range tc.steps {
					write <- step
					for _, want := range tc.want[i] {
						if got, err := e.Next(); err != nil || got != want {
							t.Fatalf("after %q: %+v, %v, want %+v", tc.steps[:i+1], got, err, want)
						}
					}
				}
				close(write)
				if got, err := e.Next(); err != io.EOF {
					t.Errorf("at the end: %+v, %v, want EOF", got, err)
				}
			})
		})
	}
}

func TestEventsReadErrors(t *testing.T) {
	broken := errors.New("broken")
	for input, want := range map[string][]Event{
		"":                       nil,
		"\xef\xbb":               nil,
		"data: a\n\ndata: b":     data("a"),
		"data: a\n\ndata: b\n":   data("a"),
		"data: a\n\ndata: b\n\n": data("a", "b"),
	} {
		after := io.MultiReader(strings.NewReader(input), iotest.ErrReader(broken))
		if got, err := allEvents(t, after, 100); err != broken || !slices.Equal(got, want) {
			t.Errorf("%q and then an error: %+v, %v, want %+v, %v", input, got, err, want, broken)
		}
	}
	if got, err := allEvents(t, new(idle), 100); err != io.ErrNoProgress || got != nil {
		t.Errorf("an idle reader gives %+v, %v, want %v", got, err, io.ErrNoProgress)
	}
}

func TestEventsAllocations(t *testing.T) {
	e := NewEvents(&endless{text: ": ping\n\nid: 7\nevent: delta\ndata: {\"x\":\ndata: 1}\nretry: 10\n\n"}, 1000)
	next := func() {
		if ev, err := e.Next(); err != nil || ev != (Event{"7", "delta", "{\"x\":\n1}", 10, true}) {
			t.Fatal(ev, err)
		}
	}
	next() // makes the buffers
	if got := testing.AllocsPerRun(1000, next); got > 1 {
		t.Errorf("an event costs %v allocations, want 1 for its data", got)
	}
}

func BenchmarkEvents(b *testing.B) {
	for _, bm := range []struct{ name, text string }{
		{"tiny", "data: 1\n\n"},
		{"chat", "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n"},
		{"10_lines", "id: 17\nevent: log\n" + strings.Repeat("data: "+strings.Repeat("x", 94)+"\n", 10) + "\n"},
		{"64Ki", "data: " + strings.Repeat("x", 64<<10) + "\n\n"},
		{"not_UTF-8", "data: " + strings.Repeat("x", 100) + "\xff\n\n"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			e := NewEvents(&endless{text: strings.Repeat(bm.text, 1+4096/len(bm.text))}, 1<<20)
			b.SetBytes(int64(len(bm.text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Next(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
