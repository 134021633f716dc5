package streamtest

import (
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// emptyCases are answers that have no body, whatever their head says.
func emptyCases() []testCase {
	head := `{"url":"http://{peer}/","method":"HEAD"}`
	return []testCase{
		{name: "HEAD", script: testpeer.Answer(testpeer.Lines("HTTP/1.1 200 OK", "Content-Length: 1234")), in: head,
			want: want{headers: []string{"Content-Length: 1234"}}},
		{name: "HEAD of a gzip body", script: testpeer.HeadGzip, in: head, want: want{headers: []string{"Content-Encoding: gzip"}}},
		{name: "204", script: testpeer.NoContent, want: want{status: 204}},
		{name: "204 with a body", script: testpeer.BodyOn204, want: want{status: 204}},
		{name: "304", script: testpeer.NotModified, want: want{status: 304, headers: []string{`Etag: "v1"`}}},
		{name: "204 to an upload", script: testpeer.NoContent, in: post, upload: sends("hello"), want: want{status: 204, sentBytes: 5}},
		{name: "an empty body", script: testpeer.Answer(testpeer.Response(404, "")), want: want{status: 404}},
	}
}

// redirectCases are redirects with a body that can be sent only once.
func redirectCases() []testCase {
	// early redirects on the head alone and leaves the upload.
	early := func(status int) testpeer.Script {
		return testpeer.InTurn(func(c *testpeer.RawConn) {
			c.ReadHead()
			c.ReadSome() // of the body: it is spent
			c.Write(testpeer.Response(status, "", "Location: /next", "Connection: close"))
			c.Linger()
		}, testpeer.OK)
	}
	endless := func(u *uploader) { u.start(); u.endless() }
	hops := func(first, then string) []string {
		return []string{"FIRST POST ANSWERED " + first, "hop 1 FIRST " + then + " ANSWERED 200"}
	}
	stopped := func(status int) want {
		return want{status: status, body: "over there\n", stopped: "one-shot body", sentBytes: 5}
	}
	return []testCase{
		{name: "307 of a spent upload", script: testpeer.RedirectTo(307, "/next"), in: post, upload: sends("hello"), want: stopped(307)},
		{name: "308 of a spent upload", script: testpeer.RedirectTo(308, "/next"), in: post, upload: sends("hello"), want: stopped(308)},
		{name: "302 of a spent PUT", script: testpeer.RedirectTo(302, "/next"), in: put, upload: sends("hello"), want: stopped(302)},
		{name: "303 of an upload", in: post, upload: sends("hello"),
			script: testpeer.InTurn(func(c *testpeer.RawConn) {
				c.ReadRequest()
				c.Write(testpeer.Response(303, "", "Location: /next", "Connection: close"))
				c.Linger()
			}, testpeer.OK),
			want: want{body: "ok", sentBytes: 5, history: []string{"POST 303 -> /next"}, attempts: hops("303", "GET")}},
		{name: "303 amid an upload", script: early(303), in: post, upload: endless,
			want: want{body: "ok", sentBytes: anyBytes, history: []string{"POST 303 -> /next"}, attempts: hops("303", "GET")}},
		{name: "302 of a POST amid an upload", script: early(302), in: post, upload: endless,
			want: want{body: "ok", sentBytes: anyBytes, history: []string{"POST 302 -> /next"}, attempts: hops("302", "GET")}},
		{name: "307 amid an upload", script: early(307), in: post, upload: endless,
			want: want{status: 307, stopped: "one-shot body", sentBytes: anyBytes}},
		{name: "307 of a body at hand", in: `{"url":"http://{peer}/","method":"POST","text":"hello"}`,
			script: testpeer.InTurn(func(c *testpeer.RawConn) {
				c.ReadRequest()
				c.Write(testpeer.Response(307, "", "Location: /next", "Connection: close"))
				c.Linger()
			}, testpeer.OK),
			want: want{body: "ok", sentBytes: 10, history: []string{"POST 307 -> /next"}, attempts: hops("307", "POST")}},
		{name: "a redirect not wanted", script: testpeer.RedirectTo(302, "/next"), in: `{"url":"http://{peer}/","redirects":{"mode":"NONE"}}`,
			want: want{status: 302, body: "over there\n", stopped: "mode"}},
		{name: "one redirect too many", script: testpeer.RedirectLoop(302), in: `{"url":"http://{peer}/","redirects":{"max":1}}`,
			want: want{status: noHead, kind: "TOO_MANY_REDIRECTS",
				attempts: []string{"FIRST GET ANSWERED 302", "hop 1 FIRST GET ANSWERED 302"}}},
	}
}

// limitCases are bounds that the caller or policy sets.
func limitCases() []testCase {
	with := func(more string) string { return `{"url":"http://{peer}/",` + more + `}` }
	small := func(more string) string { return `{"url":"http://small.test:{port}/"` + more + `}` }
	big := testpeer.Answer(testpeer.Response(200, kib64))
	chunked := testpeer.EndlessBody
	at := func(status string) testpeer.Script { return testpeer.StatusLine("HTTP/1.1 " + status) }
	over := func(n int) want {
		return want{body: strings.Repeat("x", n), kind: "RESPONSE_TOO_LARGE"}
	}
	return []testCase{
		{name: "max_response_bytes of an endless body", script: chunked, in: with(`"max_response_bytes":50000`), want: over(50000)},
		{name: "max_response_bytes, cut as allowed", script: chunked, in: with(`"max_response_bytes":50000,"allow_truncated":true`),
			want: want{body: strings.Repeat("x", 50000), truncated: true, received: anyBytes}},
		{name: "max_response_bytes that fits", script: big, in: with(`"max_response_bytes":65536`), want: want{body: kib64}},
		{name: "max_response_bytes that just does not fit what is announced", script: big, in: with(`"max_response_bytes":65535`),
			want: want{status: noHead, kind: "RESPONSE_TOO_LARGE", attempts: []string{"FIRST GET ANSWERED 200 RESPONSE_TOO_LARGE"}}},
		{name: "max_response_bytes that fits, if cutting were allowed", script: big, in: with(`"max_response_bytes":65536,"allow_truncated":true`),
			want: want{body: kib64}},
		{name: "max_response_bytes counts what is decoded", in: with(`"max_response_bytes":1000`),
			script: testpeer.Gzip(strings.Repeat("x", 1001)),
			want:   want{body: strings.Repeat("x", 1000), decoded: "gzip", kind: "RESPONSE_TOO_LARGE"}},
		{name: "max_response_bytes cuts what is decoded", in: with(`"max_response_bytes":1000,"allow_truncated":true`),
			script: testpeer.Gzip(strings.Repeat("x", 1001)),
			want:   want{body: strings.Repeat("x", 1000), decoded: "gzip", truncated: true, received: anyBytes}},
		{name: "more than policy lets a Fetch take", script: big, in: small(""), want: want{body: kib64}},
		{name: "more than policy lets a Fetch ask for", script: big, in: small(`,"max_response_bytes":65536`), want: want{body: kib64}},
		{name: "more upload than policy lets a Fetch send", script: testpeer.OK, in: small(`,"method":"POST","stream":{}`),
			upload: sends(kib64), want: want{body: "ok", sentBytes: 65536}},
		{name: "more body at hand than policy takes", script: testpeer.OK, in: small(`,"method":"POST","text":"` + kib64[:1025] + `"`),
			want: want{status: noHead, kind: "REQUEST_TOO_LARGE", untried: true}},
		{name: "a clock over policy's bound", script: testpeer.OK, in: small(`,"timeouts":{"total":"30s"}`),
			want: want{status: noHead, kind: "INVALID_REQUEST", fields: []string{"timeouts.total"}, untried: true}},
		{name: "fail_on_status", script: at("503 Busy"), in: with(`"fail_on_status":true`),
			want: want{status: noHead, kind: "UPSTREAM_STATUS", upstreamStatus: "503", attempts: []string{"FIRST GET ANSWERED 503"}}},
		{name: "fail_on_status of a good one", script: at("299 Good"), in: with(`"fail_on_status":true`), want: want{status: 299, body: "odd"}},
		{name: "a bad status is an answer", script: at("503 Busy"), want: want{status: 503, body: "odd"}},
	}
}

// headCases are odd heads.
func headCases() []testCase {
	return []testCase{
		{name: "1xx before the head", script: testpeer.EarlyHints, want: want{body: "ok"}},
		{name: "many 1xx before the head", script: testpeer.Flood1xx(20), want: want{body: "ok"}},
		{name: "1xx without end", script: testpeer.Flood1xx(-1), want: want{status: noHead, kind: "RESPONSE_HEADER_TOO_LARGE",
			attempts: []string{"FIRST GET MAYBE_PROCESSED RESPONSE_HEADER_TOO_LARGE"}}},
		{name: "1xx amid an upload", in: post, upload: sends("hello"), want: want{body: "ok", sentBytes: 5},
			script: func(c *testpeer.RawConn) {
				h := c.ReadHead()
				c.Write(testpeer.Lines("HTTP/1.1 102 Processing"))
				c.ReadBody(h)
				c.Write(testpeer.Lines("HTTP/1.1 103 Early Hints", "Link: </a>") + testpeer.Response(200, "ok"))
				c.Stall()
			}},
		{name: "a head without end", script: testpeer.EndlessHead, want: want{status: noHead, kind: "RESPONSE_HEADER_TOO_LARGE",
			attempts: []string{"FIRST GET MAYBE_PROCESSED RESPONSE_HEADER_TOO_LARGE"}}},
		{name: "HTTP/1.0", script: testpeer.HTTP10, want: want{version: "1.0", body: "hello"}},
		{name: "no HTTP", script: testpeer.NotHTTP, want: want{status: noHead, kind: "BAD_RESPONSE", safe: true,
			attempts: []string{"FIRST GET MAYBE_PROCESSED BAD_RESPONSE"}}},
		{name: "101", script: testpeer.SwitchingProtocols, want: want{status: noHead, kind: "BAD_RESPONSE", safe: true,
			attempts: []string{"FIRST GET MAYBE_PROCESSED BAD_RESPONSE"}}},
		{name: "two lengths", script: testpeer.TwoLengths, want: want{status: noHead, kind: "BAD_RESPONSE", safe: true,
			attempts: []string{"FIRST GET MAYBE_PROCESSED BAD_RESPONSE"}}},
		{name: "poison behind the answer", script: testpeer.GarbageAfter, want: want{body: "ok"},
			sent: func(t *testing.T, s *testpeer.RawServer) { s.AwaitRequests(1) }},
	}
}
