package streamtest

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// continueCases wait for `100 Continue` before the body.
func continueCases() []testCase {
	const expect = `{"url":"http://{peer}/","method":"POST","stream":{},"expect_continue":true}`
	expected := raw(func(t *testing.T, r string) {
		has(t, r, "Expect: 100-continue\r\n")
		has(t, r, "hello")
	})
	headOnly := func(t *testing.T, s *testpeer.RawServer) {
		s.AwaitEnded(1)
		raw(func(t *testing.T, r string) {
			has(t, r, "Expect: 100-continue\r\n")
			lacks(t, r, "hello")
		})(t, s)
	}
	return []testCase{
		{name: "100 comes", script: testpeer.OK, in: expect, upload: sends("hello"), sent: expected, want: want{body: "ok", sentBytes: 5}},
		{name: "100 comes twice", script: testpeer.ContinueTwice, in: expect, upload: sends("hello"), sent: expected,
			want: want{body: "ok", sentBytes: 5}},
		{name: "100 is withheld", script: testpeer.ContinueWithheld, in: expect, upload: sends("hello"), sent: expected,
			want: want{body: "ok", sentBytes: 5}},
		{name: "100 is refused", script: testpeer.ExpectRefused, in: expect, upload: sends("hello"), sent: headOnly,
			want: want{status: 417, body: "no"}},
		{name: "100, then failure amid the upload", script: testpeer.ContinueThenFail, in: expect,
			upload: func(u *uploader) { u.start(); u.endless() }, want: want{status: 500, body: "no", sentBytes: anyBytes}},
		{name: "100 unasked", script: testpeer.ContinueUnasked, in: post, upload: sends("hello"), want: want{body: "ok", sentBytes: 5},
			sent: raw(func(t *testing.T, r string) { lacks(t, r, "Expect") })},
		{name: "307 instead of 100", in: expect, upload: sends("hello"),
			script: testpeer.InTurn(func(c *testpeer.RawConn) {
				c.ReadHead()
				c.Write(testpeer.Response(307, "", "Location: /next", "Connection: close"))
				c.Linger()
			}, testpeer.OK),
			want: want{body: "ok", sentBytes: 5, history: []string{"POST 307 -> /next"},
				attempts: []string{"FIRST POST ANSWERED 307", "hop 1 FIRST POST ANSWERED 200"}}},
	}
}

// overTLS is an upstream by net/http over TLS, HTTP/2 included.
func overTLS(handler http.HandlerFunc) func(t *testing.T, w *world) string {
	return func(t *testing.T, w *world) string {
		cert := w.ca.Issue(testpeer.CertOpts{IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
		return testpeer.TLS(t, handler, cert, testpeer.TLSOpts{})
	}
}

// trailerCases are fields behind the body, in both directions.
func trailerCases() []testCase {
	const announced = `{"url":"{scheme}://{peer}/","method":"POST","stream":{},"headers":[{"name":"Trailer","value":"X-Sum"}]}`
	over := func(scheme, in string) string { return replace(in, "{scheme}", scheme) }
	// mirror sends the request's trailers back as X-Got.
	mirror := overTLS(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // torn: no answer
		}
		w.Header().Set("Trailer", "X-Got")
		_, _ = w.Write(body)
		w.Header().Set("X-Got", r.Trailer.Get("X-Sum"))
		w.Header().Set(http.TrailerPrefix+"X-Late", "unannounced")
	})
	both := func(u *uploader) { u.start(); u.chunks("hello"); u.end("X-Sum: abc") }
	badTrailer := want{status: noHead, kind: "INVALID_REQUEST", attempts: []string{"FIRST POST MAYBE_PROCESSED INVALID_REQUEST"}}
	withLength, connection, early := badTrailer, badTrailer, badTrailer
	withLength.fields = []string{"end.trailers"}
	connection.fields = []string{"end.trailers[0].name"}
	early.fields, early.attempts, early.untried = []string{"headers[0].value"}, nil, true
	return []testCase{
		{name: "trailers down, announced and not", script: testpeer.Trailers,
			want: want{body: "hello", trailers: []string{"X-Checksum: abc", "X-Checksum: def", "X-Surprise: boo"}}},
		{name: "trailers up, announced", script: testpeer.OK, in: over("http", announced), upload: both, want: want{body: "ok", sentBytes: 5},
			sent: raw(func(t *testing.T, r string) {
				has(t, r, "Trailer: X-Sum\r\n")
				has(t, r, "0\r\nX-Sum: abc\r\n\r\n")
			})},
		{name: "trailers up, not announced", script: testpeer.OK, in: post, upload: both, want: want{body: "ok", sentBytes: 5},
			sent: raw(func(t *testing.T, r string) { has(t, r, "0\r\nX-Sum: abc\r\n\r\n") })},
		{name: "trailers announced that do not come", script: testpeer.OK, in: over("http", announced), upload: sends("hello"),
			want: want{body: "ok", sentBytes: 5}, sent: raw(func(t *testing.T, r string) { has(t, r, "0\r\n\r\n") })},
		{name: "trailers over HTTP/2, announced", peer: mirror, in: over("https", announced), upload: both,
			want: want{version: "2", body: "hello", sentBytes: 5, trailers: []string{"X-Got: abc", "X-Late: unannounced"}}},
		{name: "trailers over HTTP/2, not announced", peer: mirror, in: `{"url":"https://{peer}/","method":"POST","stream":{}}`, upload: both,
			want: want{status: noHead, kind: "UPLOAD_INCOMPLETE", says: []string{"trailers must be announced"},
				attempts: []string{"FIRST POST MAYBE_PROCESSED UPLOAD_INCOMPLETE"}}},
		{name: "trailers behind an announced length", script: testpeer.OK, upload: both, want: withLength,
			in: `{"url":"http://{peer}/","method":"POST","stream":{"content_length":5}}`},
		{name: "a trailer that may be none", script: testpeer.OK, in: post, want: connection, sent: torn,
			upload: func(u *uploader) { u.start(); u.chunks("hello"); u.end("Content-Length: 5") }},
		{name: "a trailer announced that may be none", script: testpeer.OK, upload: both, want: early,
			in: `{"url":"http://{peer}/","method":"POST","stream":{},"headers":[{"name":"Trailer","value":"Content-Length"}]}`},
	}
}
