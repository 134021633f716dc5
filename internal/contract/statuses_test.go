package contract

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// statusCases: any HTTP answer is a response, read as it came.
func statusCases() (cases []testCase) {
	for _, code := range []int{200, 201, 206, 226, 300, 304, 305, 400, 401, 404, 407, 418, 429, 500, 503, 599} {
		answer := testpeer.Response(code, "why")
		w := want{status: code, content: `bytes "why"`, received: 3, sized: 3}
		if http.StatusText(code) == "" {
			w.reason = "none"
		}
		if code == 304 {
			answer, w.content, w.received, w.sized = testpeer.Lines("HTTP/1.1 304 Not Modified"), `bytes ""`, 0, 0
		}
		cases = append(cases, testCase{name: fmt.Sprint("status ", code), peers: answers(answer), in: `{"url":"http://{peer}/"}`, want: w})
	}
	get := func(name string, script testpeer.Script, w want) testCase {
		return testCase{name: "reading " + name, peers: raw(script), in: `{"url":"http://{peer}/"}`, want: w}
	}
	link := testpeer.Answer(testpeer.Response(200, "", `Link: <next?p=2>; rel="next"; title="a, b", </last>; rel=last`, `Link: <https://e.test/>; rel="x y"; title*=UTF-8''%C3%BC`))
	cookies := testpeer.Answer(testpeer.Response(200, "", "Set-Cookie: a=1; Domain=e.test; Path=/p; Max-Age=60; Secure; SameSite=None; Partitioned",
		"Set-Cookie: gone=; Max-Age=0", "Set-Cookie: q=\"x y\"; SameSite=Strict", "Set-Cookie: no cookie at all"))
	return append(cases,
		get("999, which no registry has", testpeer.Status("999"), want{status: 999, reason: "Odd", content: `bytes "odd"`}),
		get("reason phrase of its own", testpeer.Reason, want{status: 418, reason: "Short And Stout"}),
		get("no reason phrase", testpeer.StatusLine("HTTP/1.1 200"), want{reason: "none"}),
		get("HTTP/1.0, whose body ends with the connection", testpeer.HTTP10, want{version: "1.0", content: `bytes "hello"`, received: 5}),
		get("body that ends with the connection", testpeer.CloseDelimited, want{content: `bytes "whole"`}),
		get("204 that announces a length", testpeer.NoContent, want{status: 204, content: `bytes ""`}),
		get("304 with the length of what it does not send", testpeer.NotModified, want{status: 304, content: `bytes ""`, headers: []string{"Content-Length: 1234", `Etag: "v1"`}}),
		get("headers that repeat", testpeer.RepeatedHeaders, want{headers: []string{"X-Many: one", "X-Many: two", "X-Many: three", "X-Other: between"}}),
		get("header that is not UTF-8", testpeer.Latin1Header, want{headers: []string{`X-Name:: "M\xfcller"`}}),
		get("header folded over two lines", testpeer.FoldedHeader, want{headers: []string{"X-Folded: one two"}}),
		get("head with bare line feeds", testpeer.BareLF, want{headers: []string{"X-Bare: yes"}, content: `bytes "ok"`}),
		get("Set-Cookie in order and parsed", testpeer.SetCookies, want{
			headers: []string{"Set-Cookie: a=1; Path=/", "Set-Cookie: b=2; Expires=Wed, 21 Oct 2037 07:28:00 GMT; HttpOnly", "Set-Cookie: c=3; SameSite=Lax"},
			cookies: []string{"a=1 path=/", "b=2 expires=2037-10-21T07:28:00Z httponly", "c=3 samesite=Lax"},
		}),
		get("cookie attributes", cookies, want{cookies: []string{
			"a=1 domain=e.test path=/p samesite=None max-age=60 secure partitioned", "gone= max-age=0", `q="x y" samesite=Strict`}}),
		get("Link, resolved against the URL", link, want{links: []string{
			`http://{peer}/next?p=2 next ["title: a, b"]`, `http://{peer}/last last []`, `https://e.test/ x y ["title*: ü"]`}}),
		get("trailers, announced and not", testpeer.Trailers, want{
			content: `bytes "hello"`, trailers: []string{"X-Checksum: abc", "X-Checksum: def", "X-Surprise: boo"}, received: 5}),
		get("100 that nobody asked for", testpeer.ContinueUnasked, want{content: `bytes "ok"`}),
		get("103 before the answer", testpeer.EarlyHints, want{content: `bytes "ok"`, headers: []string{"Link"}}),
		get("102 a few times", testpeer.Flood1xx(3), want{content: `bytes "ok"`}),
		get("chunks where a length is given too", testpeer.LengthAndChunked, want{content: `bytes "chunked"`}),
		get("head and body in pieces", testpeer.TrickleBody("in pieces", 4, 1), want{content: `bytes "in pieces"`}),
		testCase{
			name: "reading answer that comes before the upload is done", peers: raw(testpeer.EarlyAnswer),
			in: `{"method":"PUT","url":"http://{peer}/"}`, uneven: true,
			edit: func(in *fetchsvcv1.FetchRequest) {
				in.Body = &fetchsvcv1.FetchRequest_Raw{Raw: make([]byte, 4<<20)}
			},
			want: want{status: 413, content: `bytes "too large"`},
		},
		testCase{
			name: "fail_on_status makes 404 an error", peers: answers(testpeer.Response(404, "no")),
			in:   `{"url":"http://{peer}/","fail_on_status":true}`,
			want: want{kind: "UPSTREAM_STATUS", upstreamStatus: "404", says: []string{"404", "fail_on_status"}, attempts: []string{"FIRST GET ANSWERED 404"}},
		},
		testCase{
			name: "fail_on_status makes 500 an error", peers: answers(testpeer.Response(500, "no")),
			in:   `{"method":"POST","url":"http://{peer}/","fail_on_status":true}`,
			want: want{kind: "UPSTREAM_STATUS", upstreamStatus: "500", attempts: []string{"FIRST POST ANSWERED 500"}},
		},
		testCase{
			name: "fail_on_status lets 3xx through", peers: answers(testpeer.Response(304, "")),
			in:   `{"url":"http://{peer}/","fail_on_status":true}`,
			want: want{status: 304},
		},
		testCase{
			name: "httpbin answers", peers: httpbin, in: `{"url":"http://{peer}/base64/aGVsbG8=","as":"TEXT"}`,
			want: want{content: `text "hello"`, charset: "utf-8"},
		},
		testCase{
			name: "httpbin authenticates", peers: httpbin,
			in:   `{"url":"http://{peer}/basic-auth/u/p","headers":[{"name":"Authorization","value":"Basic dTpw"}],"as":"JSON"}`,
			want: want{content: `json {"authenticated":true,"authorized":true,"user":"u"}`},
		},
	)
}

// TestEveryStatus asks for each status from 200 to 599 and 999, by both doors.
func TestEveryStatus(t *testing.T) {
	w := newWorld(t)
	up := testpeer.Raw(t, testpeer.EachRequest(func(c *testpeer.RawConn, r testpeer.Request) {
		code := strings.TrimPrefix(r.Target, "/")
		c.Write(testpeer.Lines("HTTP/1.1 "+code+" Status "+code, "Content-Length: 0"))
	}))
	for code := int32(200); code <= 600; code++ {
		if code == 600 {
			code = 999
		}
		in := &fetchsvcv1.FetchRequest{Url: fmt.Sprintf("%s/%d", up.URL, code), As: fetchsvcv1.FetchRequest_BYTES}
		for name, through := range map[string]door{"gRPC": w.overGRPC, "REST": w.overREST} {
			a := through(t, in, strings.NewReplacer())
			if a.Status != code || a.Reason != fmt.Sprint("Status ", code) || len(a.faults) > 0 {
				t.Errorf("over %s: status %d is read as %d %q, faults %q", name, code, a.Status, a.Reason, a.faults)
			}
		}
	}
}
