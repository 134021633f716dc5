package streamtest

import (
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// pieces sends a body in the very pieces that are given, each flushed.
func pieces(contentType string, all ...string) testpeer.Script {
	return func(c *testpeer.RawConn) {
		c.ReadRequest()
		c.Write(testpeer.Lines("HTTP/1.1 200 OK", "Content-Type: "+contentType, "Transfer-Encoding: chunked"))
		for _, p := range all {
			if p == "CUT" {
				c.Reset()
			}
			c.Writef("%x\r\n%s\r\n", len(p), p)
			c.Pause(time.Millisecond)
		}
		c.Write("0\r\n\r\n")
		c.Stall()
	}
}

// endless sends a head, first, and then block for ever.
func endless(first, block string) testpeer.Script {
	return func(c *testpeer.RawConn) {
		c.ReadRequest()
		c.Write(testpeer.Lines("HTTP/1.1 200 OK") + first)
		for {
			c.Write(block)
		}
	}
}

// framingCases are bodies in lines and events, whole and not.
func framingCases() []testCase {
	const lines, sse = `{"url":"http://{peer}/","framing":"LINES"}`, `{"url":"http://{peer}/","framing":"SSE"}`
	long := want{body: "", kind: "RESPONSE_TOO_LARGE", says: []string{"use framing BYTES"}}
	afterOne := func(w want, line, event string) want {
		if line != "" {
			w.lines = []string{line}
		}
		if event != "" {
			w.events = []string{event}
		}
		return w
	}
	cut := want{kind: "BODY_CUT_SHORT", safe: true}
	return []testCase{
		{name: "lines on odd splits", in: lines,
			script: pieces("text/plain", "a", "b\r", "\nc\n\nd\re", "\r\n", "caf\xc3", "\xa9\n", "\xff\xfe\n", "last"),
			want:   want{lines: []string{`"ab"`, `"c"`, `""`, `"d"`, `"e"`, `"café"`, `raw "\xff\xfe"`, `"last"`}}},
		{name: "no line", script: testpeer.Answer(testpeer.Response(200, "")), in: lines, want: want{lines: nil}},
		{name: "a line as it comes", in: lines, script: pieces("text/plain", "one\n", "two", "CUT"),
			want: afterOne(cut, `"one"`, "")},
		{name: "an endless line", script: endless("one\n", kib64), in: lines, want: afterOne(long, `"one"`, "")},
		{name: "a line of the largest size", in: lines, script: pieces("text/plain", strings.Repeat(kib64, 16), "\nshort"),
			want: want{lines: []string{`"` + strings.Repeat(kib64, 16) + `"`, `"short"`}}},
		{name: "lines of a gzip body", in: lines, script: testpeer.Gzip("one\ntwo\r\nthree"),
			want: want{decoded: "gzip", lines: []string{`"one"`, `"two"`, `"three"`}}},
		{name: "events on odd splits", in: sse,
			script: pieces("text/event-stream", "\xef\xbb", "\xbfdata: a\r", "\ndata", ": b\n\r", "\n: comment\n\nid: 7\nevent: up", "date\ndata:x\nretry: 10\n\n",
				"data\n\n", "nothing: here\n\n", "id\ndata: bare\n\n", "data: torn\n"),
			want: want{events: []string{`"" "a\nb"`, `"update" "x" id "7" retry 10`, `"" ""`, `"" "bare" id ""`}}},
		{name: "an event as it comes", in: sse, script: pieces("text/event-stream", "data: one\n\n", "data: two\n", "CUT"),
			want: afterOne(cut, "", `"" "one"`)},
		{name: "an endless line in an event", script: endless("data: one\n\ndata: ", kib64), in: sse, want: afterOne(long, "", `"" "one"`)},
		{name: "an endless comment line", script: endless("data: one\n\n:", kib64), in: sse, want: afterOne(long, "", `"" "one"`)},
		{name: "an endless event", script: endless("data: one\n\n", "data: "+kib64+"\n"), in: sse, want: afterOne(long, "", `"" "one"`)},
		{name: "events without end, then silence", in: replace(sse, `"framing"`, `"timeouts":{"idle":"0.1s"},"framing"`),
			script: func(c *testpeer.RawConn) {
				c.ReadRequest()
				c.Write(testpeer.Lines("HTTP/1.1 200 OK") + "data: one\n\n: and now nothing\n")
				c.Stall()
			},
			want: want{events: []string{`"" "one"`}, kind: "IDLE_TIMEOUT", safe: true}},
	}
}

func replace(s, old, with string) string { return strings.Replace(s, old, with, 1) }
