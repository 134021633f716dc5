package main

import (
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// noise is a body that cannot be mistaken for another.
func noise(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(p)
	return p
}

// holdsOnly fails the test unless the folder holds just the names given.
func holdsOnly(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	same(t, "what the folder holds", got, append([]string{}, want...))
}

func TestStreamDownload(t *testing.T) {
	t.Parallel()
	w := startServe(t, "--policy="+openPolicy(t))
	body := noise(7<<20 + 11)
	peer := testpeer.HTTP(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(body) }))
	file := filepath.Join(t.TempDir(), "file")

	r := w.fetch(t, peer)
	if r.code != exitUpstream || !strings.Contains(r.stderr, "RESPONSE_TOO_LARGE") || !strings.Contains(r.stderr, "\n  --stream takes") {
		t.Errorf("without --stream: got exit code %d and %s, want RESPONSE_TOO_LARGE and what to do", r.code, r.stderr)
	}
	if r := w.fetch(t, "--stream", peer).ok(t); r.stdout != string(body) || r.stderr != "" {
		t.Errorf("stdout: got %d bytes and %q on stderr, want the %d that were sent, and nothing", len(r.stdout), r.stderr, len(body))
	}
	if r := w.fetch(t, "--stream", "-o", file, peer).ok(t); r.stdout != "" || r.stderr != "" {
		t.Errorf("-o: got %q and %q, want no words", r.stdout, r.stderr)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != string(body) {
		t.Errorf("-o: got %d bytes (%v), want the %d that were sent", len(got), err, len(body))
	}
	holdsOnly(t, filepath.Dir(file), "file")
}

// TestStreamFlags holds that what is said of a unary call is said of a stream.
func TestStreamFlags(t *testing.T) {
	t.Parallel()
	w := startDev(t)
	r := w.fetch(t, "--stream", "-v", "-i", w.bin+"/redirect/1").ok(t)
	if !strings.HasPrefix(r.stdout, "HTTP/1.1 302 Found\r\n") || !strings.Contains(r.stdout, "\r\n\r\nHTTP/1.1 200 OK\r\n") || !strings.HasSuffix(r.stdout, "}\n") {
		t.Errorf("-i: got %q, want two heads and a body", r.stdout)
	}
	for _, want := range []string{
		"< HTTP/1.1 302 Found\n< ", "< Location: /get\n", "> GET /redirect/1 HTTP/1.1\n> Host: ", "> GET /get HTTP/1.1\n",
		"\ncall: 200 in ", ", upstream httpbin, ", "├─ hop 0: GET " + w.bin + "/redirect/1: 302 to /get\n", "   └─ attempt 2 (first): 200 over HTTP/1.1\n",
	} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("-v: stderr lacks %q:\n%s", want, r.stderr)
		}
	}
	if r := w.fetch(t, "--stream", "-I", w.bin+"/get").ok(t); !strings.HasSuffix(r.stdout, "\r\n\r\n") {
		t.Errorf("-I: got %q, want a head", r.stdout)
	}
	e := echoed(t, w.fetch(t, "--stream", "--json", `{"n":1}`, "-q", "a=1", w.bin+"/post"))
	same(t, "data", e.Data, `{"n":1}`)
	same(t, "args", e.Args, map[string][]string{"a": {"1"}})
	if r := w.fetch(t, "--stream", "--raw-coding", w.bin+"/gzip").ok(t); !strings.HasPrefix(r.stdout, "\x1f\x8b") {
		t.Errorf("--raw-coding: got %q, want gzip", r.stdout)
	}

	file := filepath.Join(t.TempDir(), "file")
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-f", w.bin + "/status/404"}, exitStatus, "UPSTREAM_STATUS (upstream): "},
		{[]string{"https://127.0.0.1/"}, exitDenied, "_DENIED (gateway): "},
		{[]string{"-m", "0.1", w.bin + "/delay/5"}, exitTimeout, ""},
		{[]string{"--max-response-bytes=1KiB", w.bin + "/bytes/100000"}, exitUpstream, "RESPONSE_TOO_LARGE"},
		{[]string{"--server", testpeer.ClosedPort(t), w.bin}, exitNoService, "no answer from fetchsvc"},
		{[]string{"-o", filepath.Dir(file), w.bin}, exitUsage, "--output: "},
	} {
		r := w.fetch(t, append([]string{"--stream", "-o", file}, tt.args...)...)
		if r.code != tt.code || !strings.Contains(r.stderr, tt.want) || !strings.HasPrefix(r.stderr, "fetchsvc: ") {
			t.Errorf("%q: got exit code %d and %s, want %d and %q", tt.args, r.code, r.stderr, tt.code, tt.want)
		}
		holdsOnly(t, filepath.Dir(file))
	}
}

// TestStreamArrives holds the upstream until its reader has what it sent.
func TestStreamArrives(t *testing.T) {
	t.Parallel()
	w := startServe(t, "--policy="+openPolicy(t))
	next := make(chan struct{})
	steps := func(kind string, pieces ...string) string {
		return testpeer.Raw(t, func(c *testpeer.RawConn) {
			c.ReadRequest()
			c.Write(testpeer.Lines("HTTP/1.1 200 OK", "Content-Type: "+kind))
			for _, piece := range pieces {
				c.Write(piece)
				select {
				case <-next:
				case <-c.Done():
					return
				}
			}
		}).URL
	}
	events := steps("text/event-stream", "data: <1>\n\n", ": comment\nid: 7\nevent: add\nretry: 50\ndata: a\ndata: b\n\n", "data: last\n\n")
	lines := steps("text/plain", "one\n", "tw", "o\r\nd\xfcr\n", "end")
	tests := []struct {
		name string
		args []string
		want []string // after each piece
	}{
		{"bytes", []string{"--stream", steps("text/plain", "one", "two")}, []string{"one", "onetwo"}},
		{"bytes to a device", []string{"--stream", "-o", "/dev/stdout", steps("text/plain", "one", "two")}, []string{"one", "onetwo"}},
		{"events", []string{"--sse", events}, []string{
			`{"id":"","event":"message","data":"<1>"}` + "\n",
			`{"id":"","event":"message","data":"<1>"}` + "\n" + `{"id":"7","event":"add","data":"a\nb","retry":50}` + "\n",
			`{"id":"","event":"message","data":"<1>"}` + "\n" + `{"id":"7","event":"add","data":"a\nb","retry":50}` + "\n" + `{"id":"7","event":"message","data":"last"}` + "\n",
		}},
		{"lines", []string{"--lines", lines}, []string{"one\n", "one\n", "one\ntwo\nd\xfcr\n", "one\ntwo\nd\xfcr\nend\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := start(t, input{}, append([]string{"fetch", "--server", w.grpc}, tt.args...)...)
			for i, want := range tt.want {
				if i < len(tt.want)-1 {
					c.awaitText(want)
				}
				next <- struct{}{}
			}
			if code := c.wait(); code != 0 || c.stdout.String() != tt.want[len(tt.want)-1] {
				t.Errorf("got exit code %d, %q and %s, want %q", code, c.stdout, c.stderr, tt.want[len(tt.want)-1])
			}
		})
	}
}

// TestStreamTorn breaks the body off behind "part".
func TestStreamTorn(t *testing.T) {
	t.Parallel()
	w := startServe(t, "--policy="+openPolicy(t))
	torn := "http://" + testpeer.Raw(t, testpeer.CutBody).Addr
	file := writeTemp(t, "file", "as it was")

	r := w.fetch(t, "--stream", "-v", torn)
	if r.code != exitUpstream || r.stdout != "part" {
		t.Errorf("got exit code %d and %q, want %d and what came", r.code, r.stdout, exitUpstream)
	}
	for _, want := range []string{"fetchsvc: BODY_CUT_SHORT (upstream", "< Content-Length: 100\n", "\nwhat was tried:\n", "error: BODY_CUT_SHORT", "\n  4 bytes of the body were written\n"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("stderr lacks %q:\n%s", want, r.stderr)
		}
	}
	r = w.fetch(t, "--stream", "-o", file, torn)
	if r.code != exitUpstream || !strings.Contains(r.stderr, "\n  4 bytes of the body had come; "+file+" was not written\n") {
		t.Errorf("-o: got exit code %d and %s, want %d and how much came", r.code, r.stderr, exitUpstream)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "as it was" {
		t.Errorf("-o: got %q (%v), want the file as it was", text, err)
	}
	holdsOnly(t, filepath.Dir(file), "file")
	if r := w.fetch(t, "--lines", "http://"+testpeer.Raw(t, testpeer.CutChunk).Addr); r.code != exitUpstream || !strings.Contains(r.stderr, "\n  0 lines of the body were written\n") {
		t.Errorf("--lines: got exit code %d, %q and %s, want %d and no torn line", r.code, r.stdout, r.stderr, exitUpstream)
	}
}

func TestStreamInterrupted(t *testing.T) {
	t.Parallel()
	w := startServe(t, "--policy="+openPolicy(t))
	peer := testpeer.Raw(t, testpeer.StallMidBody)
	file := filepath.Join(t.TempDir(), "file")
	toStdout := start(t, input{}, "fetch", "--server", w.grpc, "--stream", peer.URL)
	toStdout.awaitText("part")
	toFile := start(t, input{}, "fetch", "--server", w.grpc, "--stream", "-o", file, peer.URL)
	peer.AwaitRequests(2)
	for _, c := range []*child{toStdout, toFile} {
		c.signal(syscall.SIGINT)
		if code := c.wait(); code != exitInterrupted || !strings.HasPrefix(c.stderr.String(), "fetchsvc: interrupted\n") {
			t.Errorf("got exit code %d and %s, want %d", code, c.stderr, exitInterrupted)
		}
	}
	peer.AwaitEnded(2) // the service let go of the upstream too
	holdsOnly(t, filepath.Dir(file))
}

// TestStreamBreaks: what --max-time and the end of the service do to a body that
// is under way.
func TestStreamBreaks(t *testing.T) {
	t.Parallel()
	w := startServe(t, "--policy="+openPolicy(t))
	peer := testpeer.Raw(t, testpeer.StallMidBody)
	if r := w.fetch(t, "--stream", "-m", "3s", peer.URL); r.code != exitTimeout || r.stdout != "part" || !strings.Contains(r.stderr, "4 bytes of the body") {
		t.Errorf("--max-time: got exit code %d, %q and %s, want %d and what came", r.code, r.stdout, r.stderr, exitTimeout)
	}
	c := start(t, input{}, "fetch", "--server", w.grpc, "--stream", peer.URL)
	c.awaitText("part")
	w.signal(syscall.SIGKILL)
	if code := c.wait(); code != exitNoService || !strings.Contains(c.stderr.String(), "the connection to fetchsvc at "+w.grpc+" broke: ") {
		t.Errorf("the service died: got exit code %d and %s, want %d", code, c.stderr, exitNoService)
	}
}
