package contract

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// bodyCases: every kind of request body, to the byte.
func bodyCases() []testCase {
	post := func(name, fields, contentType, sentBody string) testCase {
		c := testCase{
			name: "body " + name,
			in:   `{"method":"POST","url":"http://{peer}/",` + fields + `}`,
			sent: &sent{has: []string{"Content-Type: " + contentType}, not: []string{"Transfer-Encoding"}, body: body(sentBody)},
		}
		if contentType == "" {
			c.sent.has, c.sent.not = nil, []string{"Content-Type", "Transfer-Encoding"}
		}
		return c
	}
	typed := func(t string) string { return `"headers":[{"name":"Content-Type","value":"` + t + `"}],` }
	return []testCase{
		post("raw has no Content-Type of its own", `"raw":"AAH/"`, "", "\x00\x01\xff"),
		post("raw under the caller's Content-Type", typed("image/png")+`"raw":"iVBORw=="`, "image/png", "\x89PNG"),
		post("raw and empty", `"raw":""`, "", ""),
		post("text is UTF-8", `"text":"grüße"`, "text/plain; charset=utf-8", "grüße"),
		post("text under a type without charset", typed("text/csv")+`"text":"a,ä"`, "text/csv", "a,ä"),
		post("text in latin-1", typed("text/plain; charset=iso-8859-1")+`"text":"grüße"`, "text/plain; charset=iso-8859-1", "gr\xfc\xdfe"),
		post("text in shift_jis", typed("text/plain; charset=shift_jis")+`"text":"日本"`, "text/plain; charset=shift_jis", "\x93\xfa\x96\x7b"),
		post("text in windows-1252", typed("text/plain; charset=windows-1252")+`"text":"€"`, "text/plain; charset=windows-1252", "\x80"),
		post("json is compact, members and escapes kept", `"json":{"a":[1,2.5,true,null],"b":"<&>ü"}`, "application/json", `{"a":[1,2.5,true,null],"b":"<&>ü"}`),
		post("json integers stay integers up to 2^53", `"json":[9007199254740992,-1,0,1e3]`, "application/json", `[9007199254740992,-1,0,1000]`),
		post("json null is a body", `"json":null`, "application/json", `null`),
		post("json under a type of its own", typed("application/vnd.api+json")+`"json":{}`, "application/vnd.api+json", `{}`),
		post("json_text is sent as written", `"json_text":" {\"n\": 9007199254740993, \"d\": 1.10, \"n\": 1}\n"`, "application/json", " {\"n\": 9007199254740993, \"d\": 1.10, \"n\": 1}\n"),
		post("form encodes as browsers do", `"form":{"fields":[{"name":"a b","value":"c&d=e+f"},{"name":"ü","value":"*-._~"},{"name":"a b"}]}`,
			"application/x-www-form-urlencoded", "a+b=c%26d%3De%2Bf&%C3%BC=*-._%7E&a+b="),
		post("form takes bytes", `"form":{"fields":[{"name":"a","raw_value":"/w=="}]}`, "application/x-www-form-urlencoded", "a=%FF"),
		post("form without fields is empty", `"form":{}`, "application/x-www-form-urlencoded", ""),
		{
			name: "body of 1 MiB arrives whole",
			in:   `{"method":"PUT","url":"http://{peer}/"}`,
			edit: func(in *fetchsvcv1.FetchRequest) {
				in.Body = &fetchsvcv1.FetchRequest_Raw{Raw: []byte(strings.Repeat("0123456789abcdef", 64<<10))}
			},
			sent: &sent{has: []string{"Content-Length: 1048576"}, body: body(strings.Repeat("0123456789abcdef", 64<<10))},
			want: want{attempts: []string{"FIRST PUT ANSWERED 200"}},
		},
		{
			name:  "body of 16 MiB is the most",
			in:    `{"method":"PUT","url":"http://{peer}/"}`,
			peers: counts,
			edit: func(in *fetchsvcv1.FetchRequest) {
				in.Body = &fetchsvcv1.FetchRequest_Raw{Raw: make([]byte, 16<<20)}
			},
			want: want{content: `bytes "16777216 announced, 16777216 came"`},
		},
		{
			name: "body over 16 MiB is refused",
			in:   `{"method":"PUT","url":"http://{peer}/"}`,
			edit: func(in *fetchsvcv1.FetchRequest) {
				in.Body = &fetchsvcv1.FetchRequest_Raw{Raw: make([]byte, 16<<20+1)}
			},
			want: want{kind: "REQUEST_TOO_LARGE", says: []string{"16 MiB", "Stream"}},
		},
		{
			name: "body over the upstream's size is refused",
			in:   `{"method":"PUT","url":"http://bounded.test:{peer.port}/"}`,
			edit: func(in *fetchsvcv1.FetchRequest) {
				in.Body = &fetchsvcv1.FetchRequest_Raw{Raw: make([]byte, 1<<10+1)}
			},
			want: want{kind: "REQUEST_TOO_LARGE", says: []string{"1KiB", "bounded"}},
		},
		refused("text that its charset lacks", typed("text/plain; charset=iso-8859-1")+`"text":"5 €"`, "text", "U+20AC", "utf-8"),
		refused("text in an unknown charset", typed("text/plain; charset=klingon")+`"text":"a"`, "text", "klingon"),
		refused("json_text that is no JSON", `"json_text":"{'a':1}"`, "json_text", "not valid JSON"),
		refused("json_text with more behind it", `"json_text":"{} {}"`, "json_text", "not valid JSON"),
		refused("stream as a body of Fetch", `"stream":{}`, "stream", "Stream"),
		refused("framing outside Stream", `"framing":"LINES"`, "framing", "Stream"),
		refused("expect_continue outside Stream", `"expect_continue":true`, "expect_continue", "Stream"),
		refused("multipart under the caller's Content-Type", typed("multipart/form-data")+`"multipart":{"parts":[{"name":"a"}]}`, "headers", "boundary"),
		refused("multipart without parts", `"multipart":{}`, "multipart.parts"),
		refused("multipart part without a name", `"multipart":{"parts":[{"name":"a"},{"text":"x"}]}`, "multipart.parts[1].name", "name of the form field"),
		refused("multipart boundary within a part", `"multipart":{"boundary":"b","parts":[{"name":"a","text":"x--b"}]}`, "multipart.boundary", "occurs in"),
		refused("multipart part header that fetchsvc writes", `"multipart":{"parts":[{"name":"a","headers":[{"name":"Content-Disposition","value":"x"}]}]}`,
			"multipart.parts[0].headers[0].name", "filename"),
		refused("multipart part header with a line break", `"multipart":{"parts":[{"name":"a","headers":[{"name":"X","value":"1\n2"}]}]}`,
			"multipart.parts[0].headers[0].value", "control"),
	}
}

// counts is an upstream that says how long the request body was.
func counts(t *testing.T, _ *world) peers {
	return peers{"peer": at(testpeer.HTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d announced, %d came", r.ContentLength, n)
	})))}
}

// multipartCases: multipart/form-data as browsers send it.
func multipartCases() []testCase {
	multi := func(name, parts string, lines ...string) testCase {
		return testCase{
			name: "multipart " + name,
			in:   `{"method":"POST","url":"http://{peer}/","multipart":{"boundary":"edge","parts":[` + parts + `]}}`,
			sent: &sent{has: []string{"Content-Type: multipart/form-data; boundary=edge"}, body: body(strings.Join(append(lines, "--edge--", ""), "\r\n"))},
		}
	}
	return []testCase{
		multi("field", `{"name":"a","text":"ü"}`,
			"--edge", `Content-Disposition: form-data; name="a"`, "", "ü"),
		multi("fields keep order and repeats", `{"name":"b","text":"1"},{"name":"a","data":"AP8="},{"name":"b","text":""}`,
			"--edge", `Content-Disposition: form-data; name="b"`, "", "1",
			"--edge", `Content-Disposition: form-data; name="a"`, "", "\x00\xff",
			"--edge", `Content-Disposition: form-data; name="b"`, "", ""),
		multi("file has a type by its extension", `{"name":"f","filename":"r.csv","text":"a,b"}`,
			"--edge", `Content-Disposition: form-data; name="f"; filename="r.csv"`, "Content-Type: text/csv", "", "a,b"),
		multi("file of an unknown kind", `{"name":"f","filename":"r","data":"AA=="}`,
			"--edge", `Content-Disposition: form-data; name="f"; filename="r"`, "Content-Type: application/octet-stream", "", "\x00"),
		multi("file with a type of its own", `{"name":"f","filename":"r.csv","content_type":"text/x-odd; a=b","text":""}`,
			"--edge", `Content-Disposition: form-data; name="f"; filename="r.csv"`, "Content-Type: text/x-odd; a=b", "", ""),
		multi("file names in unicode, quotes escaped", `{"name":"ф\"","filename":"Füße \"1\".txt","text":"x"}`,
			"--edge", `Content-Disposition: form-data; name="ф%22"; filename="Füße %221%22.txt"`, "Content-Type: text/plain", "", "x"),
		multi("file without a name is still a file", `{"name":"f","filename":""}`,
			"--edge", `Content-Disposition: form-data; name="f"; filename=""`, "Content-Type: application/octet-stream", "", ""),
		multi("part headers", `{"name":"f","headers":[{"name":"X-One","value":"1"},{"name":"Content-ID","value":"<a>"}],"text":"x"}`,
			"--edge", `Content-Disposition: form-data; name="f"`, "X-One: 1", "Content-ID: <a>", "", "x"),
	}
}
