package hostiletest

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// zeros is n zero bytes under a coding.
func zeros(t testing.TB, coding string, n int64) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "bare deflate":
		w, _ = flate.NewWriter(&b, flate.BestSpeed)
	case "br":
		w = brotli.NewWriterLevel(&b, 5)
	case "zstd":
		w, _ = zstd.NewWriter(&b)
	}
	block := make([]byte, 64<<10)
	for ; n > 0; n -= int64(len(block)) {
		if _, err := w.Write(block[:min(n, int64(len(block)))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func coded(coding, body string) string {
	return testpeer.Response(200, body, "Content-Encoding: "+coding)
}

// again codes body once more.
func again(t testing.TB, body string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, body)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// endlessGzip is a response that is gzip of zeros without end: its beginning, and
// what is said again and again.
func endlessGzip(t testing.TB) (begin, block string) {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	flushed := func() string {
		_, _ = w.Write(make([]byte, 1<<20))
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		defer b.Reset()
		return fmt.Sprintf("%x\r\n%s\r\n", b.Len(), b.String())
	}
	first := flushed()
	return "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + first, flushed()
}

func TestCodings(t *testing.T) {
	const bad, inBody, tooLarge = "BAD_CONTENT_CODING", "200 > BAD_CONTENT_CODING", "RESPONSE_TOO_LARGE"
	const megabytes = 32 << 20
	bombs := map[string]string{}
	for _, c := range []string{"gzip", "deflate", "bare deflate", "br", "zstd"} {
		bombs[c] = zeros(t, c, megabytes)
	}
	rows := []row{
		{name: "gzip bomb in chunks without end", peer: forever(endlessGzip(t)), fetch: "RESPONSE_TOO_LARGE", stream: inBody,
			more: "sizes: {response: 200KB}", received: 1 << 20},
		{name: "gzip in gzip", peer: keeps(coded("gzip, gzip", again(t, bombs["gzip"]))), fetch: inBody, stream: bad, after: unasked},
		{name: "gzip in deflate", peer: keeps(coded("gzip, deflate", "x")), fetch: inBody, stream: bad, after: unasked},
		{name: "a hundred codings", peer: keeps(coded(strings.Repeat("gzip, ", 99)+"gzip", "x")), fetch: inBody, stream: bad, after: unasked},
		{name: "gzip in gzip, said once", peer: keeps(coded("gzip", again(t, bombs["gzip"]))), fetch: "200", after: kept, received: 1 << 20},
		{name: "coding without end of its name", peer: keeps(coded(strings.Repeat("g", 100<<10), "x")), fetch: "200", after: kept},
		{name: "zstd window of 1 GiB", peer: keeps(coded("zstd", "\x28\xb5\x2f\xfd\x00"+string([]byte{20 << 3})+"\x03\x00\x10x")), fetch: inBody, after: unasked},
		{name: "zstd of 1 EiB in one segment", peer: keeps(coded("zstd", "\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x00\x00\x10\x03\x00\x10x")), fetch: inBody, after: unasked},
		{name: "zstd of skippable frames", peer: keeps(coded("zstd", strings.Repeat("\x50\x2a\x4d\x18\xff\xff\xff\xff", 10))), fetch: inBody, after: unasked},
		{name: "zstd of empty frames", peer: keeps(coded("zstd", strings.Repeat("\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00", 5_000))), fetch: "200", after: kept},
		{name: "gzip of empty members", peer: keeps(coded("gzip", strings.Repeat(zeros(t, "gzip", 0), 2_000))), fetch: inBody, after: unasked},
		{name: "gzip with a name of 40 KiB", peer: keeps(coded("gzip", "\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xff"+strings.Repeat("n", 40<<10))), fetch: inBody, after: unasked},
		{name: "deflate of empty blocks", peer: keeps(coded("deflate", strings.Repeat("\x00\x00\x00\xff\xff", 10_000)+"\x03\x00")), fetch: "200", after: kept},
		{name: "bomb on a 302", peer: testpeer.Answer("HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Encoding: gzip\r\nContent-Length: "+decimal(len(bombs["gzip"]))+"\r\n\r\n"+bombs["gzip"], testpeer.Response(200, "ok")),
			fetch: "200", sends: 2, received: 64 << 10, check: body("ok"), after: kept},
		{name: "bomb without end on a 302", peer: func(c *testpeer.RawConn) {
			head, block := endlessGzip(t)
			forever(strings.Replace(head, "200 OK", "302 Found\r\nLocation: /next", 1), block)(c)
		}, fetch: "200", sends: 2, check: body("ok"), after: unasked},
		{name: "bomb on a 503 that is tried again", peer: testpeer.Answer(testpeer.Response(503, bombs["gzip"], "Content-Encoding: gzip"), testpeer.Response(200, "ok")),
			more: "retry: {max_attempts: 3, backoff: {base: 1ms}}", fetch: "200", sends: 2, check: body("ok"), after: kept},
		{name: "bomb on a 503 that is not tried again", peer: keeps(testpeer.Response(503, bombs["gzip"], "Content-Encoding: gzip")), fetch: "503 > " + bad, after: unasked},
		{name: "bomb, cut at a limit", peer: keeps(coded("gzip", bombs["gzip"])), tweak: cutAt(1000), fetch: "200", after: unasked, check: func(t *testing.T, got *result) {
			if len(got.body) != 1000 || !got.Truncated {
				t.Errorf("%d bytes came, truncated %v", len(got.body), got.Truncated)
			}
		}},
		{name: "bomb that nobody decodes", peer: keeps(coded("gzip", bombs["gzip"])), tweak: func(r *fetch.Request) { r.KeepCoded = true }, fetch: "200", after: kept},
		{name: "bomb as a part", peer: keeps(testpeer.Response(206, bombs["gzip"], "Content-Encoding: gzip", "Content-Range: bytes 0-9/10")), fetch: "206", after: kept},
	}
	for coding, bomb := range bombs {
		name := strings.TrimPrefix(coding, "bare ")
		rows = append(rows,
			row{name: coding + " by ratio", peer: says(coded(name, bomb)), more: "sizes: {response: 64MiB}", fetch: inBody, after: unasked},
			row{name: coding + " by size", peer: says(coded(name, bomb)), more: "sizes: {ratio: 100000}", tweak: limited(1 << 20),
				fetch: "200 > " + tooLarge, after: unasked})
	}
	table(t, rows)
}
