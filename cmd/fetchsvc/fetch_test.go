package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// echo is what httpbin says of a request.
type echo struct {
	Method  string              `json:"method"`
	URL     string              `json:"url"`
	Args    map[string][]string `json:"args"`
	Headers map[string][]string `json:"headers"`
	Form    map[string][]string `json:"form"`
	Files   map[string][]string `json:"files"`
	Data    string              `json:"data"`
	JSON    any                 `json:"json"`
}

func echoed(t *testing.T, r result) (e echo) {
	t.Helper()
	r.ok(t)
	if err := json.Unmarshal([]byte(r.stdout), &e); err != nil {
		t.Fatalf("not an echo: %v: %s", err, r.stdout)
	}
	return e
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if string(g) != string(w) {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

// TestFetch makes calls in every form against dev's httpbin.
func TestFetch(t *testing.T) {
	t.Parallel()
	w := startDev(t)
	file := writeTemp(t, "note.txt", "from a\nfile")

	t.Run("params and headers", func(t *testing.T) {
		e := echoed(t, w.fetch(t, w.bin+"/get?a=1", "-q", "q=python requests", "-H", "X-One: 1", "-A", "me/1", "-b", "c=1; d=2"))
		same(t, "args", e.Args, map[string][]string{"a": {"1"}, "q": {"python requests"}})
		same(t, "X-One", e.Headers["X-One"], []string{"1"})
		same(t, "User-Agent", e.Headers["User-Agent"], []string{"me/1"})
		same(t, "Cookie", e.Headers["Cookie"], []string{"c=1; d=2"})
	})
	t.Run("data", func(t *testing.T) {
		e := echoed(t, w.fetch(t, "-da=1", "--data", "b=2 3", w.bin+"/post"))
		same(t, "form", e.Form, map[string][]string{"a": {"1"}, "b": {"2 3"}})
	})
	t.Run("data from stdin", func(t *testing.T) {
		r := runToEnd(t, input{stdin: "x=\ny"}, "fetch", "--server", w.grpc, "-d@-", "-XPUT", w.bin+"/put")
		e := echoed(t, r)
		same(t, "form", e.Form, map[string][]string{"x": {"y"}})
		same(t, "method", e.Method, "PUT")
	})
	t.Run("get", func(t *testing.T) {
		e := echoed(t, w.fetch(t, "-G", "-d", "a=1", "-d", "b=2", w.bin+"/get"))
		same(t, "args", e.Args, map[string][]string{"a": {"1"}, "b": {"2"}})
	})
	t.Run("json", func(t *testing.T) {
		e := echoed(t, w.fetch(t, "--json", `{"n": [1, 2]}`, w.bin+"/post"))
		same(t, "data", e.Data, `{"n": [1, 2]}`)
		same(t, "Content-Type", e.Headers["Content-Type"], []string{"application/json"})
	})
	t.Run("form", func(t *testing.T) {
		e := echoed(t, w.fetch(t, "-F", "title=Cat", "-F", "f=@"+file, "--form", "text=<"+file+";type=text/plain", w.bin+"/post"))
		same(t, "form", e.Form, map[string][]string{"title": {"Cat"}, "text": {"from a\nfile"}})
		same(t, "files", e.Files, map[string][]string{"f": {"from a\nfile"}})
	})
	t.Run("bytes", func(t *testing.T) {
		r := w.fetch(t, "--data-binary", "@"+binarySample(t), "-H", "Content-Type: application/x", w.bin+"/anything").ok(t)
		if !strings.Contains(r.stdout, "base64,AP8NCg==") {
			t.Errorf("got %s, want the sample's bytes as they are", r.stdout)
		}
		r = w.fetch(t, w.bin+"/base64/AP8NCg==").ok(t)
		if r.stdout != "\x00\xff\r\n" || r.stderr != "" {
			t.Errorf("got stdout %q and stderr %q, want the bytes and nothing else", r.stdout, r.stderr)
		}
	})
	t.Run("head", func(t *testing.T) {
		r := w.fetch(t, "-I", w.bin+"/get").ok(t)
		if !strings.HasPrefix(r.stdout, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(r.stdout, "\r\n\r\n") {
			t.Errorf("got %q, want a head", r.stdout)
		}
	})
	t.Run("include", func(t *testing.T) {
		r := w.fetch(t, "-i", w.bin+"/redirect/1").ok(t)
		first, rest, _ := strings.Cut(r.stdout, "\r\n\r\n")
		second, body, _ := strings.Cut(rest, "\r\n\r\n")
		if !strings.HasPrefix(first, "HTTP/1.1 302 Found\r\n") || !strings.HasPrefix(second, "HTTP/1.1 200 OK\r\n") || !strings.HasPrefix(body, "{") {
			t.Errorf("got %q, want two heads and a body", r.stdout)
		}
	})
	t.Run("redirects", func(t *testing.T) {
		if r := w.fetch(t, "--no-location", "-i", w.bin+"/redirect/1").ok(t); !strings.HasPrefix(r.stdout, "HTTP/1.1 302 Found\r\n") {
			t.Errorf("got %q, want the 302", r.stdout)
		}
		if r := w.fetch(t, "--max-redirs", "1", w.bin+"/redirect/2"); r.code != exitUpstream || !strings.Contains(r.stderr, "TOO_MANY_REDIRECTS (upstream)") {
			t.Errorf("got exit code %d and %s, want %d and TOO_MANY_REDIRECTS", r.code, r.stderr, exitUpstream)
		}
	})
	t.Run("coding", func(t *testing.T) {
		if r := w.fetch(t, "--compressed", w.bin+"/gzip").ok(t); !strings.Contains(r.stdout, `"gzipped"`) {
			t.Errorf("got %q, want it decoded", r.stdout)
		}
		if r := w.fetch(t, "--raw-coding", w.bin+"/gzip").ok(t); !strings.HasPrefix(r.stdout, "\x1f\x8b") {
			t.Errorf("got %q, want gzip", r.stdout)
		}
	})
	t.Run("idempotency key", func(t *testing.T) {
		e := echoed(t, w.fetch(t, "--idempotency-key=k1", w.bin+"/get"))
		same(t, "Idempotency-Key", e.Headers["Idempotency-Key"], []string{"k1"})
	})
	t.Run("verbose", func(t *testing.T) {
		r := w.fetch(t, "-v", w.bin+"/redirect/1", "-H", "Authorization: Bearer hunter2").ok(t)
		for _, want := range []string{
			"> GET /redirect/1 HTTP/1.1\n> Host: ", "> Authorization: REDACTED\n", "< HTTP/1.1 302 Found\n", "< Location: /get\n",
			"\ncall: 200 in ", "├─ hop 0: GET " + w.bin + "/redirect/1: 302 to /get\n", "└─ hop 1: GET " + w.bin + "/get\n",
			"   └─ attempt 2 (first): 200 over HTTP/1.1\n", "first byte ", "wire: answered",
		} {
			if !strings.Contains(r.stderr, want) {
				t.Errorf("stderr lacks %q:\n%s", want, r.stderr)
			}
		}
		if strings.Contains(r.stderr, "hunter2") {
			t.Errorf("a secret is shown:\n%s", r.stderr)
		}
		if !strings.HasPrefix(r.stdout, "{") {
			t.Errorf("stdout: got %q, want the body alone", r.stdout)
		}
	})
	t.Run("print json", func(t *testing.T) {
		r := w.fetch(t, "--print-json", w.bin+"/json").ok(t)
		var got struct {
			Status   int
			Text     string
			Attempts []any
		}
		if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || got.Status != 200 || got.Text == "" || len(got.Attempts) != 1 {
			t.Errorf("got %s (%v), want the whole response as JSON", r.stdout, err)
		}
	})
	t.Run("large", func(t *testing.T) {
		if r := w.fetch(t, w.bin+"/bytes/100000", "--max-response-bytes=50KiB"); r.code != exitUpstream || !strings.Contains(r.stderr, "RESPONSE_TOO_LARGE") || r.stdout != "" {
			t.Errorf("got exit code %d and %s, want %d and RESPONSE_TOO_LARGE", r.code, r.stderr, exitUpstream)
		}
	})
}

func binarySample(t *testing.T) string { return writeTemp(t, "sample", "\x00\xff\r\n") }

// TestFetchLargest holds that the ceiling of 64 MiB comes through.
func TestFetchLargest(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	policy := writeTemp(t, "large.yaml", `upstreams:
  - name: local
    hosts: ["127.0.0.1:*"]
    schemes: [http]
    sizes: {response: 64MiB}
    unsafe_allow_addresses: [127.0.0.0/8]
`)
	w := startServe(t, "--policy="+policy)
	peer := testpeer.HTTP(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		block := make([]byte, 1<<20)
		for range size / len(block) {
			_, _ = rw.Write(block)
		}
	}))
	file := filepath.Join(t.TempDir(), "large")
	w.fetch(t, "-o", file, peer).ok(t)
	if info, err := os.Stat(file); err != nil || info.Size() != size {
		t.Errorf("got %v (%v), want %d bytes", info, err, size)
	}
}

func TestFetchOutput(t *testing.T) {
	t.Parallel()
	w := startDev(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	content := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(in(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}

	if r := w.fetch(t, "-o", in("new"), w.bin+"/base64/b25l").ok(t); r.stdout != "" || content("new") != "one" {
		t.Errorf("a new file: got %q and stdout %q, want %q and none", content("new"), r.stdout, "one")
	}
	if err := os.Chmod(in("new"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("new", in("link")); err != nil {
		t.Fatal(err)
	}
	w.fetch(t, "-o", in("link"), w.bin+"/base64/dHdv").ok(t)
	info, err := os.Lstat(in("new"))
	if err != nil || info.Mode().Perm() != 0o640 || content("new") != "two" {
		t.Errorf("through a link: got %q, mode %v (%v), want %q and mode 0640", content("new"), info.Mode(), err, "two")
	}
	if info, err := os.Lstat(in("link")); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the link became %v (%v)", info.Mode(), err)
	}

	for _, args := range [][]string{{"-f", w.bin + "/status/500"}, {"-m", "0.1", w.bin + "/delay/5"}, {w.bin + "/bytes/100000", "--max-response-bytes=1KiB"}} {
		if r := w.fetch(t, append(args, "-o", in("new"))...); r.code == 0 || content("new") != "two" {
			t.Errorf("%q: got exit code %d and %q, want a failure that leaves the file alone", args, r.code, content("new"))
		}
	}
	if r := w.fetch(t, "-o", "-", w.bin+"/base64/b25l").ok(t); r.stdout != "one" {
		t.Errorf("-o -: got %q, want %q", r.stdout, "one")
	}
	w.fetch(t, "-o", os.DevNull, w.bin+"/get").ok(t)
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Errorf("%s became %v (%v)", os.DevNull, info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("the folder holds %v (%v), want the file and the link: nothing is left behind", entries, err)
	}
}

// TestFetchFindsOutFirst holds that nothing is sent for an answer that could not
// be kept.
func TestFetchFindsOutFirst(t *testing.T) {
	t.Parallel()
	w := startServe(t, "--policy="+openPolicy(t))
	peer := testpeer.Raw(t, testpeer.OK)
	dir := t.TempDir()
	for _, place := range []string{dir, filepath.Join(dir, "none", "file")} {
		r := w.fetch(t, "-d", "pay", "-o", place, "http://"+peer.Addr)
		if r.code != exitUsage || !strings.Contains(r.stderr, "--output") || peer.Conns() != 0 {
			t.Errorf("-o %s: got exit code %d, %s and %d connections, want %d and none", place, r.code, r.stderr, peer.Conns(), exitUsage)
		}
	}
}

// TestFetchExitCodes shows each exit code that --help lists, and what stderr
// says with it.
func TestFetchExitCodes(t *testing.T) {
	t.Parallel()
	w := startDev(t, "--policy="+openPolicy(t))
	closed := testpeer.ClosedPort(t)
	torn := "http://" + testpeer.Raw(t, testpeer.CutBody).Addr
	tests := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"an error status is an answer", []string{w.bin + "/status/503"}, 0, nil},
		{"no URL", []string{"-v"}, 2, []string{"one URL, not 0", "fetchsvc fetch --help"}},
		{"two URLs", []string{w.bin, w.bin}, 2, []string{"one URL, not 2"}},
		{"unknown flag", []string{"--nope", w.bin}, 2, []string{"--nope", "fetchsvc fetch --help"}},
		{"two bodies", []string{"-d", "1", "--json", "2", w.bin}, 2, []string{"give one kind"}},
		{"server without port", []string{"--server", "localhost", w.bin}, 2, []string{`--server "localhost"`, "HOST:PORT"}},
		{"not http", []string{"ftp://127.0.0.1/"}, 3, []string{"INVALID_REQUEST (gateway): url: "}},
		{"two faults", []string{"-X", "A B", "-H", "Host: x", w.bin}, 3, []string{"has 2 faults\n  method: ", "\n  headers[0].name: "}},
		{"bad JSON", []string{"--json", "{", w.bin}, 3, []string{"json_text: "}},
		{"denied", []string{"https://example.com/"}, 4, []string{"POLICY_DENIED (gateway): "}},
		{"nobody there", []string{"--server", closed, w.bin}, 5, []string{"no answer from fetchsvc at " + closed, "connection refused", "fetchsvc dev", "--server"}},
		{"the wrong door", []string{"--server", w.rest, w.bin}, 5, []string{"no answer from fetchsvc at " + w.rest, "--server"}},
		{"refused", []string{"http://" + closed + "/"}, 6, []string{"CONNECTION_REFUSED (upstream, safe to retry): "}},
		{"refused, verbose", []string{"-v", "http://" + closed + "/"}, 6, []string{
			"CONNECTION_REFUSED (upstream, safe to retry): ", "\nwhat was tried:\n└─ hop 0: GET http://" + closed + "/\n   └─ attempt 1 (first)\n",
			"address: 127.0.0.1", ", no connection\n", "wire: unsent", "error: CONNECTION_REFUSED"}},
		{"torn, verbose", []string{"-v", torn}, 6, []string{"BODY_CUT_SHORT (upstream", "> GET / HTTP/1.1\n", "< HTTP/1.1 200 OK\n", "wire: answered"}},
		{"fail on status", []string{"-f", w.bin + "/status/404"}, 22, []string{"UPSTREAM_STATUS (upstream): ", "404"}},
		{"timeout", []string{"-m", "0.1", w.bin + "/delay/5"}, 28, []string{"TOTAL_TIMEOUT (upstream"}},
		{"connect timeout", []string{"--connect-timeout", "50ms", "http://" + testpeer.Blackhole(t)}, 28, []string{"CONNECT_TIMEOUT (upstream, safe to retry)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := w.fetch(t, tt.args...)
			if r.code != tt.code {
				t.Errorf("exit code: got %d, want %d", r.code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(r.stderr, want) {
					t.Errorf("stderr lacks %q:\n%s", want, r.stderr)
				}
			}
			if tt.code != 0 && (r.stdout != "" || !strings.HasPrefix(r.stderr, "fetchsvc: ")) {
				t.Errorf("got stdout %q and stderr %q, want the error on stderr alone", r.stdout, r.stderr)
			}
		})
	}
	t.Run("full disk", func(t *testing.T) {
		if _, err := os.Stat("/dev/full"); errors.Is(err, fs.ErrNotExist) {
			t.Skip("there is no /dev/full here")
		}
		if r := w.fetch(t, "-o", "/dev/full", w.bin+"/get"); r.code != exitOther || !strings.Contains(r.stderr, "writing the answer") {
			t.Errorf("got exit code %d and %s, want %d", r.code, r.stderr, exitOther)
		}
	})
}

func TestFetchInterrupted(t *testing.T) {
	t.Parallel()
	slow := testpeer.Slow(t, make(chan struct{}))
	w := startServe(t, "--policy="+openPolicy(t))
	file := filepath.Join(t.TempDir(), "file")
	c := start(t, input{}, "fetch", "--server", w.grpc, "-o", file, slow.URL)
	slow.AwaitActive(1)
	c.signal(syscall.SIGINT)
	if code := c.wait(); code != exitInterrupted || c.stderr.String() != "fetchsvc: interrupted\n" {
		t.Errorf("got exit code %d and %q, want %d", code, c.stderr, exitInterrupted)
	}
	slow.AwaitCancelled(1) // the service let go of the upstream too
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 0 {
		t.Errorf("the folder holds %v (%v), want nothing", entries, err)
	}
}

// TestFetchInterruptedAtStdin: a body that never ends does not hold Ctrl-C up.
func TestFetchInterruptedAtStdin(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	c := start(t, input{pipe: r}, "fetch", "-d@-", "http://127.0.0.1/")
	if _, err := w.Write(make([]byte, 1<<20)); err != nil { // more than a pipe holds: it is being read
		t.Fatal(err)
	}
	c.signal(syscall.SIGINT)
	if code := c.wait(); code != exitInterrupted {
		t.Errorf("got exit code %d and %s, want %d", code, c.stderr, exitInterrupted)
	}
}
