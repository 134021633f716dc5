package doortest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/fetchsvc/fetchsvc/internal/server"
)

// post is a request's head, with further lines.
func post(a *attack, path string, lines ...string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: " + a.rest + "\r\n" + strings.Join(append(lines, "", ""), "\r\n")
}

// asked sends one request and wants its answer.
func asked(path, want string, lines ...string) func(*attack) {
	return func(a *attack) {
		c := a.dial(a.rest)
		c.send(post(a, path, lines...))
		a.want("the request", c.answer(), want)
	}
}

// said sends one request's body and wants the answer.
func said(path, body, want string) func(*attack) {
	return asked(path, want, fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body))
}

// unfinished sends a head and a part of a body, wants the answer, and that the
// connection is closed.
func unfinished(path, want, part string, lines ...string) func(*attack) {
	return func(a *attack) {
		c := a.dial(a.rest)
		c.pour(post(a, path, lines...) + part)
		a.want("the request", c.answer(), want)
		c.end()
	}
}

// body is a fetch with a JSON body.
func body(value string) string {
	return `{"url":"http://127.0.0.1:1/","method":"POST","json":` + value + `}`
}

var slow = server.Bounds{Message: soon}

const late = "400 UPLOAD_INCOMPLETE"

var restRows = []row{
	{name: "a head that does not end", bounds: server.Bounds{Handshake: soon}, attack: func(a *attack) {
		c := a.dial(a.rest)
		c.pour("POST /v1/fetch HTTP/1.1\r\nX-A: b\r\n")
		c.end()
	}},
	{name: "nothing at all", bounds: server.Bounds{Handshake: soon}, attack: func(a *attack) { a.dial(a.rest).end() }},
	{name: "a body that does not come", bounds: slow, attack: unfinished("/v1/fetch", late, "", "Content-Length: 100")},
	{name: "a body that stands still", bounds: slow, attack: unfinished("/v1/fetch", late, `{"url":`, "Content-Length: 100")},
	{name: "a chunked body that stands still", bounds: slow, attack: unfinished("/v1/fetch", late, "5\r\n{\"url", "Transfer-Encoding: chunked")},
	{name: "a batch that stands still", bounds: slow, attack: unfinished("/v1/fetch:batch", late, "", "Content-Length: 100")},
	{name: "a stream that does not begin", bounds: slow, attack: unfinished("/v1/stream", late, "8\r\n{\"start\"\r\n", "Transfer-Encoding: chunked")},
	{name: "a stream whose chunks are torn", attack: unfinished("/v1/stream", late, "8\r\n{\"start\"!\r\n", "Transfer-Encoding: chunked")},
	{name: "a body for a page that has none", bounds: slow, attack: unfinished("/v1/nothing", "404", "", "Content-Length: 100")},
	{name: "a body of a stranger to the host", bounds: slow, attack: func(a *attack) {
		c := a.dial(a.rest)
		c.send("POST /v1/fetch HTTP/1.1\r\nHost: elsewhere.test\r\nContent-Length: 100\r\n\r\n")
		a.want("the request", c.answer(), "403 FOREIGN_ORIGIN")
		c.end()
	}},
	{name: "100-continue, and then nothing", bounds: slow, attack: func(a *attack) {
		c := a.dial(a.rest)
		c.send(post(a, "/v1/fetch", "Expect: 100-continue", "Content-Length: 100"))
		a.want("the head", c.answer(), "100")
		a.want("the request", c.answer(), late)
		c.end()
	}},
	{name: "a body by drops", bounds: slow, attack: func(a *attack) {
		c := a.dial(a.rest)
		c.send(post(a, "/v1/fetch", "Content-Length: 1000000"))
		done := make(chan string)
		go func() {
			defer close(done) // also where there is no answer
			done <- c.answer()
		}()
		for {
			select {
			case got := <-done:
				a.want("the request", got, late)
				return
			case <-time.After(10 * time.Millisecond): // the drops
				_, _ = io.WriteString(c, " ")
			}
		}
	}},
	{name: "a body shorter than its length", attack: func(a *attack) {
		c := a.dial(a.rest)
		c.send(post(a, "/v1/fetch", "Content-Length: 100") + "{}")
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		a.want("the request", c.answer(), "400 ")
		c.end()
	}},
	{name: "an answer that nobody takes", bounds: server.Bounds{Answer: soon}, attack: func(a *attack) {
		c := a.dial(a.rest)
		c.send(post(a, "/v1/stream", "Transfer-Encoding: chunked") + chunked(endlessLine(a)))
		a.upstream.awaitGone(a.T)
		c.end()
	}},
	{name: "an answer that nobody takes, TLS", tls: true, bounds: server.Bounds{Answer: soon}, attack: func(a *attack) {
		c := a.dial(a.rest, "http/1.1")
		c.send(post(a, "/v1/stream", "Transfer-Encoding: chunked") + chunked(endlessLine(a)))
		a.upstream.awaitGone(a.T)
		c.end()
	}},
	{name: "two thousand requests at once", attack: func(a *attack) {
		c := a.dial(a.rest)
		go func() {
			_, _ = io.WriteString(c, strings.Repeat("GET /readyz HTTP/1.1\r\nHost: "+a.rest+"\r\n\r\n", 2000))
		}()
		for range 2000 {
			if got := c.answer(); got != "200" {
				a.Fatalf("one of them got %s, want 200", got)
			}
		}
	}},
	{name: "chunk extensions", attack: unfinished("/v1/fetch", "400 ", strings.Repeat("1;"+strings.Repeat("x", 200)+"\r\n \r\n", 1000), "Transfer-Encoding: chunked")},
	{name: "a chunk size without end", attack: unfinished("/v1/fetch", "400 ", "1;"+strings.Repeat("x", 8<<10), "Transfer-Encoding: chunked")},
	{name: "trailers without end", attack: unfinished("/v1/fetch", "400 ", "2\r\n{}\r\n0\r\n"+strings.Repeat("X-A: b\r\n", 100_000), "Transfer-Encoding: chunked")},
	{name: "a hundred thousand chunks", attack: asked("/v1/fetch", "400 INVALID_REQUEST", "Transfer-Encoding: chunked", "", strings.Repeat("1\r\n \r\n", 100_000)+"0\r\n\r\n")},
	{name: "a head over 64 KiB", attack: unfinished("/v1/fetch", "431", "", "X-A: "+strings.Repeat("x", 70<<10))},
	{name: "ten thousand header fields", attack: unfinished("/v1/fetch", "431", "", strings.Repeat("X-A: b\r\n", 10_000)+"X-B: c")},
	{name: "two lengths", attack: unfinished("/v1/fetch", "400", "{}", "Content-Length: 2", "Content-Length: 3")},
	{name: "a length and chunks", attack: func(a *attack) {
		c := a.dial(a.rest)
		c.send(post(a, "/v1/fetch", "Content-Length: 2", "Transfer-Encoding: chunked") + "2\r\n{}\r\n0\r\n\r\nGET /readyz HTTP/1.1\r\nHost: " + a.rest + "\r\n\r\n")
		a.want("the request", c.answer(), "400 INVALID_REQUEST")
		a.want("what is behind its chunks", c.answer(), "200")
	}},
	{name: "a length below zero", attack: unfinished("/v1/fetch", "400", "", "Content-Length: -1")},
	{name: "methods of others", attack: func(a *attack) {
		for _, method := range []string{"TRACE", "PUT", "BREW", "PRI"} {
			c := a.dial(a.rest)
			c.send(method + " /v1/fetch HTTP/1.1\r\nHost: " + a.rest + "\r\n\r\n")
			a.want(method, c.answer(), "405 METHOD_NOT_ALLOWED")
		}
		c := a.dial(a.rest)
		c.send("CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n")
		a.want("CONNECT", c.answer(), "403 FOREIGN_ORIGIN")
	}},
	{name: "a proxy's request", attack: func(a *attack) {
		c := a.dial(a.rest)
		c.send("GET http://169.254.169.254/latest/ HTTP/1.1\r\nHost: " + a.rest + "\r\n\r\n")
		a.want("the request", c.answer(), "403 FOREIGN_ORIGIN")
	}},
	{name: "HTTP/2 without TLS", attack: func(a *attack) {
		c := a.dial(a.rest)
		c.send(http2.ClientPreface)
		a.want("the preface", c.answer(), "403 FOREIGN_ORIGIN")
		c.end()
	}},
	{name: "JSON of ten thousand levels", attack: said("/v1/fetch", body(strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)), "400 INVALID_REQUEST")},
	{name: "JSON that opens and never closes", attack: said("/v1/fetch", body(strings.Repeat(`{"a":`, 50_000)), "400 INVALID_REQUEST")},
	{name: "JSON with 400,000 members", attack: said("/v1/fetch", body(members(400_000)), "400 INVALID_REQUEST")},
	{name: "JSON with a number of 100,000 digits", attack: said("/v1/fetch", body(strings.Repeat("9", 100_000)), "400 INVALID_REQUEST")},
	{name: "JSON with one member twice", attack: said("/v1/fetch", `{"url":"http://127.0.0.1:1/","url":"http://127.0.0.1:2/"}`, "400 INVALID_REQUEST")},
	{name: "JSON that is no UTF-8", attack: said("/v1/fetch", "{\"url\":\"http://127.0.0.1:1/\xff\"}", "400 INVALID_REQUEST")},
	{name: "a hundred thousand headers", attack: said("/v1/fetch", `{"url":"http://127.0.0.1:1/","headers":[`+strings.Repeat(`{"name":"a","value":"b"},`, 99_999)+`{"name":"a","value":"b"}]}`, "400 INVALID_REQUEST")},
	{name: "a batch of two thousand", attack: said("/v1/fetch:batch", `{"requests":[`+strings.Repeat(`{"url":"http://127.0.0.1:1/"},`, 1999)+`{"url":"http://127.0.0.1:1/"}]}`, "400 INVALID_REQUEST")},
}

var rest2Rows = []row{
	{name: "SETTINGS flood", attack: flooded2(frame(http2.FrameSettings, 0, 0, ""))},
	{name: "PING flood", attack: flooded2(frame(http2.FramePing, 0, 0, "12345678"))},
	{name: "rapid reset", attack: rapidReset2},
	{name: "CONTINUATION flood", attack: func(a *attack) {
		c := a.dial2(a.rest).hello()
		c.must(c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.head("/v1/fetch")}))
		c.flood(bytes.Repeat(frame(http2.FrameContinuation, 0, 1, "\x00\x01x\x01y"), 1000), 1000)
	}},
	{name: "a body that does not come", bounds: slow, attack: func(a *attack) {
		c := a.dial2(a.rest).hello()
		c.open(1, "/v1/fetch", "content-type", "application/json")
		a.want("the call", c.outcome(1), "400")
	}},
	{name: "an answer that nobody takes", bounds: server.Bounds{Answer: soon}, attack: func(a *attack) {
		c := a.dial2(a.rest).hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		c.open(1, "/v1/stream", "content-type", "application/json")
		c.must(c.WriteData(1, true, []byte(endlessLine(a))))
		a.want("the call", c.outcome(1), "reset ")
		a.upstream.awaitGone(a.T)
	}},
	{name: "a large answer that nobody takes", bounds: server.Bounds{Answer: soon}, attack: func(a *attack) {
		c := a.dial2(a.rest).hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		c.open(1, "/v1/fetch", "content-type", "application/json")
		c.must(c.WriteData(1, true, []byte(`{"url":"`+a.upstream.URL+`?n=1000000"}`)))
		a.want("the call", c.outcome(1), "reset ")
	}},
	{name: "more calls than may be", attack: func(a *attack) {
		c := a.dial2(a.rest).hello()
		for i := range uint32(300) {
			c.open(2*i+1, "/v1/fetch", "content-type", "application/json")
		}
		a.want("the last", c.outcome(599), "reset ")
	}},
}

// flooded2 sends one frame over and over to a client that does not read, and then
// leaves: net/http bounds what it would answer.
func flooded2(text []byte) func(*attack) {
	return func(a *attack) {
		c := a.dial2(a.rest).hello()
		all := bytes.Repeat(text, 1000)
		for range 200 {
			if _, err := c.Write(all); err != nil {
				return
			}
		}
	}
}

// rapidReset2 wants an end where the resets come faster than they may, which is not
// so on a machine that is hardly given to this process.
func rapidReset2(a *attack) {
	c := a.dial2(a.rest).hello()
	began, before := time.Now(), lateness.so()
	var took, stood time.Duration
	go func() { _, _ = c.Write(append(c.resets("/v1/fetch"), frame(http2.FramePing, 0, 0, "12345678")...)) }()
	c.wait()
	for {
		f, err := c.ReadFrame()
		ping, ok := f.(*http2.PingFrame)
		if all := ok && ping.IsAck(); all || err != nil && took == 0 { // it has read them all, or will not
			took, stood = time.Since(began), lateness.so()-before
		}
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return
		case took > 20*time.Second && stood > took/10: // fewer than 1,000 a second
			a.Logf("the machine was too slow for the attack: it took %v", took)
			return
		default:
			a.Fatalf("the connection is still open; the resets were read after %v", took)
		}
	}
}

func chunked(text string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(text), text) }

func endlessLine(a *attack) string { return `{"start":{"url":"` + a.upstream.URL + `?n=-1"}}` + "\n" }

// members is an object with n of them.
func members(n int) string {
	text := []byte{'{'}
	for i := range n {
		text = append(strconv.AppendInt(append(text, '"'), int64(i), 10), `":0,`...)
	}
	return string(text) + `"z":0}`
}

func TestREST(t *testing.T) { table(t, restRows) }

func TestRESTByHTTP2(t *testing.T) {
	t.Parallel()
	for _, r := range rest2Rows {
		r.tls = true
		t.Run(r.name, r.run)
	}
}
