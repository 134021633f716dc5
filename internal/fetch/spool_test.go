package fetch

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// upload comes chunk by chunk, as a caller sends it: a Read waits for the next one,
// or for Close. Two readers at once are a defect, which the race detector sees.
type upload struct {
	size    int64
	chunks  chan []byte // closed at the end
	rest    []byte
	trailer http.Header
	ended   bool
	waits   chan struct{} // told of each wait for a chunk; nil: not
}

// sending is an upload of data in the pieces that cut gives.
func sending(t *testing.T, data []byte, cut func(rest int) int) *upload {
	u := &upload{size: -1, chunks: make(chan []byte), trailer: http.Header{"X-Sum": nil}}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer close(u.chunks)
		for len(data) > 0 {
			n := cut(len(data))
			select {
			case u.chunks <- data[:n]:
				data = data[n:]
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
	return u
}

func (u *upload) Replayable() bool     { return false }
func (u *upload) Size() int64          { return u.size }
func (u *upload) Trailer() http.Header { return u.trailer }
func (u *upload) Unannounced() bool    { return false }
func (u *upload) Open() io.ReadCloser  { return &uploadReader{u: u, closed: make(chan struct{})} }

type uploadReader struct {
	u      *upload
	once   sync.Once
	closed chan struct{}
}

func (r *uploadReader) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

func (r *uploadReader) Read(p []byte) (int, error) {
	u := r.u
	for len(u.rest) == 0 {
		if u.ended {
			return 0, io.EOF
		}
		if u.waits != nil {
			u.waits <- struct{}{}
		}
		select {
		case chunk, more := <-u.chunks:
			if u.rest = chunk; !more {
				u.ended = true
				u.trailer["X-Sum"] = []string{"right"}
			}
		case <-r.closed:
			return 0, errBroken
		}
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

// spooling is local with attempts and a spool.
func spooling(attempts int, spool, budget string) string {
	return local + fmt.Sprintf("    retry: {max_attempts: %d, spool: %s, backoff: {base: 1ms, max: 2ms}, budget: {%s}}\n", attempts, spool, budget)
}

// swallows gets the body of each request up to n bytes, then resets, or answers if n
// is negative. What came whole is handed to got.
func swallows(n int, answer string, got chan<- testpeer.Body) testpeer.Script {
	return func(c *testpeer.RawConn) {
		h := c.ReadHead()
		if n >= 0 {
			for left := n; left > 0; {
				left -= len(c.ReadSome())
			}
			c.Reset()
		}
		body := c.ReadBody(h)
		if got != nil {
			got <- body
		}
		c.Write(answer)
		c.Linger()
	}
}

func allAtOnce(rest int) int { return rest }
func atRandom(rest int) int  { return 1 + rand.IntN(min(rest, 9000)) }

// TestUploadIsSentAgain: an upload within the spool is retried and redirected like
// any other body, one beyond it is not.
func TestUploadIsSentAgain(t *testing.T) {
	ok := testpeer.Response(200, "fine")
	busy := testpeer.Response(503, "busy", "Connection: close")
	for name, c := range map[string]struct {
		size   int
		first  func(got chan testpeer.Body) testpeer.Script
		text   string
		method string
		status int
		tries  int
		stop   string
	}{
		"503":                 {size: 50_000, first: func(chan testpeer.Body) testpeer.Script { return swallows(-1, busy, nil) }, status: 200, tries: 2},
		"reset at the head":   {size: 50_000, first: func(chan testpeer.Body) testpeer.Script { return swallows(0, "", nil) }, status: 200, tries: 2},
		"reset amid":          {size: 50_000, first: func(chan testpeer.Body) testpeer.Script { return swallows(10_000, "", nil) }, status: 200, tries: 2},
		"all of the spool":    {size: 64 << 10, first: func(chan testpeer.Body) testpeer.Script { return swallows(-1, busy, nil) }, status: 200, tries: 2},
		"one byte beyond":     {size: 64<<10 + 1, first: func(chan testpeer.Body) testpeer.Script { return swallows(-1, busy, nil) }, status: 503, tries: 1, stop: "BODY_SPENT"},
		"reset beyond":        {size: 400_000, first: func(chan testpeer.Body) testpeer.Script { return swallows(200_000, "", nil) }, status: 0, tries: 1, stop: "BODY_SPENT"},
		"no retries":          {size: 1000, text: local, first: func(chan testpeer.Body) testpeer.Script { return swallows(-1, busy, nil) }, status: 503, tries: 1},
		"POST":                {size: 1000, method: "POST", first: func(chan testpeer.Body) testpeer.Script { return swallows(-1, busy, nil) }, status: 503, tries: 1, stop: "NOT_REPEATABLE"},
		"307":                 {size: 50_000, method: "POST", first: func(chan testpeer.Body) testpeer.Script { return swallows(-1, redirect(307), nil) }, status: 200, tries: 2},
		"308, early":          {size: 50_000, method: "POST", first: func(chan testpeer.Body) testpeer.Script { return early(redirect(308)) }, status: 200, tries: 2},
		"307 beyond":          {size: 100_000, method: "POST", first: func(chan testpeer.Body) testpeer.Script { return swallows(-1, redirect(307), nil) }, status: 307, tries: 1},
		"503 before the body": {size: 50_000, first: func(chan testpeer.Body) testpeer.Script { return early(busy) }, status: 200, tries: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, got := noise(c.size), make(chan testpeer.Body, 10)
			srv := testpeer.Raw(t, testpeer.InTurn(c.first(got), swallows(-1, ok, got)))
			if c.text == "" {
				c.text = spooling(2, "64KiB", "min: 10")
			}
			if c.method == "" {
				c.method = "PUT"
			}
			req := request(t, c.method, srv.URL+"/")
			req.Body = sending(t, data, atRandom)
			_, res, err := streamed(t.Context(), t, newEngine(t, c.text), req)
			if res.Status != c.status || len(res.Attempts) != c.tries || (err == nil) != (c.status != 0) {
				t.Fatalf("got %d after %d attempts, %v; want %d after %d", res.Status, len(res.Attempts), err, c.status, c.tries)
			}
			if last := res.Attempts[c.tries-1]; !strings.HasPrefix(last.Stopped, c.stop) {
				t.Errorf("it stopped because of %q, want %s", last.Stopped, c.stop)
			}
			if c.status != 200 {
				return
			}
			if body := <-got; !bytes.Equal(body.Data, data) || len(body.Trailer) != 1 || body.Trailer[0].Value != "right" {
				t.Errorf("the upstream got %d bytes and the trailers %v, want %d bytes and one", len(body.Data), body.Trailer, len(data))
			}
		})
	}
}

// early answers before it read of the body.
func early(answer string) testpeer.Script {
	return func(c *testpeer.RawConn) {
		c.ReadHead()
		c.Write(answer)
		c.Linger()
	}
}

func redirect(status int) string {
	return testpeer.Response(status, "", "Location: /next", "Connection: close")
}

// TestUploadCutAtRandom: however an upload is chopped and wherever its connections
// end, the upstream gets each byte once and in its place.
func TestUploadCutAtRandom(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(proto, func(t *testing.T) {
			for range 30 {
				data, got := noise(1+rand.IntN(100_000)), make(chan testpeer.Body, 10)
				ca := testpeer.NewCA(t)
				e, url := trusting(t, ca, spooling(10, "200KiB", "min: 1000")), ""
				if proto == "HTTP/2" {
					url = testpeer.TLS(t, aborting(4, len(data), got), ca.Issue(testpeer.CertOpts{}), testpeer.TLSOpts{})
				} else {
					url = testpeer.Raw(t, func(c *testpeer.RawConn) {
						if c.Index() < 7 {
							swallows(rand.IntN(len(data)+1), "", nil)(c)
						}
						swallows(-1, testpeer.Response(200, "fine"), got)(c)
					}).URL
				}
				req := request(t, "PUT", url+"/")
				req.Body = sending(t, data, atRandom)
				_, res, err := streamed(t.Context(), t, e, req)
				if err != nil || res.Status != 200 {
					for _, a := range res.Attempts {
						t.Logf("%d: %v, stopped %q", a.Number, a.Err, a.Stopped)
					}
					t.Fatalf("got %d after %d attempts, %v", res.Status, len(res.Attempts), err)
				}
				if body := <-got; !bytes.Equal(body.Data, data) {
					t.Fatalf("after %d attempts the upstream got %d bytes, want the %d sent", len(res.Attempts), len(body.Data), len(data))
				}
			}
		})
	}
}

// aborting resets the first n requests of size bytes at a random place. After a
// reset net/http's server may close the whole connection, which costs whoever comes
// next an attempt too: n leaves room for that.
func aborting(n, size int, got chan<- testpeer.Body) http.Handler {
	left := make(chan struct{}, n)
	for range n {
		left <- struct{}{}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-left:
			_, _ = io.CopyN(io.Discard, r.Body, int64(rand.IntN(size+1)))
			panic(http.ErrAbortHandler)
		default:
		}
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return // another attempt will come
		}
		got <- testpeer.Body{Data: data}
	})
}

// TestUploadGoesOnBehindAnAnswer: an answer that is not tried again, because of the
// budget, does not stop the upload although it went beyond the spool.
func TestUploadGoesOnBehindAnAnswer(t *testing.T) {
	data, got := noise(500_000), make(chan testpeer.Body, 1)
	srv := testpeer.Raw(t, func(c *testpeer.RawConn) {
		h := c.ReadHead()
		c.Write(testpeer.Lines("HTTP/1.1 503 Busy", "Content-Length: 4"))
		got <- c.ReadBody(h)
		c.Write("busy")
		c.Linger()
	})
	answered := make(chan struct{})
	req := request(t, "PUT", srv.URL+"/")
	req.Body = sending(t, data, func(rest int) int {
		if rest == len(data) {
			return 50_000 // within the spool
		}
		<-answered
		return atRandom(rest)
	})
	live, tried, err := newEngine(t, spooling(2, "64KiB", "min: 0, ratio: 0")).Open(t.Context(), req)
	close(answered)
	if err != nil {
		t.Fatalf("%v after %d attempts", err, len(tried.Attempts))
	}
	defer live.Close()
	body, err := io.ReadAll(live)
	res := live.End()
	if err != nil || res.Status != 503 || string(body) != "busy" {
		t.Fatalf("got %d %q, %v; want 503, busy", res.Status, body, err)
	}
	if last := res.Attempts[0]; !strings.HasPrefix(last.Stopped, "RETRY_BUDGET_EXHAUSTED") {
		t.Errorf("it stopped because of %q", last.Stopped)
	}
	if all := <-got; !bytes.Equal(all.Data, data) {
		t.Errorf("the upstream got %d bytes, want %d", len(all.Data), len(data))
	}
}

// TestTornUploadIsNotSentAgain: what the caller did not finish is not the
// upstream's failure.
func TestTornUploadIsNotSentAgain(t *testing.T) {
	req := request(t, "PUT", testpeer.Raw(t, swallows(-1, "", nil)).URL+"/")
	req.Body = torn{sending(t, []byte("part"), allAtOnce)}
	_, res, err := streamed(t.Context(), t, newEngine(t, spooling(3, "64KiB", "min: 10")), req)
	if f := fault.From(err); f.Kind != fault.UploadIncomplete || len(res.Attempts) != 1 {
		t.Errorf("got %v after %d attempts, want UPLOAD_INCOMPLETE after 1", err, len(res.Attempts))
	}
}

// torn is an upload that ends without its end.
type torn struct{ *upload }

func (u torn) Open() io.ReadCloser { return tornReader{u.upload.Open()} }

type tornReader struct{ io.ReadCloser }

func (r tornReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err == io.EOF {
		err = fault.New(fault.UploadIncomplete, "torn")
	}
	return n, err
}

// newSpool is a spool of limit bytes for a call of its own.
func newSpool(t *testing.T, u Upload, limit string) *spool {
	t.Helper()
	e := newEngine(t, spooling(10, limit, "min: 10"))
	req := request(t, "PUT", "http://127.0.0.1:1/")
	req.Body = u
	c, s := e.newStream(t.Context(), req)
	if err := c.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSpoolGoesToOneReader: attempts that end while they read, a hundred times:
// none takes a byte from the next.
func TestSpoolGoesToOneReader(t *testing.T) {
	data := noise(100_000)
	s := newSpool(t, sending(t, data, atRandom), "128KiB")
	var dying sync.WaitGroup
	for range 100 {
		r, read := s.Open(), make(chan struct{})
		dying.Go(func() {
			p := make([]byte, 1+rand.IntN(500))
			for i := 0; ; i++ {
				_, err := r.Read(p)
				if i == 3 || err != nil && i < 3 {
					close(read)
				}
				if err != nil {
					return
				}
			}
		})
		<-read
		if !s.Replayable() {
			t.Fatal("it is not replayable within its bound")
		}
	}
	got, err := io.ReadAll(s.Open())
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("the last attempt got %d bytes, %v; want %d", len(got), err, len(data))
	}
	dying.Wait()
}

// TestSpoolKeepsItsPromise: once another attempt was promised, the one before does
// not read beyond what is kept; it goes on if the promise is not used.
func TestSpoolKeepsItsPromise(t *testing.T) {
	data := noise(10_000)
	s := newSpool(t, sending(t, data, allAtOnce), "1KiB")
	first := s.Open()
	if _, err := io.ReadFull(first, make([]byte, 1024)); err != nil {
		t.Fatal(err)
	}
	if !s.Replayable() {
		t.Fatal("it is not replayable at its bound")
	}
	held := make(chan error)
	go func() {
		_, err := first.Read(make([]byte, 100))
		held <- err
	}()
	select {
	case err := <-held:
		t.Fatalf("the attempt that lost read on, %v", err)
	case <-time.After(20 * time.Millisecond): // no proof, but it fails where it is broken
	}
	second := s.Open()
	if err := <-held; err == nil {
		t.Error("the attempt that lost read on")
	}
	part := make([]byte, 1024)
	if _, err := io.ReadFull(second, part); err != nil || !s.Replayable() {
		t.Fatalf("the second attempt: %v", err)
	}
	s.commit()
	rest, err := io.ReadAll(second)
	if got := append(part, rest...); err != nil || !bytes.Equal(got, data) || s.Replayable() {
		t.Errorf("the accepted attempt got %d bytes, %v; want all %d, and not replayable", len(got), err, len(data))
	}
	if s.kept.size != 0 {
		t.Errorf("%d bytes are kept to the end", s.kept.size)
	}
}

// TestSpoolKeepsTheByteBeyond: an attempt that is just finding out whether the
// upload goes on beyond the spool, while another is promised, loses nothing.
func TestSpoolKeepsTheByteBeyond(t *testing.T) {
	data, come := noise(3000), make(chan struct{})
	u := sending(t, data, func(rest int) int {
		if rest == len(data) {
			return 1024
		}
		<-come
		return rest
	})
	s := newSpool(t, u, "1KiB")
	first := s.Open()
	if _, err := io.ReadFull(first, make([]byte, 1024)); err != nil {
		t.Fatal(err)
	}
	u.waits = make(chan struct{}, 10)
	read := make(chan int)
	go func() {
		n, _ := first.Read(make([]byte, 100))
		read <- n
	}()
	<-u.waits
	if !s.Replayable() {
		t.Fatal("it is not replayable although nothing beyond came yet")
	}
	close(come)
	if n := <-read; n != 1 {
		t.Errorf("the attempt that lost read %d bytes, want the one", n)
	}
	if got, err := io.ReadAll(s.Open()); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the next attempt got %d bytes, %v; want all %d", len(got), err, len(data))
	}
}

// TestSpoolIsBounded: no more is kept than policy allows, and one byte.
func TestSpoolIsBounded(t *testing.T) {
	s := newSpool(t, sending(t, noise(1<<20), allAtOnce), "64KiB")
	r := s.Open()
	p := make([]byte, 32<<10)
	for {
		_, err := r.Read(p)
		if s.kept.size > 64<<10 {
			t.Fatalf("%d bytes are kept", s.kept.size)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if s.Replayable() || s.kept.size != 0 {
		t.Errorf("it is replayable, or keeps %d bytes, although it is over its bound", s.kept.size)
	}
}

// TestSpoolsShareOneBound: what all of them keep is bounded too, and given back.
func TestSpoolsShareOneBound(t *testing.T) {
	var all atomic.Int64
	k := kept{all: &all}
	k.add(make([]byte, 3*keptBlock+1))
	if all.Load() != 4*keptBlock || k.size != 3*keptBlock+1 {
		t.Errorf("%d bytes are counted for %d, want whole blocks", all.Load(), k.size)
	}
	if k.crowded() {
		t.Error("four blocks are a crowd")
	}
	all.Add(mostKept)
	if !k.crowded() {
		t.Error("mostKept is no crowd")
	}
	all.Add(-mostKept)
	k.drop()
	if all.Load() != 0 || k.size != 0 {
		t.Errorf("%d bytes are counted behind the end", all.Load())
	}
}
