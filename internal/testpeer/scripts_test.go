package testpeer

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestScriptsSeenByNetHTTP holds what a plain client makes of each script.
func TestScriptsSeenByNetHTTP(t *testing.T) {
	verifyNoLeak(t)
	cases := []struct {
		name   string
		script Script
		check  func(*testing.T, result)
	}{
		{"ok", OK, answers(200, "ok")},
		{"reset before head", ResetBeforeHead, fails(syscall.ECONNRESET)},
		{"close before head", CloseBeforeHead, fails(io.EOF)},
		{"reset mid head", ResetMidHead, fails(io.ErrUnexpectedEOF)},
		{"close mid head", CloseMidHead, fails(io.ErrUnexpectedEOF)},
		{"close mid line", CloseMidLine, fails("malformed MIME header")},
		{"not HTTP", NotHTTP, fails("malformed HTTP response")},
		{"speaks first", SpeaksFirst, fails("")},
		{"HTTP/0.9", HTTP09, fails("malformed HTTP")},
		{"HTTP/1.0", HTTP10, answers(200, "hello")},
		{"bad status line", BadStatusLine, fails("malformed HTTP status code")},
		{"status 42", Status("42"), fails("malformed HTTP status code")},
		{"status 999", Status("999"), answers(999, "odd")},
		{"reason", Reason, holds(418, "odd", func(r result) bool { return r.Response.Status == "418 Short And Stout" })},
		{"trickle head", TrickleHead(10, time.Millisecond), answers(200, "ok")},
		{"endless head", EndlessHead, fails("exceeded")},
		{"endless line", EndlessLine, fails("exceeded")},
		{"huge header", HugeHeader(1 << 20), holds(200, "ok", func(r result) bool { return len(r.Header.Get("X-Huge")) == 1<<20 })},
		{"many headers", ManyHeaders(100_000), holds(200, "ok", func(r result) bool { return len(r.Header) == 100_001 })},
		{"bare LF", BareLF, answers(200, "ok")},
		{"folded header", FoldedHeader, holds(200, "ok", func(r result) bool { return r.Header.Get("X-Folded") == "one two" })},
		{"spaced header", SpacedHeader, holds(200, "ok", func(r result) bool { return r.Header["X-Spaced "] != nil && r.Header["X-Spaced"] == nil })},
		{"NUL header", NULHeader, fails("malformed MIME header")},
		{"1xx flood", Flood1xx(3), answers(200, "ok")},
		{"endless 1xx", Flood1xx(-1), fails("exceeded")},
		{"early hints", EarlyHints, answers(200, "ok")},
		{"100 unasked", ContinueUnasked, answers(200, "ok")},
		{"cut body", CutBody, cut(io.ErrUnexpectedEOF)},
		{"cut body by reset", CutBodyReset, cut(syscall.ECONNRESET)},
		{"cut chunk", CutChunk, cut(io.ErrUnexpectedEOF)},
		{"cut chunk by reset", CutChunkReset, cut(syscall.ECONNRESET)},
		{"cut before the last chunk", CutLastChunk, cut(io.ErrUnexpectedEOF)},
		{"bad chunk size", BadChunkSize, fails("invalid byte in chunk length")},
		{"huge chunk size", HugeChunkSize, fails("chunk length too large")},
		{"close-delimited", CloseDelimited, answers(200, "whole")},
		{"close-delimited, reset", CloseDelimitedReset, cut(syscall.ECONNRESET)},
		{"trickle body", TrickleBody("slowly", 1, time.Millisecond), answers(200, "slowly")},
		{"length and chunked", LengthAndChunked, answers(200, "chunked")},
		{"two lengths", TwoLengths, fails("Content-Length")},
		{"negative length", NegativeLength, fails("Content-Length")},
		{"set-cookie", SetCookies, holds(200, "ok", func(r result) bool { return len(r.Cookies()) == 3 })},
		{"repeated headers", RepeatedHeaders, holds(200, "ok", func(r result) bool {
			return strings.Join(r.Header.Values("X-Many"), ",") == "one,two,three"
		})},
		{"latin-1 header", Latin1Header, holds(200, "ok", func(r result) bool { return r.Header.Get("X-Name") == "M\xfcller" })},
		{"no content type", NoContentType, holds(200, `{"n":1}`, func(r result) bool { return r.Header["Content-Type"] == nil })},
		{"204", NoContent, answers(204, "")},
		{"304", NotModified, answers(304, "")},
		{"trailers", Trailers, holds(200, "hello", func(r result) bool {
			return strings.Join(r.Trailer.Values("X-Checksum"), ",") == "abc,def" && r.Trailer.Get("X-Surprise") == "boo"
		})},
		{"unknown coding", UnknownCoding, holds(200, "snafu", func(r result) bool { return r.Header.Get("Content-Encoding") == "snafu" })},
		{"empty gzip", EmptyGzip, answers(200, "")},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			verifyNoLeak(t)
			tc.check(t, do(newClient(t), "GET", Raw(t, tc.script).URL, nil))
		})
	}
}

func answers(status int, body string) func(*testing.T, result) {
	return holds(status, body, func(result) bool { return true })
}

func holds(status int, body string, also func(result) bool) func(*testing.T, result) {
	return func(t *testing.T, r result) {
		t.Helper()
		if r.err != nil {
			t.Fatalf("got error %v, want status %d", r.err, status)
		}
		if r.StatusCode != status || r.body != body {
			t.Errorf("got %d %q, want %d %q", r.StatusCode, r.body, status, body)
		}
		if !also(r) {
			t.Errorf("got %s, headers %v, trailers %v", r.Response.Status, r.Header, r.Trailer)
		}
	}
}

// cut checks that "part" arrived and then the error.
func cut(want error) func(*testing.T, result) {
	return func(t *testing.T, r result) {
		t.Helper()
		if r.body != "part" || !errors.Is(r.err, want) {
			t.Errorf("got %q, %v, want part, %v", r.body, r.err, want)
		}
	}
}

func TestStalls(t *testing.T) {
	verifyNoLeak(t)
	cases := []struct {
		name   string
		script Script
		first  string
	}{
		{"on accept", StallOnAccept, ""},
		{"mid head", StallMidHead, halfHead},
		{"before body", StallBeforeBody, Lines("HTTP/1.1 200 OK", "Content-Length: 100")},
		{"mid body", StallMidBody, Lines("HTTP/1.1 200 OK", "Content-Length: 100") + "part"},
		{"101", SwitchingProtocols, "HTTP/1.1 101 "},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := Raw(t, tc.script)
			conn := dial(t, s.Addr)
			_, _ = io.WriteString(conn, plainGet)
			expect(t, conn, tc.first)
			if tc.name != "101" {
				expectSilence(t, conn)
			}
			_ = conn.Close()
			s.AwaitEnded(1)
		})
	}
}

func TestOnAccept(t *testing.T) {
	verifyNoLeak(t)
	conn, err := net.Dial("tcp", Raw(t, ResetOnAccept).Addr) // may fail already
	if err == nil {
		_, err = io.ReadAll(conn)
		_ = conn.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset on accept: %v, want ECONNRESET", err)
	}
	if b, err := io.ReadAll(dial(t, Raw(t, CloseOnAccept).Addr)); err != nil || len(b) != 0 {
		t.Errorf("close on accept: read %q, %v, want EOF", b, err)
	}
}

func TestResetsOnTheSocket(t *testing.T) {
	verifyNoLeak(t)
	for want, script := range map[string]Script{
		"":       ResetBeforeHead,
		halfHead: ResetMidHead,
		Lines("HTTP/1.1 200 OK", "Content-Length: 100") + "part": CutBodyReset,
	} {
		if got, err := converse(t, Raw(t, script).Addr, plainGet); got != want || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %q, %v, want %q, ECONNRESET", got, err, want)
		}
	}
}

func TestFreezeBlocksUpload(t *testing.T) {
	verifyNoLeak(t)
	conn := dial(t, Raw(t, FreezeOnAccept).Addr)
	_ = conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	n, err := conn.Write(make([]byte, 64<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("wrote %d bytes, %v, want a full window", n, err)
	}
}

func TestStaleConnections(t *testing.T) {
	verifyNoLeak(t)
	cases := []struct {
		name   string
		script Script
		want   error
	}{
		{"stale", StaleAfter(2), nil},
		{"stale reset", StaleResetAfter(2), syscall.ECONNRESET},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := Raw(t, tc.script)
			conn := dial(t, s.Addr)
			for range 2 {
				_, _ = io.WriteString(conn, plainGet)
				expect(t, conn, Response(200, "ok"))
			}
			expectSilence(t, conn) // the connection is alive until it is used
			_, _ = io.WriteString(conn, plainGet)
			if b, err := io.ReadAll(conn); !errors.Is(err, tc.want) || len(b) != 0 {
				t.Errorf("third request: read %q, %v, want nothing, %v", b, err, tc.want)
			}
			_ = conn.Close()
			s.AwaitEnded(1)
			if got := len(s.Requests()); got != 3 {
				t.Errorf("captured %d requests, want 3", got)
			}
			// net/http reuses the connection too, and does not resend a POST.
			c := newClient(t)
			for i, ok := range []bool{true, true, false, true} {
				if r := do(c, "POST", s.URL, strings.NewReader("x")); (r.err == nil) != ok {
					t.Errorf("POST %d: got error %v, want success %t", i, r.err, ok)
				}
			}
			if s.Conns() != 3 {
				t.Errorf("Conns() = %d, want 3", s.Conns())
			}
		})
	}
}

func TestCloseAfter(t *testing.T) {
	verifyNoLeak(t)
	conn := dial(t, Raw(t, CloseAfter(1)).Addr)
	_, _ = io.WriteString(conn, plainGet)
	if b, err := io.ReadAll(conn); err != nil || string(b) != Response(200, "ok") {
		t.Errorf("read %q, %v, want one response and EOF", b, err)
	}
}

func TestPoisonFollowsTheResponse(t *testing.T) {
	verifyNoLeak(t)
	conn := dial(t, Raw(t, GarbageAfter).Addr)
	_, _ = io.WriteString(conn, plainGet)
	expect(t, conn, Response(200, "ok")+Response(200, "poison"))
	_, _ = io.WriteString(conn, plainGet)
	expect(t, conn, Response(200, "ok"))

	conn = dial(t, Raw(t, BodyOn204).Addr)
	_, _ = io.WriteString(conn, plainGet)
	expect(t, conn, Lines("HTTP/1.1 204 No Content", "Content-Length: 6")+"poison")
}

func TestEarlyAnswers(t *testing.T) {
	verifyNoLeak(t)
	const head = "POST / HTTP/1.1\r\nContent-Length: 100000000\r\n\r\nfirst"
	want := Response(413, "too large", "Connection: close")
	for name, script := range map[string]Script{"stall": EarlyAnswer, "freeze": EarlyAnswerFreeze, "reset": EarlyAnswerReset} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, Raw(t, script).Addr)
			_, _ = io.WriteString(conn, head)
			expect(t, conn, want)
			if name == "reset" {
				if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("after the answer: %v, want ECONNRESET", err)
				}
				return
			}
			if name == "freeze" {
				_ = conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			}
			_, err := conn.Write(make([]byte, 32<<20))
			if blocked := errors.Is(err, os.ErrDeadlineExceeded); blocked != (name == "freeze") {
				t.Errorf("the rest of the upload: %v", err)
			}
		})
	}
}

func TestContinueOddities(t *testing.T) {
	verifyNoLeak(t)
	cases := []struct {
		name   string
		script Script
		status int
	}{
		{"twice", ContinueTwice, 200},
		{"withheld", ContinueWithheld, 200},
		{"then fail", ContinueThenFail, 500},
		{"refused", ExpectRefused, 417},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := Raw(t, tc.script)
			req, err := http.NewRequest("POST", s.URL, strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Expect", "100-continue")
			resp, err := newClient(t).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != tc.status {
				t.Errorf("got %s, want %d", resp.Status, tc.status)
			}
			sent := strings.HasSuffix(string(s.Requests()[0]), "\r\n\r\nbody")
			if want := tc.status == 200; sent != want {
				t.Errorf("body read: %t, want %t", sent, want)
			}
		})
	}
}

func TestHeadGzip(t *testing.T) {
	verifyNoLeak(t)
	s := Raw(t, HeadGzip)
	c := newClient(t)
	for range 2 {
		holds(200, "", func(r result) bool {
			return r.ContentLength == 1234 && r.Header.Get("Content-Encoding") == "gzip"
		})(t, do(c, "HEAD", s.URL, nil))
	}
	if s.Conns() != 1 {
		t.Errorf("Conns() = %d, want 1: HEAD has no body to wait for", s.Conns())
	}
}

func TestEndlessBodyStopsWithItsClient(t *testing.T) {
	verifyNoLeak(t)
	s := Raw(t, EndlessBody)
	resp, err := newClient(t).Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	const enough = 10 << 20
	n, err := io.CopyN(io.Discard, resp.Body, enough)
	_ = resp.Body.Close()
	if n != enough {
		t.Errorf("read %d, %v, want %d", n, err, enough)
	}
	s.AwaitEnded(1)
	if s.Sent() < enough {
		t.Errorf("Sent() = %d, want %d at least", s.Sent(), enough)
	}
}

func TestCodings(t *testing.T) {
	verifyNoLeak(t)
	cases := []struct {
		name   string
		script Script
		coding string
		size   int64
		err    error
	}{
		{"good", Gzip("hello"), "gzip", 5, nil},
		{"truncated", GzipTruncated, "gzip", -1, io.ErrUnexpectedEOF},
		{"bad checksum", GzipBadChecksum, "gzip", 5, gzip.ErrChecksum},
		{"garbage", GzipGarbage, "gzip", 0, gzip.ErrHeader},
		{"bomb", GzipBomb(10 << 20), "gzip", 10 << 20, nil},
		{"bomb on a redirect", GzipBombRedirect("/next", 1<<20), "gzip", 1 << 20, nil},
		{"double", GzipTimes("hello", 2), "gzip, gzip", int64(len(gzipped("hello"))), nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := Raw(t, tc.script)
			c := newClient(t)
			r := do(c, "GET", s.URL, nil)
			if r.err != nil {
				t.Fatal(r.err)
			}
			if got := r.Header.Get("Content-Encoding"); got != tc.coding {
				t.Errorf("Content-Encoding %q, want %q", got, tc.coding)
			}
			n, err := gunzip(r.body)
			if !errors.Is(err, tc.err) || (tc.size >= 0 && n != tc.size) {
				t.Errorf("decoded %d bytes, %v, want %d, %v", n, err, tc.size, tc.err)
			}
			if r = do(c, "GET", s.URL, nil); r.err != nil || s.Conns() != 1 {
				t.Errorf("second request: %v on connection %d, want the first connection reused", r.err, s.Conns())
			}
		})
	}
}

func gunzip(coded string) (int64, error) {
	r, err := gzip.NewReader(bytes.NewReader([]byte(coded)))
	if err != nil {
		return 0, err
	}
	return io.Copy(io.Discard, r)
}

func TestRedirects(t *testing.T) {
	verifyNoLeak(t)
	c := newClient(t)
	for _, o := range OddLocations("http://127.0.0.1:1") {
		got, err := converse(t, Raw(t, RedirectTo(308, o.Location)).Addr, "GET / HTTP/1.0\r\n\r\n")
		if err != nil || !strings.Contains(got, "\r\nLocation: "+o.Location+"\r\n") {
			t.Errorf("%s: got %q, %v", o.Name, got, err)
		}
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		r := do(c, "GET", Raw(t, RedirectNowhere(status)).URL, nil)
		if r.err != nil || r.StatusCode != status || r.Header["Location"] != nil {
			t.Errorf("nowhere %d: %+v", status, r)
		}
	}
	r := do(c, "GET", Raw(t, RedirectLoop(302)).URL+"/a?b", nil)
	if r.err != nil || r.Header.Get("Location") != "/a?b" {
		t.Errorf("loop: %+v", r)
	}
}

func TestRedirectChainEndsInAnEcho(t *testing.T) {
	verifyNoLeak(t)
	s := Raw(t, RedirectChain(307, 3))
	c := newClient(t)
	c.CheckRedirect = nil
	r := do(c, "POST", s.URL+"/start", strings.NewReader("body"))
	if r.err != nil {
		t.Fatal(r.err)
	}
	e := ReadEcho(t, strings.NewReader(r.body))
	if e.RequestURI != "/hop/3" || e.Method != "POST" || string(e.Body) != "body" || len(s.Requests()) != 4 {
		t.Errorf("got %s %s %q after %d requests", e.Method, e.RequestURI, e.Body, len(s.Requests()))
	}
}
