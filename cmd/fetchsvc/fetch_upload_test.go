package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// arrived is an upload as the upstream saw it.
type arrived struct {
	*http.Request
	body []byte
	err  error // of reading the body
}

// taker answers an upload with its body.
func taker(t *testing.T) (url string, took <-chan arrived) {
	t.Helper()
	all := make(chan arrived, 16)
	return testpeer.HTTP(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		_, _ = rw.Write(body)
		all <- arrived{r, body, err}
	})), all
}

func TestUpload(t *testing.T) {
	t.Parallel()
	w := startServe(t, "--policy="+openPolicy(t))
	url, took := taker(t)
	body := noise(5<<20 + 3)
	file := writeTemp(t, "the file", string(body))
	run := func(args ...string) arrived {
		t.Helper()
		c := start(t, input{stdin: string(body)}, append([]string{"fetch", "--server", w.grpc}, args...)...)
		if code := c.wait(); code != 0 || c.stdout.String() != string(body) {
			t.Fatalf("%q: got exit code %d, %d bytes and %s, want the %d that were sent", args, code, len(c.stdout.String()), c.stderr, len(body))
		}
		a := <-took
		if a.err != nil || !bytes.Equal(a.body, body) {
			t.Errorf("%q: %d bytes arrived (%v), want the %d that were sent", args, len(a.body), a.err, len(body))
		}
		return a
	}

	a := run("-T", file, url)
	same(t, "method and path", a.Method+" "+a.URL.EscapedPath(), "PUT /the%20file")
	same(t, "Content-Length", a.ContentLength, len(body))
	same(t, "Content-Type", a.Header["Content-Type"], nil)
	a = run("-T", "-", "-X", "POST", "-H", "Content-Type: a/b", url+"/x")
	same(t, "method and path", a.Method+" "+a.URL.Path, "POST /x")
	same(t, "Content-Length from stdin", a.ContentLength, -1)
	same(t, "Content-Type", a.Header["Content-Type"], []string{"a/b"})
	a = run("-T", file, "--expect-continue", url+"/x")
	same(t, "Expect", a.Header["Expect"], []string{"100-continue"})
	a = run("-T", file, "--trailer", "X-Sum: 1", "--trailer", "X-Note:two", "--trailer", "X-Sum: 3", url+"/x")
	same(t, "trailers", a.Trailer, http.Header{"X-Sum": {"1", "3"}, "X-Note": {"two"}})
	same(t, "Content-Length beside trailers", a.ContentLength, -1)
	body = nil
	a = run("-T", writeTemp(t, "empty", ""), url+"/x")
	same(t, "Content-Length of nothing", a.ContentLength, 0)
}

// TestUploadOfProc: a file may hold more than the size that it claims.
func TestUploadOfProc(t *testing.T) {
	t.Parallel()
	const file = "/proc/version"
	body, err := os.ReadFile(file)
	if err != nil {
		t.Skip(err)
	}
	w := startServe(t, "--policy="+openPolicy(t))
	url, _ := taker(t)
	if r := w.fetch(t, "-T", file, url).ok(t); r.stdout != string(body) {
		t.Errorf("got %q, want %q", r.stdout, body)
	}
}

// TestUploadTorn holds that an upload whose file cannot be read to its end does
// not look complete to the upstream.
func TestUploadTorn(t *testing.T) {
	t.Parallel()
	w := startServe(t, "--policy="+openPolicy(t))
	t.Run("stdin cannot be read", func(t *testing.T) {
		folder, err := os.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer folder.Close()
		peer := testpeer.Raw(t, testpeer.OK)
		c := start(t, input{pipe: folder}, "fetch", "--server", w.grpc, "-T", "-", peer.URL)
		if code := c.wait(); code != exitOther || !strings.Contains(c.stderr.String(), "fetchsvc: reading stdin: is a directory; the upload was aborted after 0 bytes\n") {
			t.Errorf("got exit code %d and %s, want %d and what could not be read", code, c.stderr, exitOther)
		}
		for _, r := range peer.Requests() {
			if bytes.Contains(r, []byte("0\r\n\r\n")) {
				t.Errorf("the upstream got a complete request: %q", r)
			}
		}
	})
	t.Run("the file shrinks", func(t *testing.T) {
		const size = 256 << 20 // more than all buffers on the way hold, and no byte on the disk
		file := writeTemp(t, "file", "")
		if err := os.Truncate(file, size); err != nil {
			t.Fatal(err)
		}
		head, goOn, result := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		url := testpeer.HTTP(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(head)
			select {
			case <-goOn:
			case <-t.Context().Done():
			}
			_, err := io.Copy(io.Discard, r.Body)
			result <- err
		}))
		c := start(t, input{}, "fetch", "--server", w.grpc, "-T", file, url)
		await(t, "the head", head)
		if err := os.Truncate(file, 1<<20); err != nil {
			t.Fatal(err)
		}
		close(goOn)
		if code := c.wait(); code != exitOther || !strings.Contains(c.stderr.String(), "fetchsvc: reading "+file+": it shrank from 268435456 to ") {
			t.Errorf("got exit code %d and %s, want %d and what happened", code, c.stderr, exitOther)
		}
		if err, _ := await(t, "the end of the upload", result); err == nil {
			t.Error("the upstream got a complete body")
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		r, pipe, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer pipe.Close()
		defer r.Close()
		url, took := taker(t)
		c := start(t, input{pipe: r}, "fetch", "--server", w.grpc, "-T", "-", url)
		if _, err := pipe.Write(make([]byte, 1<<20)); err != nil { // more than a pipe holds: it is being read
			t.Fatal(err)
		}
		c.signal(syscall.SIGINT)
		if code := c.wait(); code != exitInterrupted {
			t.Errorf("got exit code %d and %s, want %d", code, c.stderr, exitInterrupted)
		}
		if a, _ := await(t, "the end of the upload", took); a.err == nil {
			t.Error("the upstream got a complete body")
		}
	})
}

// TestUploadAnsweredEarly: the answer counts, though stdin goes on.
func TestUploadAnsweredEarly(t *testing.T) {
	t.Parallel()
	w := startServe(t, "--policy="+openPolicy(t))
	for _, tt := range []struct {
		args []string
		code int
		out  string
	}{{nil, 0, "too large"}, {[]string{"-f"}, exitStatus, ""}} {
		r, pipe, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer pipe.Close()
		defer r.Close()
		peer := testpeer.Raw(t, testpeer.EarlyAnswer)
		c := start(t, input{pipe: r}, append([]string{"fetch", "--server", w.grpc, "-T", "-", peer.URL}, tt.args...)...)
		if code := c.wait(); code != tt.code || c.stdout.String() != tt.out {
			t.Errorf("%q: got exit code %d, %q and %s, want %d and %q", tt.args, code, c.stdout, c.stderr, tt.code, tt.out)
		}
	}
}

// script is the request side of a Stream that keeps what was sent.
type script struct {
	got    []*fetchsvcv1.StreamRequest
	data   []byte
	closed bool
	fails  bool
}

func (s *script) Send(m *fetchsvcv1.StreamRequest) error {
	if s.fails {
		return io.EOF
	}
	s.got = append(s.got, m)
	s.data = append(s.data, m.GetChunk()...)
	if len(m.GetChunk()) > 32704 {
		return errors.New("the chunk is too large")
	}
	return nil
}

func (s *script) CloseSend() error { s.closed = true; return nil }

func TestUploadSend(t *testing.T) {
	body := noise(100_000)
	torn := func() io.Reader {
		return io.MultiReader(bytes.NewReader(body), iotest.ErrReader(&os.PathError{Op: "read", Path: "f", Err: syscall.EIO}))
	}
	tests := []struct {
		name  string
		from  io.Reader
		size  int64
		fails bool
		whole bool
		want  string
	}{
		{"whole", bytes.NewReader(body), int64(len(body)), false, true, ""},
		{"of unknown size", iotest.DataErrReader(bytes.NewReader(body)), -1, false, true, ""},
		{"in small pieces", iotest.HalfReader(bytes.NewReader(body)), int64(len(body)), false, true, ""},
		{"too short", bytes.NewReader(body), int64(len(body)) + 1, false, false, "reading f: it shrank from 100001 to 100000 bytes; the upload was aborted after 100000 bytes"},
		{"cannot be read", torn(), -1, false, false, "reading f: input/output error; the upload was aborted after 100000 bytes"},
		{"cannot be read at the end", torn(), int64(len(body)), false, false, "reading f: input/output error; the upload was aborted after 100000 bytes"},
		{"the stream is over", bytes.NewReader(body), -1, true, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := &script{fails: tt.fails}
			err := (&upload{name: "f", from: tt.from, size: tt.size}).send(st, nil)
			if got := errorText(err); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			ended := len(st.got) > 0 && st.got[len(st.got)-1].GetEnd() != nil
			if ended != tt.whole || st.closed != tt.whole {
				t.Errorf("end: got %v, closed %v, want %v: it says that the upload is complete", ended, st.closed, tt.whole)
			}
			if !tt.fails && !bytes.Equal(st.data, body) {
				t.Errorf("%d bytes were sent, want %d", len(st.data), len(body))
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestUploadFromPipe: a named pipe has no size, and opening it waits.
func TestUploadFromPipe(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	w := startServe(t, "--policy="+openPolicy(t))
	url, took := taker(t)
	c := start(t, input{}, "fetch", "--server", w.grpc, "-T", pipe, url+"/x")
	f, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString("through a pipe")
	_ = f.Close()
	if code := c.wait(); code != 0 || c.stdout.String() != "through a pipe" {
		t.Errorf("got exit code %d, %q and %s, want the pipe's content", code, c.stdout, c.stderr)
	}
	same(t, "Content-Length", (<-took).ContentLength, -1)
}
