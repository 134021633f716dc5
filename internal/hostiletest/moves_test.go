package hostiletest

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

func decimal(n int) string { return strconv.Itoa(n) }

// moved answers with a Location, and any other path with "ok".
func moved(location string) testpeer.Script {
	return testpeer.EachRequest(func(c *testpeer.RawConn, r testpeer.Request) {
		if r.Target == "/next" {
			c.Write(testpeer.Response(200, "ok"))
			return
		}
		c.Write(testpeer.Response(302, "", "Location: "+location))
	})
}

// chain redirects without end, each time to a longer path and with a large head.
func chain(fill string) testpeer.Script {
	var n atomic.Int64
	return func(c *testpeer.RawConn) {
		testpeer.EachRequest(func(c *testpeer.RawConn, r testpeer.Request) {
			if r.Target == "/next" {
				c.Write(testpeer.Response(200, "ok"))
				return
			}
			c.Write(testpeer.Response(302, "", fmt.Sprintf("Location: /%d/%s", n.Add(1), fill), "X-Fill: "+fill))
		})(c)
	}
}

func TestRedirects(t *testing.T) {
	const denied, bad = "POLICY_DENIED", "BAD_REDIRECT"
	rows := []row{
		{name: "to itself", peer: testpeer.RedirectLoop(302), fetch: "TOO_MANY_REDIRECTS", sends: 11, after: unasked},
		{name: "chain without end", peer: chain("x"), fetch: "TOO_MANY_REDIRECTS", sends: 11, after: kept},
		{name: "chain of heads of 100 KiB", peer: chain(strings.Repeat("x", 100<<10)), fetch: "TOO_MANY_REDIRECTS", sends: 11, wordy: true, after: kept},
		{name: "two Locations", peer: keeps(testpeer.Response(302, "", "Location: /a", "Location: /b")), fetch: bad, after: kept},
	}
	for _, to := range []string{
		"http://169.254.169.254/latest/meta-data/", "http://[::1]/", "http://[::ffff:169.254.169.254]/", "http://[64:ff9b::a9fe:a9fe]/",
		"http://10.0.0.1/", "http://127.1.2.3.nip.io/", "//169.254.169.254/", "https://metadata.google.internal/",
	} {
		rows = append(rows, row{name: "to " + to, peer: moved(to), fetch: denied, after: kept})
	}
	for _, to := range []string{"http://0x7f.1/", "http://2130706433/", "http://0/", "http://0177.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1:1/_x", "javascript:alert(1)", "data:text/plain,x", "http://", "http://a:b@", "http://127.0.0.1:99999/", "http://[fe80::1%25lo]/", "http://" + strings.Repeat("a.", 5000)} {
		rows = append(rows, row{name: fmt.Sprintf("to %.30s", to), peer: moved(to), fetch: bad, after: kept})
	}
	table(t, rows)
}

func TestRetries(t *testing.T) {
	const again = "retry: {max_attempts: 3, backoff: {base: 1ms, max: 2ms}, budget: {unlimited: true}}"
	storm := func(fields ...string) testpeer.Script {
		return testpeer.EachRequest(func(c *testpeer.RawConn, r testpeer.Request) {
			if r.Target == "/next" {
				c.Write(testpeer.Response(200, "ok"))
				return
			}
			c.Write(testpeer.Response(503, "no", fields...))
		})
	}
	table(t, []row{
		{name: "Retry-After: 0 for ever", peer: storm("Retry-After: 0"), more: again, fetch: "503", sends: 3, after: kept},
		{name: "Retry-After: an hour", peer: storm("Retry-After: 3600"), more: again, fetch: "503", after: kept},
		{name: "Retry-After: beyond 64 bits", peer: storm("Retry-After: 99999999999999999999999"), more: again, fetch: "503", after: kept},
		{name: "Retry-After: the year 9999", peer: storm("Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"), more: again, fetch: "503", after: kept},
		{name: "Retry-After: negative", peer: storm("Retry-After: -1"), more: again, fetch: "503", sends: 3, after: kept},
		{name: "a thousand Retry-Afters", peer: storm(strings.Split(strings.Repeat("Retry-After: 0,", 999)+"Retry-After: 3600", ",")...), more: again, fetch: "503", after: kept},
		{name: "503 without end of its page", peer: func(c *testpeer.RawConn) {
			c.ReadRequest()
			c.Write("HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n")
			for {
				c.Write(chunk(8 << 10))
			}
		}, more: again + "; sizes: {response: 100KB}", fetch: "200", sends: 2, received: 200_000, after: unasked},
		{name: "503 whose page stalls", peer: func(c *testpeer.RawConn) {
			c.ReadRequest()
			c.Write("HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\n")
			c.Stall()
		}, more: again, tweak: idle(short), fetch: "200", sends: 2, after: unasked},
		{name: "reset of every attempt", server: every(testpeer.ResetBeforeHead), more: again, fetch: "CONNECTION_RESET", sends: 3, after: unasked},
		{name: "hang-up on accept, of every attempt", server: every(testpeer.CloseOnAccept), more: again, fetch: "CONNECTION_RESET", sends: 3, after: unasked},
	})
}

// every serves all connections with script.
func every(script testpeer.Script) func(*testing.T) server {
	return func(t *testing.T) server {
		srv := testpeer.Raw(t, script)
		return server{url: srv.URL, conns: srv.Conns}
	}
}

// TestResume: streams that are to be resumed, and an upstream that abuses it.
func TestResume(t *testing.T) {
	const more = "retry: {backoff: {base: 1ms, max: 2ms}, budget: {unlimited: true}}; resume: {downloads: 3, events: 3}"
	const first = "HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nETag: \"v\"\r\nContent-Length: 100\r\n\r\n0123456789"
	part := func(contentRange, body string, fields ...string) string {
		return testpeer.Lines(append([]string{"HTTP/1.1 206 Partial Content", `ETag: "v"`, "Content-Range: bytes " + contentRange}, fields...)...) + body
	}
	resumed := func(name, answer string, stream string) row {
		return row{name: name, server: inTurn(ends(first), ends(answer)), more: more, stream: stream, fetch: "BODY_CUT_SHORT", sends: 5, after: unasked}
	}
	const cut, bad = "200 > BODY_CUT_SHORT", "200 > BAD_RESPONSE"
	table(t, []row{
		resumed("part that breaks off each time, with nothing", part("10-99/100", "", "Content-Length: 90"), cut),
		resumed("part that overlaps", part("5-99/100", strings.Repeat("x", 95), "Content-Length: 95"), cut),
		resumed("part that skips", part("20-99/100", strings.Repeat("x", 80), "Content-Length: 80"), cut),
		resumed("part of something longer", part("10-999/1000", strings.Repeat("x", 990), "Content-Length: 990"), cut),
		resumed("part with more bytes than it says", part("10-99/100", strings.Repeat("x", 200), "Connection: close"), bad),
		resumed("part without a range", part("*/100", strings.Repeat("x", 90)), cut),
		resumed("part that begins at 8 EiB", part("9223372036854775807-9223372036854775807/*", "x"), cut),
		resumed("part of a size beyond 64 bits", part("10-99/99999999999999999999", "x"), cut),
		resumed("whole instead of a part", length("100")+strings.Repeat("x", 100), cut),
		resumed("redirect instead of a part", "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", cut),
		{name: "parts of a byte", server: inTurn(ends(first), byteByByte), more: more, stream: "200 > BODY_CUT_SHORT", fetch: "BODY_CUT_SHORT", sends: 5, after: unasked},
		{name: "part without end", server: inTurn(ends(strings.Replace(first, "Content-Length: 100", "Transfer-Encoding: chunked", 1)),
			forever("HTTP/1.1 206 Partial Content\r\nETag: \"v\"\r\nContent-Range: bytes 0-9223372036854775806/*\r\nTransfer-Encoding: chunked\r\n\r\n", chunk(8<<10))),
			more: more, stream: "200 > BODY_CUT_SHORT", fetch: "BODY_CUT_SHORT", sends: 5, after: unasked},
	})
}

// byteByByte gives what a Range asks for one byte at a time.
func byteByByte(c *testpeer.RawConn) {
	r := c.ReadRequest()
	from, _ := strconv.Atoi(strings.Trim(r.Get("Range"), "bytes=-"))
	c.Write(testpeer.Lines("HTTP/1.1 206 Partial Content", `ETag: "v"`, fmt.Sprintf("Content-Range: bytes %d-99/100", from), fmt.Sprintf("Content-Length: %d", 100-from)) + "x")
	c.Linger()
}

func inTurn(scripts ...testpeer.Script) func(*testing.T) server {
	return every(testpeer.InTurn(scripts...))
}
