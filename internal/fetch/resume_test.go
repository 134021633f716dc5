package fetch

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// resuming is local with what is to be resumed, in the policy file's words.
func resuming(more string) string {
	return local + "    resume: {downloads: 30, events: 30}\n" +
		"    retry: {max_attempts: 2, backoff: {base: 1ms, max: 2ms}, budget: {min: 1000}}\n" + more
}

// noise is n bytes that no coding makes much smaller, the same for every run.
func noise(n int) []byte {
	source := rand.NewChaCha8([32]byte{1})
	data := make([]byte, n)
	_, _ = source.Read(data)
	return data
}

func gzipOf(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// file is a representation that is cut cuts times before a transfer is let end.
type file struct {
	data   []byte
	coding string
	cuts   int32
	asked  atomic.Int32
	// chunked announces no length.
	chunked bool
}

// serve answers with what is asked for, and says how much of it to send; all of
// it: cut is false.
func (f *file) serve(h http.Header, r interface{ Get(string) string }) (status int, body []byte, n int, cut bool) {
	asked := f.asked.Add(1)
	h.Set("Etag", `"v1"`)
	h.Set("Accept-Ranges", "bytes")
	if f.coding != "" {
		h.Set("Content-Encoding", f.coding)
	}
	body, status = f.data, http.StatusOK
	if from, ok := strings.CutPrefix(r.Get("Range"), "bytes="); ok && r.Get("If-Range") == `"v1"` {
		at, _ := strconv.Atoi(strings.TrimSuffix(from, "-"))
		body, status = body[at:], http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, len(f.data)-1, len(f.data)))
	}
	if asked > f.cuts {
		return status, body, len(body), false
	}
	share := len(body) / int(f.cuts-asked+2)
	return status, body, rand.IntN(2*share + 1), true
}

// script serves f over HTTP/1.1, cut by FIN and RST in turn.
func (f *file) script(c *testpeer.RawConn) {
	testpeer.EachRequest(func(c *testpeer.RawConn, r testpeer.Request) {
		h := http.Header{}
		status, body, n, cut := f.serve(h, r)
		lines := []string{fmt.Sprintf("HTTP/1.1 %d Fine", status)}
		for name := range h {
			lines = append(lines, name+": "+h.Get(name))
		}
		if f.chunked {
			c.Write(testpeer.Lines(append(lines, "Transfer-Encoding: chunked", "Trailer: X-Sum")...))
			c.Writef("%x\r\n%s", len(body), body[:n])
		} else {
			c.Write(testpeer.Lines(append(lines, "Content-Length: "+strconv.Itoa(len(body)))...) + string(body[:n]))
		}
		switch {
		case cut && c.Index()%2 == 0:
			c.Reset()
		case cut:
			c.Linger()
		case f.chunked:
			c.Write("\r\n0\r\nX-Sum: right\r\n\r\n")
		}
	})(c)
}

// handler serves f by net/http, cut by aborts.
func (f *file) handler(w http.ResponseWriter, r *http.Request) {
	status, body, n, cut := f.serve(w.Header(), r.Header)
	if f.chunked {
		w.Header().Set("Trailer", "X-Sum")
	} else {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	_, _ = w.Write(body[:n])
	_ = http.NewResponseController(w).Flush()
	if cut {
		panic(http.ErrAbortHandler)
	}
	if f.chunked {
		w.Header().Set("X-Sum", "right")
	}
}

// trusting is newEngine that trusts ca.
func trusting(t *testing.T, ca *testpeer.CA, text string) *Engine {
	t.Helper()
	s, err := policy.Parse("test", []byte(text), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pools := egress.NewPools(egress.Config{RootCAs: ca.Pool()})
	t.Cleanup(pools.Close)
	e := New(Config{Pools: pools, UserAgent: "test"})
	e.Use(s)
	return e
}

// streamed reads a stream to its end, in pieces of an odd size.
func streamed(ctx context.Context, t *testing.T, e *Engine, req *Request) (data []byte, res *Response, err error) {
	t.Helper()
	live, tried, err := e.Open(ctx, req)
	if err != nil {
		return nil, tried, err
	}
	defer live.Close()
	piece := make([]byte, 4999)
	for err == nil {
		var n int
		n, err = live.Read(piece)
		data = append(data, piece[:n]...)
	}
	if err == io.EOF {
		err = nil
	}
	return data, live.End(), err
}

// TestDownloadIsResumed: a body that is cut 20 times at random arrives whole, and
// the ledger tells of each cut.
func TestDownloadIsResumed(t *testing.T) {
	plain := noise(300_000)
	for name, c := range map[string]struct {
		coding      string
		http2, keep bool
		chunked     bool
	}{
		"HTTP/1.1":            {},
		"HTTP/1.1, chunked":   {chunked: true},
		"HTTP/1.1, gzip":      {coding: "gzip"},
		"HTTP/1.1, gzip kept": {coding: "gzip", keep: true},
		"HTTP/2":              {http2: true},
		"HTTP/2, no length":   {http2: true, chunked: true},
		"HTTP/2, gzip":        {http2: true, coding: "gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &file{data: plain, coding: c.coding, cuts: 20, chunked: c.chunked}
			want := plain
			if c.coding != "" {
				if f.data = gzipOf(t, plain); c.keep {
					want = f.data
				}
			}
			e, url := newEngine(t, resuming("")), ""
			if c.http2 {
				ca := testpeer.NewCA(t)
				e = trusting(t, ca, resuming(""))
				url = testpeer.TLS(t, http.HandlerFunc(f.handler), ca.Issue(testpeer.CertOpts{}), testpeer.TLSOpts{})
			} else {
				url = testpeer.Raw(t, f.script).URL
			}
			req := request(t, "GET", url+"/")
			req.KeepCoded = c.keep
			got, res, err := streamed(t.Context(), t, e, req)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("got %d bytes, %v, %d attempts; want all %d, once", len(got), err, len(res.Attempts), len(want))
			}
			if proto := res.Attempts[0].Proto; c.http2 != (proto == "2") {
				t.Errorf("it went over HTTP %s", proto)
			}
			if c.chunked && res.Trailer.Get("X-Sum") != "right" {
				t.Errorf("the trailers are %v", res.Trailer)
			}
			if res.Status != 200 || res.BytesReceived != int64(len(f.data)) {
				t.Errorf("status %d, %d bytes received; want 200, %d", res.Status, res.BytesReceived, len(f.data))
			}
			checkResumes(t, res.Attempts, 20)
		})
	}
}

// checkResumes: every line but the last says how it broke, every line but the
// first that it resumes.
func checkResumes(t *testing.T, lines []*Attempt, cuts int) {
	t.Helper()
	if len(lines) < cuts+1 {
		t.Fatalf("the ledger has %d lines, want %d", len(lines), cuts+1)
	}
	for i, a := range lines {
		if broke := i < len(lines)-1; broke && (a.Err == nil || a.Err.Kind != fault.BodyCutShort && a.Err.Kind != fault.ConnectionReset) || !broke && a.Err != nil {
			t.Errorf("line %d of %d has the failure %v", i+1, len(lines), a.Err)
		}
		if want := Resume; i > 0 && (a.Reason != want || a.WaitReason == "") {
			t.Errorf("line %d has the reason %d after a wait for %q, want %d", i+1, a.Reason, a.WaitReason, want)
		}
		if a.Timings.Total <= 0 {
			t.Errorf("line %d was left open", i+1)
		}
	}
}

const begun = "HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\n"

// cutAt sends a head with fields and of the body "0123456789" the first n bytes.
func cutAt(n int, fields string) testpeer.Script {
	return func(c *testpeer.RawConn) {
		c.ReadRequest()
		c.Write(begun + fields + "Content-Length: 10\r\n\r\n" + "0123456789"[:n])
		c.Linger()
	}
}

const strong = "Etag: \"v1\"\r\n"

// part answers 206 with the bytes from..to of 10.
func part(from, to int, fields ...string) testpeer.Script {
	return testpeer.Answer(testpeer.Response(206, "0123456789"[from:to+1],
		append(fields, fmt.Sprintf("Content-Range: bytes %d-%d/10", from, to))...))
}

// TestWhatIsResumed goes through what an upstream may answer to a resumption.
func TestWhatIsResumed(t *testing.T) {
	whole := testpeer.Answer
	const tag = `Etag: "v1"`
	for name, c := range map[string]struct {
		scripts []testpeer.Script
		tweak   func(*Request)
		more    string
		got     string // of the body
		says    string // why it was not resumed; empty: it was
		tries   int
	}{
		"resumed":             {scripts: []testpeer.Script{cutAt(4, strong), part(4, 9, tag)}, got: "0123456789", tries: 2},
		"at its start":        {scripts: []testpeer.Script{cutAt(0, strong), part(0, 9, tag)}, got: "0123456789", tries: 2},
		"in two parts":        {scripts: []testpeer.Script{cutAt(4, strong), part(4, 6, tag, "Connection: close"), part(7, 9, tag)}, got: "0123456789", tries: 3},
		"length unknown":      {scripts: []testpeer.Script{cutAt(4, strong), whole(testpeer.Response(206, "456789", tag, "Content-Range: bytes 4-9/*"))}, got: "0123456789", tries: 2},
		"weak ETag":           {scripts: []testpeer.Script{cutAt(4, "Etag: W/\"v1\"\r\n")}, got: "0123", says: "BODY_CUT_SHORT", tries: 1},
		"no ETag":             {scripts: []testpeer.Script{cutAt(4, "")}, got: "0123", says: "BODY_CUT_SHORT", tries: 1},
		"a range was asked":   {scripts: []testpeer.Script{cutAt(4, strong)}, tweak: header("Range", "bytes=0-"), got: "0123", says: "BODY_CUT_SHORT", tries: 1},
		"POST":                {scripts: []testpeer.Script{cutAt(4, strong)}, tweak: post, got: "0123", says: "BODY_CUT_SHORT", tries: 1},
		"200 instead":         {scripts: []testpeer.Script{cutAt(4, strong), whole(testpeer.Response(200, "abcdefghij", tag))}, got: "0123", says: "the representation changed (200 instead of 206)", tries: 2},
		"another ETag":        {scripts: []testpeer.Script{cutAt(4, strong), part(4, 9, `Etag: "v2"`)}, got: "0123", says: "another ETag", tries: 2},
		"its ETag is missing": {scripts: []testpeer.Script{cutAt(4, strong), part(4, 9)}, got: "0123", says: "another ETag", tries: 2},
		"another coding":      {scripts: []testpeer.Script{cutAt(4, strong), part(4, 9, tag, "Content-Encoding: gzip")}, got: "0123", says: "another Content-Encoding", tries: 2},
		"another start":       {scripts: []testpeer.Script{cutAt(4, strong), part(3, 9, tag)}, got: "0123", says: "begins at byte 3 instead of 4", tries: 2},
		"another length":      {scripts: []testpeer.Script{cutAt(4, strong), whole(testpeer.Response(206, "456789a", tag, "Content-Range: bytes 4-10/11"))}, got: "0123", says: "length changed", tries: 2},
		"beyond the length":   {scripts: []testpeer.Script{cutAt(4, strong), whole(testpeer.Response(206, "456789a", tag, "Content-Range: bytes 4-10/*"))}, got: "0123", says: "length changed", tries: 2},
		"no Content-Range":    {scripts: []testpeer.Script{cutAt(4, strong), whole(testpeer.Response(206, "456789", tag))}, got: "0123", says: "Content-Range is missing", tries: 2},
		"contradiction":       {scripts: []testpeer.Script{cutAt(4, strong), whole(testpeer.Response(206, "4567", tag, "Content-Range: bytes 4-9/10"))}, got: "0123", says: "contradict", tries: 2},
		"more than it says":   {scripts: []testpeer.Script{cutAt(4, strong), whole(testpeer.Lines("HTTP/1.1 206 Part", tag, "Content-Range: bytes 4-9/10", "Transfer-Encoding: chunked") + "8\r\n456789ab\r\n0\r\n\r\n")}, got: "0123456789", says: "more bytes than its Content-Range", tries: 2},
		"416":                 {scripts: []testpeer.Script{cutAt(4, strong), testpeer.Status("416")}, got: "0123", says: "(416)", tries: 2},
		"404":                 {scripts: []testpeer.Script{cutAt(4, strong), testpeer.Status("404")}, got: "0123", says: "status 404", tries: 2},
		"redirect":            {scripts: []testpeer.Script{cutAt(4, strong), testpeer.RedirectTo(302, "/x")}, got: "0123", says: "status 302", tries: 2},
		"503, then resumed":   {scripts: []testpeer.Script{cutAt(4, strong), testpeer.InTurn(closing(503)), part(4, 9, tag)}, got: "0123456789", tries: 3},
		"429 and reset":       {scripts: []testpeer.Script{cutAt(4, strong), closing(429), testpeer.ResetBeforeHead, part(4, 9, tag)}, got: "0123456789", tries: 4},
		"the bound":           {scripts: []testpeer.Script{cutAt(4, strong), closing(503)}, got: "0123", says: "30 resumptions were made", tries: 31},
		"retry after":         {scripts: []testpeer.Script{cutAt(4, strong), whole(testpeer.Response(503, "", "Retry-After: 3600"))}, got: "0123", says: "Retry-After asks for a wait of 1h0m0s", tries: 2},
		"budget":              {scripts: []testpeer.Script{cutAt(4, strong), closing(503)}, more: "budget", got: "0123", says: "retry budget is spent", tries: 4},
		"too large":           {scripts: []testpeer.Script{cutAt(4, strong), part(4, 9, tag)}, tweak: func(r *Request) { r.MaxResponseBytes, r.AllowTruncated = 3, true }, got: "012", tries: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := resuming("")
			if c.more == "budget" {
				text = strings.Replace(text, "{min: 1000}", "{min: 3, ratio: 0}", 1)
			}
			srv := testpeer.Raw(t, testpeer.InTurn(c.scripts...))
			req := request(t, "GET", srv.URL+"/")
			if c.tweak != nil {
				c.tweak(req)
			}
			got, res, err := streamed(t.Context(), t, newEngine(t, text), req)
			if string(got) != c.got || len(res.Attempts) != c.tries {
				t.Errorf("got %q after %d attempts, want %q after %d", got, len(res.Attempts), c.got, c.tries)
			}
			if c.says == "" {
				if err != nil {
					t.Errorf("got %v, want it resumed", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want it to say %q", err, c.says)
			}
			f, last := fault.From(err), res.Attempts[len(res.Attempts)-1]
			if kinds := []fault.Kind{fault.BodyCutShort, fault.BadResponse}; !slices.Contains(kinds, f.Kind) || f.Wire != fault.Answered {
				t.Errorf("got %s, wire %s", f.Kind, f.Wire)
			}
			if c.tries > 1 && f.Kind == fault.BodyCutShort && (last.Stopped == "" || res.Attempts[0].Err == nil) {
				t.Errorf("the ledger does not say why it ended: %+v", last)
			}
		})
	}
}

func header(name, value string) func(*Request) {
	return func(r *Request) { r.Header.Set(name, value) }
}

// closing answers with status on a connection of its own.
func closing(status int) testpeer.Script {
	return testpeer.Answer(testpeer.Response(status, "", "Connection: close"))
}

// TestResumptionAsksTheSame: a resumption has what the first request had, and asks
// for the same coding although it asks for a range.
func TestResumptionAsksTheSame(t *testing.T) {
	srv := testpeer.Raw(t, testpeer.InTurn(cutAt(4, strong), part(4, 9, `Etag: "v1"`)))
	req := request(t, "GET", srv.URL+"/")
	req.Header.Set("X-Own", "1")
	if _, _, err := streamed(t.Context(), t, newEngine(t, resuming("")), req); err != nil {
		t.Fatal(err)
	}
	if len(req.Header) != 1 {
		t.Errorf("the caller's headers became %v", req.Header)
	}
	all := srv.Requests()
	for _, line := range []string{"Range: bytes=4-\r\n", "If-Range: \"v1\"\r\n", "X-Own: 1\r\n", "Accept-Encoding: gzip, deflate, br, zstd\r\n"} {
		if !strings.Contains(string(all[1]), line) {
			t.Errorf("the resumption lacks %q: %s", line, all[1])
		}
	}
}

// TestResumptionWaits: the waits double until there is progress, and Retry-After
// counts.
func TestResumptionWaits(t *testing.T) {
	text := strings.Replace(resuming(""), "base: 1ms, max: 2ms", "base: 1ms, max: 8ms, jitter: none", 1)
	after := testpeer.Answer(testpeer.Response(503, "", "Connection: close", "Retry-After-Ms: 20"))
	again := func(c *testpeer.RawConn) {
		c.ReadRequest()
		c.Write(testpeer.Lines("HTTP/1.1 206 Part", `Etag: "v1"`, "Content-Range: bytes 4-9/10", "Content-Length: 6") + "45")
		c.Linger()
	}
	srv := testpeer.Raw(t, testpeer.InTurn(cutAt(4, strong), closing(503), closing(503), after, again, part(6, 9, `Etag: "v1"`)))
	_, res, err := streamed(t.Context(), t, newEngine(t, text), request(t, "GET", srv.URL+"/"))
	if err != nil {
		t.Fatal(err)
	}
	var waits []string
	for _, a := range res.Attempts[1:] {
		waits = append(waits, a.Wait.Truncate(time.Millisecond).String()+" "+a.WaitReason)
	}
	want := []string{"1ms BODY_CUT_SHORT", "2ms status 503", "4ms status 503", "20ms status 503, Retry-After-Ms", "1ms BODY_CUT_SHORT"}
	if !slices.Equal(waits, want) {
		t.Errorf("it waited for %q, want %q", waits, want)
	}
}

// TestResumeIdle: a body that stands still is continued too.
func TestResumeIdle(t *testing.T) {
	stalls := func(c *testpeer.RawConn) {
		c.ReadRequest()
		c.Write(begun + strong + "Content-Length: 10\r\n\r\n0123")
		c.Stall()
	}
	req := request(t, "GET", testpeer.Raw(t, testpeer.InTurn(stalls, part(4, 9, `Etag: "v1"`))).URL+"/")
	req.Timeouts.Idle = 200 * time.Millisecond
	got, res, err := streamed(t.Context(), t, newEngine(t, resuming("")), req)
	if err != nil || string(got) != "0123456789" || res.Attempts[0].Err.Kind != fault.IdleTimeout {
		t.Errorf("got %q, %v, want it resumed", got, err)
	}
}

// TestResumeOutlivesTotal: total is for the first head only; each resumption has
// as long for its own.
func TestResumeOutlivesTotal(t *testing.T) {
	t.Parallel()
	slow := func(c *testpeer.RawConn) {
		c.ReadRequest()
		c.Write(begun + strong + "Content-Length: 10\r\n\r\n0123")
		c.Pause(ample + ample/10)
		c.Linger()
	}
	req := request(t, "GET", testpeer.Raw(t, testpeer.InTurn(slow, part(4, 9, `Etag: "v1"`))).URL+"/")
	req.Timeouts.Total = ample
	got, _, err := streamed(t.Context(), t, newEngine(t, resuming("")), req)
	if err != nil || string(got) != "0123456789" {
		t.Errorf("got %q, %v, want it resumed", got, err)
	}
}

// TestResumeStalls: a resumption whose head does not come is given up by the
// attempt clock, or after as long as total is.
func TestResumeStalls(t *testing.T) {
	for name, tweak := range map[string]func(*Request){
		"attempt":    func(r *Request) { r.Timeouts.Attempt = ample },
		"first_byte": func(r *Request) { r.Timeouts.FirstByte = ample },
		"total":      func(r *Request) { r.Timeouts.Total = ample },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := testpeer.Raw(t, testpeer.InTurn(cutAt(4, strong), testpeer.StallOnAccept, part(4, 9, `Etag: "v1"`)))
			req := request(t, "GET", srv.URL+"/")
			tweak(req)
			got, res, err := streamed(t.Context(), t, newEngine(t, resuming("")), req)
			if err != nil || string(got) != "0123456789" || len(res.Attempts) != 3 {
				t.Errorf("got %q after %d attempts, %v, want it resumed", got, len(res.Attempts), err)
			}
		})
	}
}

// TestStreamTotalOverResumptions: stream_total runs from the first head, through
// waits and resumptions.
func TestStreamTotalOverResumptions(t *testing.T) {
	drips := func(c *testpeer.RawConn) {
		r := c.ReadRequest()
		at, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(r.Get("Range"), "bytes="), "-"))
		line := "HTTP/1.1 200 OK"
		if at > 0 {
			line = "HTTP/1.1 206 Part"
		}
		c.Write(testpeer.Lines(line, "Accept-Ranges: bytes", `Etag: "v1"`, fmt.Sprintf("Content-Range: bytes %d-999/1000", at),
			"Content-Length: "+strconv.Itoa(1000-at)) + "x")
		c.Pause(20 * time.Millisecond)
		c.Linger()
	}
	e := newEngine(t, resuming("    timeouts: {stream_total: 200ms}\n"))
	_, res, err := streamed(t.Context(), t, e, request(t, "GET", testpeer.Raw(t, drips).URL+"/"))
	// The clock ends a wait before it begins if that would not fit.
	if f := fault.From(err); err == nil || f.Kind != fault.TotalTimeout && !strings.Contains(f.Message, "does not fit") {
		t.Errorf("got %v after %d attempts, want TOTAL_TIMEOUT by stream_total", err, len(res.Attempts))
	}
}

// TestCancelledResumption: the caller's cancel ends the wait for a resumption, and
// an attempt to resume.
func TestCancelledResumption(t *testing.T) {
	for name, c := range map[string]struct {
		retry string
		next  testpeer.Script
		tries int
	}{
		"in the wait":    {"base: 1h, max: 1h, jitter: none", testpeer.OK, 1},
		"in the attempt": {"base: 1ms, max: 1ms", testpeer.StallOnAccept, 2},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(resuming(""), "base: 1ms, max: 2ms", c.retry, 1)
			srv := testpeer.Raw(t, testpeer.InTurn(cutAt(4, strong), c.next))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			live, _, err := newEngine(t, text).Open(ctx, request(t, "GET", srv.URL+"/"))
			if err != nil {
				t.Fatal(err)
			}
			defer live.Close()
			ended := make(chan error, 1)
			go func() {
				_, err := io.ReadAll(live)
				ended <- err
			}()
			srv.AwaitEnded(1)
			if c.tries > 1 {
				for srv.Conns() < 2 {
					time.Sleep(time.Millisecond)
				}
			}
			cancel()
			if err := <-ended; !errors.Is(err, fault.Cancelled) {
				t.Errorf("got %v, want CANCELLED", err)
			}
			if _, err := live.Read(make([]byte, 1)); !errors.Is(err, fault.Cancelled) {
				t.Errorf("then got %v, want CANCELLED again", err)
			}
			if lines := live.End().Attempts; lines[0].Err == nil || lines[0].Err.Kind != fault.BodyCutShort && c.tries > 1 {
				t.Errorf("the first line says %v, want BODY_CUT_SHORT", lines[0].Err)
			}
		})
	}
}

// TestResumeKeepsItsPlace: a place among the upstream's calls is held for the whole
// stream, and given back once.
func TestResumeKeepsItsPlace(t *testing.T) {
	e := newEngine(t, resuming("    limits: {concurrent: 1}\n"))
	srv := testpeer.Raw(t, testpeer.InTurn(cutAt(4, strong), part(4, 9, `Etag: "v1"`)))
	live, _, err := e.Open(t.Context(), request(t, "GET", srv.URL+"/"))
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	places := live.call.hop.chain.slots
	if _, err := io.ReadFull(live, make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	if held, _ := places.load(); held != 1 || srv.Conns() != 2 {
		t.Errorf("%d places are held after %d attempts, want 1 and 2", held, srv.Conns())
	}
	live.Close()
	live.Close()
	if held, _ := places.load(); held != 0 {
		t.Errorf("%d places are held at the end, want 0", held)
	}
}

// TestNoWrapperWithoutPolicy: what policy does not use costs nothing.
func TestNoWrapperWithoutPolicy(t *testing.T) {
	live, _, err := newEngine(t, local).Open(t.Context(), request(t, "GET", testpeer.Raw(t, cutAt(10, strong)).URL+"/"))
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	if _, bare := live.body.(*receivedBody); !bare {
		t.Errorf("the body is a %T", live.body)
	}
}

func TestContentRange(t *testing.T) {
	for in, want := range map[string]string{
		"bytes 0-0/1":                   "0 0 1 true",
		"bytes 100-199/1000":            "100 199 1000 true",
		"BYTES 100-199/*":               "100 199 -1 true",
		"bytes 100-199":                 "",
		"bytes 199-100/1000":            "",
		"bytes 100-1000/1000":           "",
		"bytes */1000":                  "",
		"bytes -5-199/1000":             "",
		"bytes 0-9223372036854775807/*": "",
		"items 1-2/3":                   "",
		"":                              "",
	} {
		first, last, whole, ok := contentRange([]string{in})
		if got := fmt.Sprint(first, last, whole, ok); ok != (want != "") || ok && got != want {
			t.Errorf("%q reads %s, want %s", in, got, want)
		}
	}
}
