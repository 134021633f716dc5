package testpeer

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http/httputil"
	"strings"
)

// Scripts with content codings. They code unasked, whatever Accept-Encoding says.

// Gzip answers with body in a good gzip coding.
func Gzip(body string) Script { return GzipTimes(body, 1) }

// GzipTimes answers with body coded n times over, and says so
// ("gzip, gzip" for 2).
func GzipTimes(body string, n int) Script {
	coded := body
	for range n {
		coded = gzipped(coded)
	}
	codings := strings.TrimSuffix(strings.Repeat("gzip, ", n), ", ")
	return Answer(Response(200, coded, "Content-Type: text/plain", "Content-Encoding: "+codings))
}

// GzipTruncated answers with half a gzip stream under the right framing: the
// decoder sees an unexpected EOF, the connection is fine.
func GzipTruncated(c *RawConn) {
	coded := gzipped(strings.Repeat("all work and no play\n", 100))
	c.say(Response(200, coded[:len(coded)/2], "Content-Type: text/plain", "Content-Encoding: gzip"))
}

// GzipBadChecksum answers with gzip of "hello" whose checksum is wrong: all of
// the content, and then an error.
func GzipBadChecksum(c *RawConn) {
	coded := []byte(gzipped("hello"))
	coded[len(coded)-8] ^= 0xff
	c.say(Response(200, string(coded), "Content-Type: text/plain", "Content-Encoding: gzip"))
}

// GzipGarbage says gzip and sends plain text.
func GzipGarbage(c *RawConn) {
	c.say(Response(200, "this was never compressed", "Content-Type: text/plain", "Content-Encoding: gzip"))
}

// GzipBomb answers with size zero bytes, compressed about 1000:1 while the
// client reads, so any size is cheap to begin.
func GzipBomb(size int64) Script { return gzipBomb(size, "HTTP/1.1 200 OK") }

// GzipBombRedirect is GzipBomb as the body of a 302 that nobody needs to read.
func GzipBombRedirect(location string, size int64) Script {
	return gzipBomb(size, "HTTP/1.1 302 Found", "Location: "+location)
}

func gzipBomb(size int64, head ...string) Script {
	head = append(head, "Content-Type: application/octet-stream", "Content-Encoding: gzip", "Transfer-Encoding: chunked")
	return EachRequest(func(c *RawConn, _ Request) {
		c.Write(Lines(head...))
		chunks := httputil.NewChunkedWriter((*connWriter)(c))
		coder := gzip.NewWriter(chunks)
		_, _ = io.CopyN(coder, zeros{}, size)
		_ = coder.Close()
		_ = chunks.Close()
		c.Write("\r\n")
	})
}

// UnknownCoding answers "snafu" with Content-Encoding: snafu.
func UnknownCoding(c *RawConn) { c.say(Response(200, "snafu", "Content-Encoding: snafu")) }

// EmptyGzip says gzip over an empty body, which is no gzip stream and common.
func EmptyGzip(c *RawConn) { c.say(Response(200, "", "Content-Encoding: gzip")) }

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

// zeros reads as zero bytes without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
