package streamtest

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// coded is s in a content coding.
func coded(coding, s string) string {
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		w, _ = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	}
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

// codingCases are bodies in a content coding, good and bad.
func codingCases() []testCase {
	text := strings.Repeat("all work and no play makes Jack a dull boy\n", 2000)
	says := func(coding, body string) testpeer.Script {
		return testpeer.Answer(testpeer.Response(200, body, "Content-Encoding: "+coding))
	}
	bad := func(coding string) want { return want{body: anyBody, decoded: coding, kind: "BAD_CONTENT_CODING"} }
	var cases []testCase
	for _, coding := range []string{"gzip", "br", "zstd"} {
		whole := coded(coding, text)
		corrupt := []byte(whole)
		for i := len(corrupt) / 3; i < len(corrupt)/3+20; i++ {
			corrupt[i] ^= 0xa5
		}
		torn := whole[:len(whole)/2]
		cases = append(cases,
			testCase{name: coding, script: says(coding, whole), want: want{body: text, decoded: coding, received: int64(len(whole))}},
			testCase{name: coding + ", a coding cut short", script: says(coding, torn), want: bad(coding)},
			testCase{name: coding + ", corrupt", script: says(coding, string(corrupt)), want: bad(coding)},
			testCase{name: coding + ", a connection cut short",
				script: func(c *testpeer.RawConn) {
					c.ReadRequest()
					c.Write(testpeer.Lines("HTTP/1.1 200 OK", "Content-Encoding: "+coding, "Transfer-Encoding: chunked"))
					c.Writef("%x\r\n%s", len(whole), torn)
					c.Reset()
				},
				want: want{body: anyBody, decoded: coding, kind: "BODY_CUT_SHORT", safe: true}},
			testCase{name: coding + ", never coded", script: says(coding, "this was never compressed"), want: bad(coding)},
			testCase{name: coding + " of nothing", script: says(coding, ""), want: want{decoded: coding}},
		)
	}
	checksum := bad("gzip")
	checksum.body = "hello"
	return append(cases,
		testCase{name: "gzip with a bad checksum", script: testpeer.GzipBadChecksum, want: checksum},
		testCase{name: "gzip bomb", script: testpeer.GzipBomb(1 << 30), want: bad("gzip")},
		testCase{name: "gzip over gzip", script: testpeer.GzipTimes("hello", 2), want: want{
			status: noHead, kind: "BAD_CONTENT_CODING", attempts: []string{"FIRST GET ANSWERED 200 BAD_CONTENT_CODING"}}},
		testCase{name: "gzip, left as it is", script: says("gzip", coded("gzip", text)), in: `{"url":"http://{peer}/","decode":"NONE"}`,
			want: want{body: coded("gzip", text), headers: []string{"Content-Encoding: gzip"}}},
		testCase{name: "a coding that nobody knows", script: testpeer.UnknownCoding,
			want: want{body: "snafu", headers: []string{"Content-Encoding: snafu"}}},
		testCase{name: "gzip that is flushed and stands still", in: `{"url":"http://{peer}/","timeouts":{"idle":"0.3s"}}`,
			script: func(c *testpeer.RawConn) {
				var b bytes.Buffer
				w := gzip.NewWriter(&b)
				_, _ = io.WriteString(w, "so far")
				_ = w.Flush()
				c.ReadRequest()
				c.Write(testpeer.Lines("HTTP/1.1 200 OK", "Content-Encoding: gzip"))
				c.Trickle(b.String(), 3, time.Millisecond)
				c.Stall()
			},
			want: want{body: "so far", decoded: "gzip", kind: "IDLE_TIMEOUT", safe: true}},
	)
}
