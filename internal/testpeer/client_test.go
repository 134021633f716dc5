package testpeer

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// verifyNoLeak fails the test if its peers leave a goroutine behind. It comes
// first in a test: cleanups run last in, first out.
func verifyNoLeak(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { NoLeaks(t) })
}

// newClient is net/http with nothing added: no redirects, no decoding.
func newClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{DisableCompression: true, ExpectContinueTimeout: 50 * time.Millisecond}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       patience,
	}
}

// result is a response read to its end; err is from Do or from the body.
type result struct {
	*http.Response
	body string
	err  error
}

func do(c *http.Client, method, url string, body io.Reader) result {
	req, err := http.NewRequestWithContext(context.Background(), method, url, body)
	if err != nil {
		return result{err: err}
	}
	resp, err := c.Do(req)
	if err != nil {
		return result{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return result{Response: resp, body: string(b), err: err}
}

// dial connects without HTTP.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

const plainGet = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// converse sends request and reads until the peer ends the connection.
func converse(t *testing.T, addr, request string) (answer string, err error) {
	t.Helper()
	conn := dial(t, addr)
	if _, err := io.WriteString(conn, request); err != nil {
		return "", err
	}
	b, err := io.ReadAll(conn)
	return string(b), err
}

// expect reads exactly want.
func expect(t *testing.T, conn io.Reader, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if n, err := io.ReadFull(conn, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v, want %q", b[:n], err, want)
	}
}

// expectSilence holds that nothing, not even an end, comes for a moment.
func expectSilence(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	b := make([]byte, 100)
	if n, err := conn.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %q, %v, want silence", b[:n], err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
}

// fails makes a check that the error is target, or says it where net/http has no
// error value to compare with.
func fails(target any) func(*testing.T, result) {
	return func(t *testing.T, r result) {
		t.Helper()
		switch want := target.(type) {
		case error:
			if !errors.Is(r.err, want) {
				t.Errorf("got error %v, want %v", r.err, want)
			}
		case string:
			if r.err == nil || !strings.Contains(r.err.Error(), want) {
				t.Errorf("got error %v, want one with %q", r.err, want)
			}
		}
	}
}
