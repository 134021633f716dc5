package canarytest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"unicode/utf16"

	"github.com/andybalholm/brotli"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// echo is an upstream that gives back what it got, in the way that the path asks
// for.
type echo struct {
	birds *aviary
	// away is the base URL of another host, and other its script.
	away  string
	other *echo

	mu    sync.Mutex
	heard []string // what was told
	kept  string   // the body that is downloaded in parts
	seen  []string
}

// answer writes what a way makes of what was echoed.
type answer func(e *echo, c *testpeer.RawConn, text string, r testpeer.Request)

// as makes an answer of a body, and of headers in which {} is what was echoed.
func as(write func(text string) string, fields ...string) answer {
	return func(_ *echo, c *testpeer.RawConn, text string, _ testpeer.Request) {
		filled := make([]string, len(fields))
		for i, f := range fields {
			filled[i] = strings.ReplaceAll(f, "{}", text)
		}
		c.Write(testpeer.Response(200, write(text), filled...))
	}
}

// raw makes one of the bytes of a whole answer, and closes behind it.
func raw(write func(text string) string) answer {
	return func(_ *echo, c *testpeer.RawConn, text string, _ testpeer.Request) {
		c.Write(write(text))
		c.Linger()
	}
}

func head(lines ...string) answer {
	return raw(func(text string) string { return strings.ReplaceAll(testpeer.Lines(lines...), "{}", text) })
}

func plain(text string) string { return text }

// inBodies are ways to echo in what a caller reads as the body.
var inBodies = map[string]answer{
	"body":   as(plain, "Content-Type: text/plain"),
	"binary": as(func(s string) string { return "\x00\xff" + s + "\xfe" }, "Content-Type: application/octet-stream"),
	"gzip": as(func(s string) string {
		return compressed(s, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	}, "Content-Type: text/plain", "Content-Encoding: gzip"),
	"br": as(func(s string) string {
		return compressed(s, func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) })
	}, "Content-Type: text/plain", "Content-Encoding: br"),
	"chunks": func(_ *echo, c *testpeer.RawConn, text string, _ testpeer.Request) {
		c.Write(testpeer.Lines("HTTP/1.1 200 OK", "Content-Type: text/plain", "Transfer-Encoding: chunked"))
		for _, b := range []byte(text) {
			c.Write("1\r\n" + string([]byte{b}) + "\r\n")
		}
		c.Write("0\r\n\r\n")
	},
	"sse":          as(func(s string) string { return "event: a\ndata: " + s + "\nid: " + s + "\n\n: " + s + "\n\ndata: b\n\n" }, "Content-Type: text/event-stream"),
	"lines":        as(func(s string) string { return strings.ReplaceAll(s, " | ", "\n") + "\n" }, "Content-Type: text/plain"),
	"json":         as(func(s string) string { return jsonText(s, true) }, "Content-Type: application/json"),
	"json-plain":   as(func(s string) string { return jsonText(s, false) }, "Content-Type: application/json"),
	"json-slashes": as(func(s string) string { return strings.ReplaceAll(jsonText(s, false), "/", `\/`) }, "Content-Type: application/json"),
	"json-units":   as(func(s string) string { return `{"it":"` + everyRune(s, `\u%04x`) + `"}` }, "Content-Type: application/json"),
	"percent":      as(url.QueryEscape), "path": as(url.PathEscape), "all-percent": as(func(s string) string { return everyByte(s, "%%%02x") }),
	"form": as(func(s string) string { return url.Values{"it": {s}}.Encode() }, "Content-Type: application/x-www-form-urlencoded"),
	"html": as(html.EscapeString, "Content-Type: text/html"), "all-html": as(func(s string) string { return everyRune(s, "&#x%x;") }, "Content-Type: text/html"),
	"base64":     as(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }),
	"base64-url": as(func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("x" + s)) }),
	"base64-json": as(func(s string) string {
		return strings.ReplaceAll(jsonText(base64.StdEncoding.EncodeToString([]byte(s)), true), "/", `\/`)
	}, "Content-Type: application/json"),
	"base64-form": as(func(s string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(s))) }),
	"hex":         as(func(s string) string { return hex.EncodeToString([]byte(s)) }), "HEX": as(func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) }),
	"utf-16": as(func(s string) string { return utf16le(s) }, "Content-Type: text/plain; charset=utf-16le"),
	"error": func(_ *echo, c *testpeer.RawConn, text string, _ testpeer.Request) {
		c.Write(testpeer.Response(500, "<p>"+html.EscapeString(text), "Content-Type: text/html"))
	},
	"refused": func(_ *echo, c *testpeer.RawConn, text string, _ testpeer.Request) {
		c.Write(testpeer.Response(401, text, `WWW-Authenticate: Bearer error_description="`+text+`"`))
	},
	"resumed": (*echo).part,
}

// inHeads are ways to echo before, behind and around a body.
var inHeads = map[string]answer{
	"header":        as(func(string) string { return "ok" }, "X-Echo: {}", "X-Echo: and {}"),
	"type":          as(func(string) string { return "ok" }, "Content-Type: text/plain; it={}"),
	"links":         as(func(string) string { return "ok" }, "Link: </a?it={}>; rel=next; title=\"{}\"", "ETag: \"{}\""),
	"cookie":        as(func(string) string { return "ok" }, "Set-Cookie: a={}; Path=/", "Set-Cookie: b=\"{}\""),
	"reason":        head("HTTP/1.1 200 {}", "Content-Length: 0"),
	"informational": head("HTTP/1.1 103 Early Hints", "Link: <{}>; rel=preload", "", "HTTP/1.1 200 OK", "Content-Length: 0"),
	"challenge":     head("HTTP/1.1 401 Unauthorized", `WWW-Authenticate: Digest realm="{}", nonce="n", qop="auth", algorithm=SHA-256`, `WWW-Authenticate: Basic realm="{}"`, "Content-Length: 0"),
	"retry-after":   head("HTTP/1.1 429 {}", "Retry-After: {}", "Content-Length: 0"),
	"trailer":       head("HTTP/1.1 200 OK", "Trailer: X-Echo", "Transfer-Encoding: chunked", "", "2\r\nok\r\n0\r\nX-Echo: {}"),
	"location": func(e *echo, c *testpeer.RawConn, text string, r testpeer.Request) {
		if strings.Contains(r.Target, "again") {
			c.Write(testpeer.Response(200, "arrived"))
			return
		}
		c.Write(testpeer.Response(302, text, "Location: /location?again="+url.QueryEscape(text), "X-Echo: "+text, "Set-Cookie: a="+text))
	},
	"location-raw": head("HTTP/1.1 302 Found", "Location: {}", "Content-Length: 0"),
	"told": func(e *echo, c *testpeer.RawConn, text string, _ testpeer.Request) {
		c.Write(testpeer.Response(307, "", "Location: "+e.away+e.other.hear(text)))
	},
	"elsewhere": func(e *echo, c *testpeer.RawConn, text string, _ testpeer.Request) {
		c.Write(testpeer.Response(307, text, "Location: "+e.away+"/?it="+url.QueryEscape(text), "X-Echo: "+text))
	},
	"nowhere": head("HTTP/1.1 302 Found", "Location: gopher://{}/", "Content-Length: 0"),
}

// inFaults are ways to echo in what is no answer.
var inFaults = map[string]answer{
	"no-status":   raw(func(s string) string { return s + "\r\n\r\n" }),
	"status":      head("HTTP/1.1 {} OK"),
	"status-code": head("HTTP/1.1 20x {}"),
	"version":     head("HTTP/{} 200 OK"),
	"no-colon":    head("HTTP/1.1 200 OK", "{}"),
	"name":        head("HTTP/1.1 200 OK", "{}: a"),
	"length":      head("HTTP/1.1 200 OK", "Content-Length: {}"),
	"lengths":     head("HTTP/1.1 200 OK", "Content-Length: 2", "Content-Length: {}"),
	"transfer":    head("HTTP/1.1 200 OK", "Transfer-Encoding: {}"),
	"chunk": raw(func(s string) string {
		return testpeer.Lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + s + "\r\n"
	}),
	"coding":   as(plain, "Content-Encoding: {}"),
	"bad-gzip": as(plain, "Content-Encoding: gzip"),
	"late":     raw(func(s string) string { return s[:min(len(s), 150)] }),
	"cut": func(e *echo, c *testpeer.RawConn, text string, _ testpeer.Request) {
		c.Write(testpeer.Lines("HTTP/1.1 200 OK", "Content-Type: text/plain", "Content-Length: 100000") + e.torn(text))
		c.Linger()
	},
	"cut-gzip": func(e *echo, c *testpeer.RawConn, text string, _ testpeer.Request) {
		coded := compressed(e.torn(text), func(w io.Writer) io.WriteCloser { w2 := gzip.NewWriter(w); return w2 })
		c.Write(testpeer.Response(200, coded[:len(coded)-8], "Content-Type: text/plain", "Content-Encoding: gzip"))
	},
	"large":      as(func(s string) string { return strings.Repeat(s+" ", 1+(8<<10)/len(s)) }),
	"large-head": head("HTTP/1.1 200 OK", "X-Echo: {}", "X-Fill: "+strings.Repeat("a", 1<<20)),
	"loop": func(_ *echo, c *testpeer.RawConn, text string, _ testpeer.Request) {
		c.Write(testpeer.Response(302, text, "Location: /loop?it="+url.QueryEscape(text)))
	},
	"reset": func(_ *echo, c *testpeer.RawConn, text string, _ testpeer.Request) {
		c.Write("HTTP/1.1 200 OK\r\nX-Echo: " + text)
		c.Reset()
	},
	// The connection is idle by then: net/http tells its log what it got.
	"unasked": func(_ *echo, c *testpeer.RawConn, text string, _ testpeer.Request) {
		at := max(strings.Index(text, "cnry-"), 0)
		c.Write(testpeer.Response(200, "ok") + text[at:] + " | " + text)
		c.Linger()
	},
	"silent": func(_ *echo, c *testpeer.RawConn, _ string, _ testpeer.Request) { c.Stall() },
}

// script serves a connection.
func (e *echo) script(c *testpeer.RawConn) {
	testpeer.EachRequest(func(c *testpeer.RawConn, r testpeer.Request) {
		text := received(r)
		e.mu.Lock()
		e.seen = append(e.seen, text)
		e.mu.Unlock()
		way, _, _ := strings.Cut(strings.TrimPrefix(r.Target, "/"), "?")
		for _, ways := range []map[string]answer{inBodies, inHeads, inFaults} {
			if write := ways[way]; write != nil {
				write(e, c, text, r)
				return
			}
		}
		told := e.tell(r.Target)
		c.Write(testpeer.Response(200, "ok "+told, "Content-Type: text/plain", "X-Echo: "+told))
	})(c)
}

// received is all of r on one line: what was sent, and what Basic has in it.
func received(r testpeer.Request) string {
	parts := []string{r.Target}
	for _, f := range r.Fields {
		parts = append(parts, f.Name+": "+f.Value)
		if pair, ok := strings.CutPrefix(f.Value, "Basic "); ok {
			plain, _ := base64.StdEncoding.DecodeString(pair)
			parts = append(parts, string(plain))
		}
	}
	if target, err := url.PathUnescape(r.Target); err == nil {
		parts = append(parts, target)
	}
	return strings.Join(append(parts, string(r.Body.Data)), " | ")
}

// torn is text as far as the better part of its first canary.
func (e *echo) torn(text string) string {
	if at, size := e.birds.within(text); at >= 0 {
		return text[:at+size-3]
	}
	return text[:len(text)/2]
}

// part gives a body of which the first answer has the beginning.
func (e *echo) part(c *testpeer.RawConn, text string, r testpeer.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	from := 0
	if _, err := fmt.Sscanf(r.Get("Range"), "bytes=%d-", &from); err != nil || e.kept == "" {
		e.kept, from = text+strings.Repeat(" and more", 100), 0
	}
	if from == 0 {
		c.Write(testpeer.Lines("HTTP/1.1 200 OK", `ETag: "v1"`, "Accept-Ranges: bytes", fmt.Sprint("Content-Length: ", len(e.kept))) + e.torn(e.kept))
		c.Linger()
	}
	c.Write(testpeer.Lines("HTTP/1.1 206 Partial Content", `ETag: "v1"`, fmt.Sprintf("Content-Range: bytes %d-%d/%d", from, len(e.kept)-1, len(e.kept)),
		fmt.Sprint("Content-Length: ", len(e.kept)-from)) + e.kept[from:])
}

// got says that a request had text in it.
func (e *echo) got(text string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.seen, func(s string) bool { return strings.Contains(s, text) })
}

// hear keeps what another host knows of a caller, for the path that it gives.
func (e *echo) hear(text string) (path string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, text)
	return fmt.Sprint("/heard/", len(e.heard)-1)
}

// tell gives it; empty: nothing is known.
func (e *echo) tell(path string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	if _, err := fmt.Sscanf(path, "/heard/%d", &n); err != nil {
		return ""
	}
	return e.heard[n]
}

// all is what came, a line each request.
func (e *echo) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.seen)
}

func compressed(text string, writer func(io.Writer) io.WriteCloser) string {
	var b bytes.Buffer
	w := writer(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

// utf16le is s in UTF-16, the low byte first.
func utf16le(s string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return string(b)
}

func jsonText(s string, escapeHTML bool) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(escapeHTML)
	_ = enc.Encode(map[string]string{"it": s})
	return b.String()
}
