package hostiletest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// says answers one request with text and keeps the connection open.
func says(text string) testpeer.Script {
	return func(c *testpeer.RawConn) {
		c.ReadRequest()
		c.Write(text)
		c.Stall()
	}
}

// saysFor ever: head once, then block without end.
func forever(head, block string) testpeer.Script {
	return func(c *testpeer.RawConn) {
		c.ReadRequest()
		c.Write(head)
		for {
			c.Write(block)
		}
	}
}

// keeps answers one request with text, and what comes after it with "ok".
func keeps(text string) testpeer.Script {
	return testpeer.Answer(text, testpeer.Response(200, "ok"))
}

// head is a 200 with fields and an empty body.
func head(fields ...string) string { return testpeer.Response(200, "", fields...) }

// many gives n header fields of a format with one %d.
func many(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func clocks(total time.Duration) func(*fetch.Request) {
	return func(r *fetch.Request) { r.Timeouts.Total = total }
}

// short and ample are clocks that run out. ample is for those that run from before
// the connection is made, where the row is about what happens on it.
const (
	short = 200 * time.Millisecond
	ample = 2 * time.Second
)

func TestHeads(t *testing.T) {
	const ok, tooLarge, bad, late = "200", "RESPONSE_HEADER_TOO_LARGE", "BAD_RESPONSE", "TOTAL_TIMEOUT"
	const status = "HTTP/1.1 200 OK\r\n"
	table(t, []row{
		{name: "header fields without end", peer: testpeer.EndlessHead, fetch: tooLarge},
		{name: "header line without end", peer: testpeer.EndlessLine, fetch: tooLarge},
		{name: "status line without end", peer: forever("HTTP/1.1 200 ", strings.Repeat("O", 8<<10)), fetch: tooLarge},
		{name: "header of 1 MiB", peer: testpeer.HugeHeader(1 << 20), fetch: tooLarge},
		{name: "header as large as may be", peer: keeps(head("X-Huge: " + strings.Repeat("h", 250<<10))), fetch: ok, after: kept},
		{name: "10,000 fields of no size", peer: keeps(status + many(10_000, "a%d:\n") + "Content-Length: 0\r\n\r\n"), fetch: tooLarge, after: kept},
		{name: "50,000 fields of no size", peer: says(status + many(50_000, "%x:\n") + "\n"), fetch: tooLarge},
		{name: "10,000 Set-Cookie", peer: keeps(status + many(10_000, "Set-Cookie: c%d=v\r\n") + "Content-Length: 0\r\n\r\n"), fetch: tooLarge, after: kept},
		{name: "1,000 Set-Cookie", peer: keeps(status + many(1_000, "Set-Cookie: c%d=v\r\n") + "Content-Length: 0\r\n\r\n"), fetch: ok, after: kept,
			check: func(t *testing.T, got *result) {
				if n := len(got.Header["Set-Cookie"]); n != 1_000 {
					t.Errorf("%d cookies came, want 1000", n)
				}
			}},
		{name: "102 without end", peer: testpeer.Flood1xx(-1), fetch: tooLarge},
		{name: "100 without end", peer: forever("", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100)), fetch: tooLarge},
		{name: "103 with a large head, without end", peer: forever("", "HTTP/1.1 103 Early Hints\r\nLink: <"+strings.Repeat("l", 8<<10)+">\r\n\r\n"), fetch: tooLarge},
		{name: "102 at a slow pace, without end", peer: func(c *testpeer.RawConn) {
			c.ReadRequest()
			for {
				c.Write("HTTP/1.1 102 Processing\r\n\r\n")
				c.Pause(10 * time.Millisecond)
			}
		}, tweak: func(r *fetch.Request) { r.Timeouts.FirstByte = short }, fetch: "FIRST_BYTE_TIMEOUT"},
		{name: "head of a byte a second", peer: testpeer.TrickleHead(1, time.Second), tweak: clocks(ample), fetch: late},
		{name: "head of a byte a second, first_byte", peer: testpeer.TrickleHead(1, time.Second),
			tweak: func(r *fetch.Request) { r.Timeouts.FirstByte = short }, fetch: "FIRST_BYTE_TIMEOUT"},
		{name: "head of a byte a second, attempt", peer: testpeer.TrickleHead(1, time.Second),
			tweak: func(r *fetch.Request) { r.Timeouts.Attempt = ample }, fetch: "ATTEMPT_TIMEOUT"},
		{name: "silence", peer: testpeer.StallOnAccept, tweak: clocks(ample), fetch: late},
		{name: "101 that nobody asked for", peer: testpeer.SwitchingProtocols, fetch: bad},
		{name: "bare LF", peer: keeps("HTTP/1.1 200 OK\nX-Bare: yes\nContent-Length: 2\n\nok"), fetch: ok, after: kept},
		{name: "bare CR", peer: says("HTTP/1.1 200 OK\rX-A: b\r\r"), tweak: clocks(ample), fetch: late},
		{name: "CR within a value", peer: says(head("X-A: a\rSet-Cookie: b=c")), fetch: bad},
		{name: "obs-fold", peer: keeps(head("X-A: one", "\ttwo")), fetch: ok, after: kept, check: header("X-A", "one two")},
		{name: "obs-fold on the first line", peer: says(status + " X-A: b\r\nContent-Length: 0\r\n\r\n"), fetch: bad},
		{name: "NUL in a value", peer: testpeer.NULHeader, fetch: bad},
		{name: "NUL in a name", peer: says(head("X\x00A: b")), fetch: bad},
		{name: "space before a colon", peer: keeps(head("X-A : b")), fetch: ok, after: kept, check: header("X-A", "b")},
		{name: "line without a colon", peer: says(head("X-A")), fetch: bad},
		{name: "empty name", peer: says(head(": b")), fetch: bad},
		{name: "name that is no token", peer: says(head("X(A): b")), fetch: bad},
		{name: "status of two digits", peer: testpeer.Status("42"), fetch: bad},
		{name: "status 000", peer: testpeer.Status("000"), fetch: bad},
		{name: "version 9.9", peer: says("HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n"), fetch: ok, after: unasked}, // net/http lets it through
		{name: "ICY", peer: says("ICY 200 OK\r\n\r\n"), fetch: bad},
		{name: "HTTP/0.9", peer: testpeer.HTTP09, fetch: bad},
		{name: "ssh", peer: testpeer.NotHTTP, fetch: bad},
		{name: "speaks first", peer: testpeer.SpeaksFirst, fetch: bad},
		{name: "Content-Type of 200 KiB of parameters", peer: keeps(testpeer.Response(200, "x", "Content-Type: text/plain"+strings.Repeat(";a=b", 50<<10))), fetch: ok, after: kept},
		{name: "Content-Type of 200 KiB of quotes", peer: keeps(testpeer.Response(200, "x", `Content-Type: text/plain;a="`+strings.Repeat(`\"`, 100<<10))), fetch: ok, after: kept},
		{name: "Link of 200 KiB", peer: keeps(head("Link: " + strings.Repeat("<a>;b,", 40<<10))), fetch: ok, after: kept},
		{name: "ETag of 200 KiB", peer: keeps(head(`ETag: "`+strings.Repeat("e", 200<<10)+`"`, "Accept-Ranges: bytes")), more: "resume: {downloads: 2}", fetch: ok, after: kept},
		{name: "Retry-After of 200 KiB of digits", peer: keeps(testpeer.Response(503, "no", "Retry-After: "+strings.Repeat("9", 200<<10))), more: "retry: {max_attempts: 3}", fetch: "503", after: kept},
		{name: "Retry-After of 200 KiB of commas", peer: keeps(testpeer.Response(503, "no", "Retry-After: 1"+strings.Repeat(",1", 100<<10), "Retry-After: 9999999")), more: "retry: {max_attempts: 3}", fetch: "503", after: kept},
		{name: "Location of 200 KiB", peer: keeps(testpeer.Response(302, "", "Location: ftp://"+strings.Repeat("l", 200<<10))), fetch: "BAD_REDIRECT", after: kept},
	})
}

func header(name, want string) func(*testing.T, *result) {
	return func(t *testing.T, got *result) {
		if v := strings.Join(got.Header[name], "|"); v != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
}
