package doortest

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// drained is a row whose caller sends 40 MiB where 24 are too many, the last of it
// slowly: over more than the half second for which net/http lingers. Each byte can be
// sent, the answer is whole, and the end no reset.
func drained(name, path, begin string, secure, chunks bool) row {
	const lingers = 30 * time.Second // the server's
	return row{name: name, tls: secure, attack: func(a *attack) {
		if err := lenient(lingers, func() error { return tooLong(a, path, begin, chunks) }); err != nil {
			a.Error(err)
		}
	}}
}

func tooLong(a *attack, path, begin string, chunks bool) error {
	length, before, after, end := fmt.Sprintf("Content-Length: %d", len(begin)+40<<20), "", "", ""
	if chunks {
		length, before, after, end = "Transfer-Encoding: chunked", "100000\r\n", "\r\n", "0\r\n\r\n"
		begin = fmt.Sprintf("%x\r\n%s\r\n", len(begin), begin)
	}
	c := a.dial(a.rest, "http/1.1")
	c.send(post(a, path, length) + begin)
	mebibyte := []byte(before + strings.Repeat("x", 1<<20) + after)
	for i := range 40 {
		c.wait()
		if _, err := c.Write(mebibyte); err != nil {
			return fmt.Errorf("after %d MiB: %w", i, err)
		}
		if i > 30 {
			time.Sleep(80 * time.Millisecond) // it is slow
		}
	}
	if _, err := io.WriteString(c, end); err != nil {
		return fmt.Errorf("at the end of the request: %w", err)
	}
	text, err := io.ReadAll(c.in)
	if err != nil {
		return fmt.Errorf("the answer: %w", err)
	}
	head, body, _ := strings.Cut(string(text), "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.1 413 ") || !strings.Contains(body, `"REQUEST_TOO_LARGE"`) || !strings.HasSuffix(body, "}\n") {
		return errors.New("the answer is: " + string(text))
	}
	return nil
}

// TestDrain: who still sends when the answer is there is read on, and comes to read it.
func TestDrain(t *testing.T) {
	const fetch, stream = `{"url":"`, `{"start":{"url":"`
	table(t, []row{
		drained("a fetch", "/v1/fetch", fetch, false, false),
		drained("a fetch in chunks", "/v1/fetch", fetch, false, true),
		drained("a fetch, TLS", "/v1/fetch", fetch, true, false),
		drained("a fetch in chunks, TLS", "/v1/fetch", fetch, true, true),
		drained("a stream in chunks", "/v1/stream", stream, false, true),
		drained("a stream, TLS", "/v1/stream", stream, true, false),
	})
}
