package streamtest

import (
	"strings"
	"testing"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// tornCases are callers that break the rules of the stream.
func tornCases() []testCase {
	drain := func(c *testpeer.RawConn) {
		c.ReadBody(c.ReadHead())
		c.Write(testpeer.Response(200, "whole"))
		c.Stall()
	}
	half := func(chunks ...string) func(*uploader) {
		return func(u *uploader) { u.start(); u.chunks(chunks...); u.closeSend() }
	}
	failed := func(kind string, says ...string) want {
		return want{status: noHead, kind: kind, says: says, attempts: []string{"FIRST POST MAYBE_PROCESSED " + kind}}
	}
	untried := func(kind string, fields ...string) want {
		return want{status: noHead, kind: kind, fields: fields, untried: true}
	}
	sized := func(n string) string {
		return `{"url":"http://{peer}/","method":"POST","stream":{"content_length":` + n + `}}`
	}
	// short holds that less than the announced bytes got through.
	short := func(whole string) func(*testing.T, *testpeer.RawServer) {
		return func(t *testing.T, s *testpeer.RawServer) {
			s.AwaitEnded(1)
			for _, r := range s.Requests() {
				lacks(t, string(r), "\r\n\r\n"+whole)
			}
		}
	}
	unreached := func(t *testing.T, s *testpeer.RawServer) {
		if n := s.Conns(); n != 0 {
			t.Errorf("the upstream was reached by %d connections", n)
		}
	}
	again := failed("INVALID_REQUEST", "came twice")
	again.fields = []string{"start"}
	big := failed("INVALID_REQUEST")
	big.fields = []string{"chunk"}
	return []testCase{
		{name: "half-close without end", script: drain, in: post, upload: half("part"), sent: torn,
			want: failed("UPLOAD_INCOMPLETE", "without `end`")},
		{name: "half-close without end or chunk", script: drain, in: post, upload: half(), sent: torn,
			want: failed("UPLOAD_INCOMPLETE", "without `end`")},
		{name: "half-close without end, all announced bytes sent", script: drain, in: sized("5"), upload: half("hel", "lo"),
			sent: short("hello"), want: failed("UPLOAD_INCOMPLETE", "without `end`")},
		{name: "half-close behind the head", in: post, sent: torn,
			script: func(c *testpeer.RawConn) {
				h := c.ReadHead()
				c.Write(testpeer.Lines("HTTP/1.1 200 OK", "Content-Length: 100") + "part")
				c.ReadBody(h)
			},
			upload: func(u *uploader) { u.start(); u.awaitBody(); u.closeSend() },
			want:   want{body: "part", kind: "UPLOAD_INCOMPLETE", says: []string{"without `end`"}}},
		{name: "too few bytes", script: drain, in: sized("6"), upload: sends("hello"), sent: short("hello!"),
			want: failed("UPLOAD_INCOMPLETE", "5 bytes came and content_length said 6")},
		{name: "too many bytes in one chunk", script: drain, in: sized("5"), upload: sends("hello!"), sent: short("hello"),
			want: failed("UPLOAD_TOO_LONG", "6 bytes came and content_length said 5")},
		{name: "too many bytes in another chunk", script: drain, in: sized("5"), upload: sends("hello", "!"), sent: short("hello"),
			want: failed("UPLOAD_TOO_LONG", "6 bytes came and content_length said 5")},
		{name: "a byte where none was announced", script: drain, in: sized("0"), upload: sends("!"), sent: unreached,
			want: untried("UPLOAD_TOO_LONG")},
		{name: "half-close where no byte was announced", script: drain, in: sized("0"), upload: half(), sent: unreached,
			want: untried("UPLOAD_INCOMPLETE")},
		{name: "no byte, as announced", script: testpeer.OK, in: sized("0"), upload: sends(), want: want{body: "ok"},
			sent: raw(func(t *testing.T, r string) { has(t, r, "Content-Length: 0\r\n") })},
		{name: "start twice", script: drain, in: post, upload: func(u *uploader) { u.start(); u.start(); u.end() }, sent: torn, want: again},
		{name: "start amid chunks", script: drain, in: post, sent: torn, want: again,
			upload: func(u *uploader) { u.start(); u.chunks("part"); u.start(); u.chunks("more"); u.end() }},
		{name: "chunk first", script: drain, in: post, upload: func(u *uploader) { u.chunks("part"); u.end() }, sent: unreached,
			want: untried("INVALID_REQUEST", "start")},
		{name: "end first", script: drain, in: post, upload: func(u *uploader) { u.end() }, sent: unreached,
			want: untried("INVALID_REQUEST", "start")},
		{name: "nothing at all", script: drain, in: post, upload: func(u *uploader) { u.closeSend() }, sent: unreached,
			want: untried("INVALID_REQUEST", "start")},
		{name: "an empty message", script: drain, in: post, sent: unreached, want: untried("INVALID_REQUEST", "message"),
			upload: func(u *uploader) { _ = u.send(&fetchsvcv1.StreamRequest{}); u.closeSend() }},
		{name: "end twice", script: testpeer.OK, in: post, want: want{body: "ok", sentBytes: 5},
			upload: func(u *uploader) { u.start(); u.chunks("hello"); _ = u.send(end()); u.end() }},
		{name: "chunk behind end", script: testpeer.OK, in: post, want: want{body: "ok", sentBytes: 5},
			upload: func(u *uploader) { u.start(); u.chunks("hello"); _ = u.send(end()); u.chunks("more"); u.closeSend() }},
		{name: "a chunk over 1 MiB", script: drain, in: post, sent: torn, want: big,
			upload: sends(strings.Repeat("x", 1<<20+1))},
		{name: "an option of Fetch alone", script: testpeer.OK, in: `{"url":"http://{peer}/","as":"TEXT"}`, sent: unreached,
			want: untried("INVALID_REQUEST", "as")},
		{name: "no upstream of that name", script: testpeer.OK, in: `{"url":"http://nobody.example:{port}/"}`, sent: unreached,
			want: untried("POLICY_DENIED")},
	}
}
