package contract

import (
	"fmt"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// methodCases: any token but CONNECT goes out as written.
func methodCases() (cases []testCase) {
	for _, m := range []string{"GET", "DELETE", "OPTIONS", "TRACE", "PURGE", "M-SEARCH", "propfind", "X!#$%&'*+.^_`|~"} {
		cases = append(cases, testCase{
			name: "method " + m,
			in:   fmt.Sprintf(`{"method":%q,"url":"http://{peer}/thing"}`, m),
			sent: &sent{line: m + " /thing HTTP/1.1", has: []string{"Host: {peer}"}, not: []string{"Content-Length", "Transfer-Encoding"}, body: body("")},
		})
	}
	for _, m := range []string{"POST", "PUT", "PATCH"} {
		cases = append(cases,
			testCase{
				name: "method " + m + " without a body says length 0",
				in:   fmt.Sprintf(`{"method":%q,"url":"http://{peer}/thing"}`, m),
				sent: &sent{line: m + " /thing HTTP/1.1", has: []string{"Content-Length: 0"}, not: []string{"Transfer-Encoding", "Content-Type"}},
			},
			testCase{
				name: "method " + m + " with a body",
				in:   fmt.Sprintf(`{"method":%q,"url":"http://{peer}/thing","raw":"YWJj"}`, m),
				sent: &sent{line: m + " /thing HTTP/1.1", has: []string{"Content-Length: 3"}, not: []string{"Content-Type"}, body: body("abc")},
			})
	}
	return append(cases,
		testCase{
			name: "method default is GET",
			in:   `{"url":"http://{peer}"}`,
			want: want{attempts: []string{"FIRST GET ANSWERED 200"}},
			sent: &sent{line: "GET / HTTP/1.1"},
		},
		testCase{
			name: "method HEAD has headers and no body",
			in:   `{"method":"HEAD","url":"http://{peer}/thing"}`,
			want: want{content: `bytes ""`, headers: []string{"Content-Type: application/json"}},
			sent: &sent{line: "HEAD /thing HTTP/1.1"},
		},
		testCase{
			name:  "method HEAD keeps length and coding of the body that does not follow",
			peers: raw(testpeer.HeadGzip),
			in:    `{"method":"HEAD","url":"http://{peer}/"}`,
			want:  want{content: `bytes ""`, headers: []string{"Content-Encoding: gzip", "Content-Length: 1234"}},
		},
		testCase{
			name: "method GET with a body",
			in:   `{"url":"http://{peer}/search","json_text":"{\"q\":1}"}`,
			sent: &sent{line: "GET /search HTTP/1.1", has: []string{"Content-Length: 7", "Content-Type: application/json"}, body: body(`{"q":1}`)},
		},
		testCase{
			name: "method DELETE with a body",
			in:   `{"method":"DELETE","url":"http://{peer}/thing","text":"why"}`,
			sent: &sent{line: "DELETE /thing HTTP/1.1", has: []string{"Content-Length: 3"}, body: body("why")},
		},
	)
}

// paramCases: params are appended to the URL's own query, encoded as requests
// does it.
func paramCases() []testCase {
	params := func(name, url, list, target string) testCase {
		return testCase{
			name: "params " + name,
			in:   `{"url":"http://{peer}` + url + `","params":[` + list + `]}`,
			want: want{url: "http://{peer}" + target},
			sent: &sent{line: "GET " + target + " HTTP/1.1"},
		}
	}
	return []testCase{
		params("stand alone", "/get", `{"name":"q","value":"python requests"}`, "/get?q=python+requests"),
		params("follow the URL's query, which stays as written", "/get?a=%7e&b", `{"name":"c","value":"1"}`, "/get?a=%7e&b&c=1"),
		params("keep order and repeats", "/get", `{"name":"b","value":"1"},{"name":"a","value":"2"},{"name":"b","value":"3"}`, "/get?b=1&a=2&b=3"),
		params("encode what a query gives meaning", "/get", `{"name":"a&b","value":"c=d+e#f/g?h%"}`, "/get?a%26b=c%3Dd%2Be%23f%2Fg%3Fh%25"),
		params("leave the unreserved alone", "/get", `{"name":"a-._~Z","value":"0"}`, "/get?a-._~Z=0"),
		params("encode unicode as UTF-8", "/get", `{"name":"ключ","value":"日本"}`, "/get?%D0%BA%D0%BB%D1%8E%D1%87=%E6%97%A5%E6%9C%AC"),
		params("take an empty value", "/get", `{"name":"a"},{"name":"b","value":""}`, "/get?a=&b="),
		params("take bytes that are not UTF-8", "/get", `{"name":"a","raw_value":"/wAg"}`, "/get?a=%FF%00+"),
		params("go before the fragment, which is not sent", "/get?x=1#top", `{"name":"a","value":"1"}`, "/get?x=1&a=1"),
		params("encode line breaks", "/get", `{"name":"a","value":"x\r\ny"}`, "/get?a=x%0D%0Ay"),
		{
			name: "url goes out as written: escapes, dots, double slashes",
			in:   `{"url":"http://{peer}/a/./b//c/../%7e%2F;p=1|^?x=%41&&="}`,
			want: want{url: "http://{peer}/a/./b//c/../%7e%2F;p=1|^?x=%41&&="},
			sent: &sent{line: "GET /a/./b//c/../%7e%2F;p=1|^?x=%41&&= HTTP/1.1"},
		},
		{
			name: "url path may begin with two slashes",
			in:   `{"url":"http://{peer}//a//b?c"}`,
			want: want{url: "http://{peer}//a//b?c"},
			sent: &sent{line: "GET //a//b?c HTTP/1.1", has: []string{"Host: {peer}"}},
		},
		{
			name: "url's unicode is percent-encoded",
			in:   `{"url":"http://{peer}/ü/日?q=é"}`,
			want: want{url: "http://{peer}/%C3%BC/%E6%97%A5?q=%C3%A9"},
			sent: &sent{line: "GET /%C3%BC/%E6%97%A5?q=%C3%A9 HTTP/1.1"},
		},
		{
			name: "url of 60 KB is sent",
			in:   `{"url":"http://{peer}/` + strings.Repeat("a", 60_000) + `"}`,
			sent: &sent{line: "GET /" + strings.Repeat("a", 60_000) + " HTTP/1.1"},
		},
	}
}
