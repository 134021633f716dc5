package contract

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// coded writes text through an encoder.
func coded(text string, open func(io.Writer) io.WriteCloser) string {
	var b bytes.Buffer
	w := open(&b)
	_, _ = io.WriteString(w, text) // into memory
	_ = w.Close()
	return b.String()
}

func gzipped(text string) string {
	return coded(text, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
}

// codingCases: content codings are undone within bounds, or handed over.
func codingCases() []testCase {
	const text = "all work and no play makes jack a dull boy"
	deflate := func(w io.Writer) io.WriteCloser { d, _ := flate.NewWriter(w, flate.BestCompression); return d }
	zstandard := func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)); return z }
	undone := func(name, coding, data, decoded string) testCase {
		return testCase{
			name: "coding " + name, peers: answers(testpeer.Response(200, data, "Content-Encoding: "+coding, "Content-Type: text/plain")),
			in: `{"url":"http://{peer}/","as":"TEXT"}`,
			want: want{content: fmt.Sprintf("text %q", text), charset: "utf-8", decoded: decoded,
				headers: []string{"Content-Encoding: " + coding}, received: int64(len(data)), sized: int64(len(text))},
		}
	}
	bad := func(name string, script testpeer.Script, kind string, says ...string) testCase {
		return testCase{
			name: "coding " + name, peers: raw(script), in: `{"url":"http://{peer}/"}`,
			want: want{kind: kind, says: says, attempts: []string{"FIRST GET ANSWERED 200 " + kind}},
		}
	}
	asCame := func(name, fields string, script testpeer.Script, content string) testCase {
		return testCase{name: "coding " + name, peers: raw(script), in: `{"url":"http://{peer}/"` + fields + `}`, want: want{content: content}}
	}
	twoCodings := testpeer.Answer(testpeer.Response(200, gzipped(text), "Content-Encoding: gzip", "Content-Encoding: br"))
	long := gzipped(strings.Repeat("0123456789", 300))
	return []testCase{
		undone("gzip is undone", "gzip", gzipped(text), "gzip"),
		undone("x-gzip is gzip", "x-gzip", gzipped(text), "gzip"),
		undone("names have no case", "GZIP", gzipped(text), "gzip"),
		undone("gzip in two members", "gzip", gzipped(text[:10])+gzipped(text[10:]), "gzip"),
		undone("gzip with padding behind it", "gzip", gzipped(text)+"\x00\x00", "gzip"),
		undone("deflate in its zlib wrapping", "deflate", coded(text, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }), "deflate"),
		undone("deflate bare", "deflate", coded(text, deflate), "deflate"),
		undone("br", "br", coded(text, func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) }), "br"),
		undone("zstd", "zstd", coded(text, zstandard), "zstd"),
		undone("identity is none", "identity", text, ""),
		asCame("nobody knows is handed over", "", testpeer.UnknownCoding, `bytes "snafu"`),
		asCame("nobody knows is bytes, whatever was asked", `,"as":"TEXT"`, testpeer.UnknownCoding, `bytes "snafu"`),
		asCame("gzip is left with decode NONE", `,"decode":"NONE"`, testpeer.Gzip("hello"), fmt.Sprintf("bytes %q", gzipped("hello"))),
		asCame("gzip twice is left with decode NONE", `,"decode":"NONE"`, testpeer.GzipTimes("hello", 2), fmt.Sprintf("bytes %q", gzipped(gzipped("hello")))),
		asCame("garbage is left with decode NONE, and is no text", `,"decode":"NONE","as":"AUTO"`, testpeer.GzipGarbage, `bytes "this was never compressed"`),
		asCame("of nothing is nothing", "", testpeer.EmptyGzip, `bytes ""`),
		bad("gzip twice", testpeer.GzipTimes("hello", 2), "BAD_CONTENT_CODING", "more than one", "decode: NONE"),
		bad("two in two headers", twoCodings, "BAD_CONTENT_CODING", "more than one"),
		bad("gzip cut short", testpeer.GzipTruncated, "BAD_CONTENT_CODING"),
		bad("gzip with a wrong checksum", testpeer.GzipBadChecksum, "BAD_CONTENT_CODING"),
		bad("gzip that is none", testpeer.GzipGarbage, "BAD_CONTENT_CODING"),
		bad("gzip bomb", testpeer.GzipBomb(2<<20), "BAD_CONTENT_CODING"),
		{
			name: "coding decoded body over the limit", peers: answers(testpeer.Response(200, long, "Content-Encoding: gzip")),
			in:   `{"url":"http://{peer}/","max_response_bytes":"2000"}`,
			want: want{kind: "RESPONSE_TOO_LARGE", attempts: []string{"FIRST GET ANSWERED 200 RESPONSE_TOO_LARGE"}},
		},
		{
			name: "coding decoded body over the limit, cut", peers: answers(testpeer.Response(200, long, "Content-Encoding: gzip")),
			in:   `{"url":"http://{peer}/","max_response_bytes":"2000","allow_truncated":true}`,
			want: want{decoded: "gzip", cut: true, content: fmt.Sprintf("bytes %q", strings.Repeat("0123456789", 200)), sized: 2000},
		},
		{
			name: "coding httpbin's gzip", peers: httpbin, in: `{"url":"http://{peer}/gzip","as":"TEXT"}`,
			want: want{decoded: "gzip", charset: "utf-8", headers: []string{"Content-Encoding: gzip"}},
		},
		{
			name: "coding httpbin's deflate", peers: httpbin, in: `{"url":"http://{peer}/deflate","as":"TEXT"}`,
			want: want{decoded: "deflate", charset: "utf-8"},
		},
	}
}

// limitCases: how much of a response is taken.
func limitCases() []testCase {
	ten := answers(testpeer.Response(200, "0123456789"))
	chunked := answers(testpeer.Lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n")
	tooLarge := func(name string, peers setup, in string, says ...string) testCase {
		return testCase{name: "limit " + name, peers: peers, in: in,
			want: want{kind: "RESPONSE_TOO_LARGE", says: append(says, "max_response_bytes", "Stream"), attempts: []string{"FIRST GET ANSWERED 200 RESPONSE_TOO_LARGE"}}}
	}
	return []testCase{
		{name: "limit is inclusive", peers: ten, in: `{"url":"http://{peer}/","max_response_bytes":"10"}`, want: want{content: `bytes "0123456789"`}},
		{name: "limit is inclusive in chunks", peers: chunked, in: `{"url":"http://{peer}/","max_response_bytes":"10"}`, want: want{content: `bytes "0123456789"`}},
		tooLarge("announced", ten, `{"url":"http://{peer}/","max_response_bytes":"9"}`, "10 bytes", "9 bytes"),
		tooLarge("in chunks", chunked, `{"url":"http://{peer}/","max_response_bytes":"9"}`, "9 bytes"),
		tooLarge("without end", raw(testpeer.EndlessBody), `{"url":"http://{peer}/"}`, "3145728"),
		tooLarge("of the policy", answers(testpeer.Response(200, strings.Repeat("x", 1<<10+1))), `{"url":"http://bounded.test:{peer.port}/"}`, "1024"),
		{name: "limit raised to the policy's ceiling", peers: answers(testpeer.Response(200, strings.Repeat("x", 2<<10))),
			in: `{"url":"http://bounded.test:{peer.port}/","max_response_bytes":"2048"}`, want: want{upstream: "bounded", sized: 2048}},
		{name: "limit over the policy's ceiling", in: `{"url":"http://bounded.test:{peer.port}/","max_response_bytes":"2049"}`,
			want: want{kind: "INVALID_REQUEST", fields: []string{"max_response_bytes"}, says: []string{"2KiB", "bounded"}}},
		{name: "limit that cuts", peers: ten, in: `{"url":"http://{peer}/","max_response_bytes":"4","allow_truncated":true}`, want: want{content: `bytes "0123"`, cut: true, sized: 4}},
		{name: "limit that cuts chunks", peers: chunked, in: `{"url":"http://{peer}/","max_response_bytes":"7","allow_truncated":true}`, want: want{content: `bytes "0123456"`, cut: true, sized: 7}},
		{name: "limit that cuts a body without end", peers: raw(testpeer.EndlessBody), in: `{"url":"http://{peer}/","max_response_bytes":"3","allow_truncated":true,"as":"TEXT"}`,
			want: want{content: `text "xxx"`, charset: "utf-8", cut: true}},
		{name: "limit that need not cut", peers: ten, in: `{"url":"http://{peer}/","max_response_bytes":"10","allow_truncated":true}`, want: want{content: `bytes "0123456789"`}},
		{name: "limit does not count what HEAD announces", peers: answers("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"),
			in: `{"method":"HEAD","url":"http://{peer}/"}`, want: want{content: `bytes ""`, headers: []string{"Content-Length: 99999999"}}},
		{name: "response of 8 MiB by a raised limit", peers: answers(testpeer.Response(200, strings.Repeat("x", 8<<20))),
			in: `{"url":"http://{peer}/","max_response_bytes":"8388608"}`, want: want{received: 8 << 20, sized: 8 << 20}},
		{name: "limit of the response head", peers: raw(testpeer.HugeHeader(8 << 10)), in: `{"url":"http://bounded.test:{peer.port}/"}`,
			want: want{kind: "RESPONSE_HEADER_TOO_LARGE", says: []string{"response_header"}, attempts: []string{"FIRST GET MAYBE_PROCESSED RESPONSE_HEADER_TOO_LARGE"}}},
		{name: "limit of a head without end", peers: raw(testpeer.EndlessHead), in: `{"url":"http://{peer}/"}`,
			want: want{kind: "RESPONSE_HEADER_TOO_LARGE", attempts: []string{"FIRST GET MAYBE_PROCESSED RESPONSE_HEADER_TOO_LARGE"}}},
		{name: "limit of a header line without end", peers: raw(testpeer.EndlessLine), in: `{"url":"http://{peer}/"}`,
			want: want{kind: "RESPONSE_HEADER_TOO_LARGE", attempts: []string{"FIRST GET MAYBE_PROCESSED RESPONSE_HEADER_TOO_LARGE"}}},
		{name: "head of 200 headers is fine", peers: raw(testpeer.ManyHeaders(200)), in: `{"url":"http://{peer}/"}`, want: want{headers: []string{"X-0: v", "X-199: v"}}},
	}
}
