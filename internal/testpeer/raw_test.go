package testpeer

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestRawCapturesRequestsVerbatim(t *testing.T) {
	verifyNoLeak(t)
	s := Raw(t, OK)
	requests := []string{
		"POST /a?b=%41 HTTP/1.1\r\nHost: x\r\nx-Odd:  y\r\nContent-Length: 3\r\n\r\nabc",
		"PUT //c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
		"GET /d HTTP/1.1\r\nHost: x\r\n\r\n",
	}
	conn := dial(t, s.Addr)
	for _, r := range requests {
		if _, err := io.WriteString(conn, r); err != nil {
			t.Fatal(err)
		}
		expect(t, conn, Response(200, "ok", "Content-Type: text/plain"))
	}
	got := s.Requests()
	if len(got) != len(requests) {
		t.Fatalf("captured %d requests, want %d", len(got), len(requests))
	}
	for i := range got {
		if string(got[i]) != requests[i] {
			t.Errorf("request %d:\n got %q\nwant %q", i, got[i], requests[i])
		}
	}
	if s.Conns() != 1 {
		t.Errorf("Conns() = %d, want 1", s.Conns())
	}
}

func TestRawCapturesTornBody(t *testing.T) {
	verifyNoLeak(t)
	s := Raw(t, OK)
	conn := dial(t, s.Addr)
	const torn = "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"
	_, _ = io.WriteString(conn, torn)
	s.AwaitRequests(1)
	_ = conn.Close()
	s.AwaitEnded(1)
	if got := string(s.Requests()[0]); got != torn {
		t.Errorf("captured %q, want %q", got, torn)
	}
	if s.Open() != 0 {
		t.Errorf("Open() = %d, want 0", s.Open())
	}
}

func TestRawAnswersExpect(t *testing.T) {
	verifyNoLeak(t)
	s := Raw(t, EchoScript)
	conn := dial(t, s.Addr)
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
	expect(t, conn, "HTTP/1.1 100 Continue\r\n\r\n")
	_, _ = io.WriteString(conn, "hi")
	expect(t, conn, "HTTP/1.1 200 OK\r\n")
}

func TestScriptsInTurn(t *testing.T) {
	verifyNoLeak(t)
	s := Raw(t, InTurn(ResetOnAccept, CloseBeforeHead, OK))
	for i, want := range []string{"", "", "ok", "ok"} {
		c := newClient(t)
		r := do(c, "GET", s.URL, nil)
		c.CloseIdleConnections()
		if r.body != want || (r.err == nil) != (want != "") {
			t.Errorf("connection %d: got %q, %v, want %q", i, r.body, r.err, want)
		}
	}
	if s.Conns() != 4 || len(s.Requests()) != 3 {
		t.Errorf("got %d connections and %d requests, want 4 and 3", s.Conns(), len(s.Requests()))
	}
}

func TestAnswerCountsRequestsOverConnections(t *testing.T) {
	verifyNoLeak(t)
	s := Raw(t, Answer(Response(503, "no", "Retry-After: 1"), Response(502, "no"), Response(200, "yes")))
	for i, want := range []int{503, 502, 200, 200} {
		c := newClient(t)
		if i == 1 {
			c = newClient(t) // another connection, the same count
		}
		if r := do(c, "GET", s.URL, nil); r.err != nil || r.StatusCode != want {
			t.Errorf("request %d: got %+v, want %d", i, r, want)
		}
	}
}

func TestTrickleKeepsItsPace(t *testing.T) {
	verifyNoLeak(t)
	s := Raw(t, TrickleBody("abcdef", 2, 10*time.Millisecond))
	start := time.Now()
	if r := do(newClient(t), "GET", s.URL, nil); r.err != nil || r.body != "abcdef" {
		t.Fatalf("got %q, %v", r.body, r.err)
	}
	if took := time.Since(start); took < 20*time.Millisecond {
		t.Errorf("three pieces took %v, want two pauses at least", took)
	}
}

func TestCleanupInterruptsScripts(t *testing.T) {
	verifyNoLeak(t)
	scripts := map[string]Script{
		"stall":   StallOnAccept,
		"freeze":  FreezeOnAccept,
		"pause":   func(c *RawConn) { c.Pause(time.Hour) },
		"write":   EndlessBody,
		"trickle": TrickleBody(strings.Repeat("x", 1000), 1, time.Hour),
		"done":    func(c *RawConn) { <-c.Done() },
	}
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			verifyNoLeak(t)
			s := Raw(t, script)
			conn := dial(t, s.Addr)
			if _, err := io.WriteString(conn, plainGet); err != nil {
				t.Fatal(err)
			}
			if name == "write" || name == "trickle" {
				expect(t, conn, "HTTP/1.1 200 OK\r\n")
			}
		})
	}
}

func TestHangUpEndsScripts(t *testing.T) {
	verifyNoLeak(t)
	for name, script := range map[string]Script{"stall": StallMidBody, "endless body": EndlessBody, "endless head": EndlessHead} {
		t.Run(name, func(t *testing.T) {
			s := Raw(t, script)
			conn := dial(t, s.Addr)
			_, _ = io.WriteString(conn, plainGet)
			expect(t, conn, "HTTP/1.1 200 OK\r\n")
			_ = conn.Close()
			s.AwaitEnded(1)
		})
	}
}

func TestResetInsideTLS(t *testing.T) {
	verifyNoLeak(t)
	ca := NewCA(t)
	s := RawTLS(t, ca.Issue(CertOpts{}), InTurn(CutBodyReset, EchoScript))
	c := newTLSClient(t, ca, nil)
	if r := do(c, "GET", s.URL, nil); !errors.Is(r.err, syscall.ECONNRESET) || r.body != "part" {
		t.Errorf("got %q, %v, want part, ECONNRESET", r.body, r.err)
	}
	r := do(c, "GET", s.URL+"/x", nil)
	if e := ReadEcho(t, strings.NewReader(r.body)); e.RequestURI != "/x" {
		t.Errorf("echo over raw TLS: %+v", e)
	}
}
