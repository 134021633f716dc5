package streamtest

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

const (
	post = `{"url":"http://{peer}/","method":"POST","stream":{}}`
	put  = `{"url":"http://{peer}/","method":"PUT","stream":{}}`
)

// uploadCases are uploads that the upstream does not let come to their end.
func uploadCases() []testCase {
	// amid reads n bytes of the upload and then does what how does.
	amid := func(n int, how func(*testpeer.RawConn)) testpeer.Script {
		return func(c *testpeer.RawConn) {
			c.ReadHead()
			for n := n; n > 0; {
				n -= len(c.ReadSome())
			}
			how(c)
		}
	}
	endless := func(u *uploader) { u.start(); u.endless() }
	silent := func(u *uploader) { u.start(); u.chunks("part"); u.awaitEnd(); u.closeSend() }
	answered := want{status: 413, body: "too large", sentBytes: anyBytes}
	reset := want{status: noHead, kind: "CONNECTION_RESET", attempts: []string{"FIRST POST MAYBE_PROCESSED CONNECTION_RESET"}}
	return []testCase{
		{name: "upload", script: testpeer.OK, in: post, upload: sends("hello", " ", "world"), want: want{body: "ok", sentBytes: 11},
			sent: raw(func(t *testing.T, r string) {
				has(t, r, "Transfer-Encoding: chunked\r\n")
				has(t, r, "0\r\n\r\n")
			})},
		{name: "upload of an announced length", script: testpeer.OK, upload: sends("hello", " world"),
			in: `{"url":"http://{peer}/","method":"POST","stream":{"content_length":11}}`, want: want{body: "ok", sentBytes: 11},
			sent: raw(func(t *testing.T, r string) {
				has(t, r, "Content-Length: 11\r\n")
				has(t, r, "\r\n\r\nhello world")
			})},
		{name: "upload of nothing", script: testpeer.OK, in: post, upload: sends(), want: want{body: "ok"}},
		{name: "upload of empty chunks", script: testpeer.OK, in: post, upload: sends("", "x", ""), want: want{body: "ok", sentBytes: 1}},
		{name: "early answer, upload read on", script: testpeer.EarlyAnswer, in: post, upload: endless, want: answered},
		{name: "early answer, upload left", script: testpeer.EarlyAnswerFreeze, in: post, upload: endless, want: answered},
		{name: "early answer to a caller that waits", script: testpeer.EarlyAnswer, in: post,
			upload: func(u *uploader) { u.start(); u.awaitHead(); u.closeSend() }, want: want{status: 413, body: "too large"}},
		{name: "answer amid the upload", in: post, upload: endless, want: answered,
			script: amid(1<<20, func(c *testpeer.RawConn) {
				c.Write(testpeer.Response(413, "too large", "Connection: close"))
				c.Stall()
			})},
		{name: "RST during a POST", script: amid(100<<10, (*testpeer.RawConn).Reset), in: post, upload: endless, want: reset},
		{name: "FIN during a POST", script: amid(100<<10, (*testpeer.RawConn).Linger), in: post, upload: endless, want: reset},
		{name: "RST while the caller is silent", script: amid(len("4\r\npart\r\n"), (*testpeer.RawConn).Reset), in: post, upload: silent, want: reset},
		{name: "FIN while the caller is silent", script: amid(len("4\r\npart\r\n"), (*testpeer.RawConn).Close), in: post, upload: silent, want: reset},
		{name: "RST while the caller is silent, over TLS", upload: silent, want: reset,
			in: `{"url":"https://{peer}/","method":"POST","stream":{}}`,
			peer: func(t *testing.T, w *world) string {
				cert := w.ca.Issue(testpeer.CertOpts{IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
				return testpeer.RawTLS(t, cert, amid(len("4\r\npart\r\n"), (*testpeer.RawConn).Reset)).URL
			}},
		{name: "stream reset while the caller is silent, over HTTP/2", upload: silent, want: reset,
			in: `{"url":"https://{peer}/","method":"POST","stream":{}}`,
			peer: overTLS(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadFull(r.Body, make([]byte, len("part")))
				panic(http.ErrAbortHandler)
			})},
		{name: "RST during a PUT", script: amid(100<<10, (*testpeer.RawConn).Reset), in: put, upload: endless,
			want: want{status: noHead, kind: "CONNECTION_RESET", safe: true, attempts: []string{"FIRST PUT MAYBE_PROCESSED CONNECTION_RESET"}}},
		{name: "head, then RST during the upload", in: post,
			upload: func(u *uploader) { u.start(); u.chunks("x"); u.awaitHead(); u.endless() },
			script: amid(len("1\r\nx\r\n"), func(c *testpeer.RawConn) {
				c.Write(testpeer.Lines("HTTP/1.1 200 OK", "Content-Length: 100") + "part")
				c.ReadSome()
				c.Reset()
			}),
			want: want{body: anyBody, kind: "BODY_CUT_SHORT"}},
		{name: "upstream takes nothing", script: testpeer.FreezeOnAccept, upload: endless,
			in: `{"url":"http://{peer}/","method":"PUT","stream":{},"timeouts":{"idle":"1s"}}`,
			want: want{status: noHead, kind: "IDLE_TIMEOUT", safe: true, says: []string{"the upstream took nothing"},
				attempts: []string{"FIRST PUT MAYBE_PROCESSED IDLE_TIMEOUT"}}},
		{name: "caller sends nothing", script: testpeer.StallOnAccept,
			in:     `{"url":"http://{peer}/","method":"POST","stream":{},"timeouts":{"idle":"1s"}}`,
			upload: func(u *uploader) { u.start(); u.chunks("part"); u.awaitEnd(); u.closeSend() },
			want: want{status: noHead, kind: "UPLOAD_INCOMPLETE", says: []string{"the caller sent nothing"},
				attempts: []string{"FIRST POST MAYBE_PROCESSED UPLOAD_INCOMPLETE"}},
			sent: torn},
		{name: "no answer to a whole upload", script: testpeer.StallOnAccept, upload: sends("hello"),
			in:   `{"url":"http://{peer}/","method":"POST","stream":{},"timeouts":{"first_byte":"0.3s"}}`,
			want: want{status: noHead, kind: "FIRST_BYTE_TIMEOUT", attempts: []string{"FIRST POST MAYBE_PROCESSED FIRST_BYTE_TIMEOUT"}}},
	}
}

// raw judges the only request that the upstream read.
func raw(judge func(t *testing.T, request string)) func(*testing.T, *testpeer.RawServer) {
	return func(t *testing.T, s *testpeer.RawServer) {
		t.Helper()
		s.AwaitRequests(1)
		all := s.Requests()
		if len(all) != 1 {
			t.Errorf("the upstream got %d requests, want 1", len(all))
		}
		judge(t, string(all[len(all)-1]))
	}
}

// torn holds that the upstream's connection ended before its request looked
// whole.
func torn(t *testing.T, s *testpeer.RawServer) {
	t.Helper()
	s.AwaitEnded(1)
	for _, r := range s.Requests() {
		if strings.HasSuffix(string(r), "0\r\n\r\n") {
			t.Errorf("the torn upload looks whole to the upstream: %q", brief(string(r)))
		}
	}
}

func has(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("the upstream got %q, which lacks %q", brief(text), part)
	}
}

func lacks(t *testing.T, text, part string) {
	t.Helper()
	if strings.Contains(text, part) {
		t.Errorf("the upstream got %q, which must not have %q", brief(text), part)
	}
}
