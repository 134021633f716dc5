package testpeer

import (
	"io"
	"net/http"
	"testing"
)

// SlowServer answers when it is told to, and counts.
type SlowServer struct {
	// URL is the base without a final slash.
	URL string

	t                       testing.TB
	watch                   watch
	active, cancelled, done int
}

// Slow holds every request until release is closed (or one value is sent for
// each), then answers 200 "done"; a client that hangs up first counts as
// cancelled. HTTP/1.1 by net/http: good for thousands at once.
func Slow(t testing.TB, release <-chan struct{}) *SlowServer {
	t.Helper()
	s := &SlowServer{t: t}
	s.URL = HTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.hold(w, r, release) }))
	return s
}

func (s *SlowServer) hold(w http.ResponseWriter, r *http.Request, release <-chan struct{}) {
	s.watch.update(func() { s.active++ })
	// The server notices a hang-up only once the body has been read.
	_, _ = io.Copy(io.Discard, r.Body)
	select {
	case <-release:
		s.watch.update(func() { s.active--; s.done++ })
		_, _ = io.WriteString(w, "done")
	case <-r.Context().Done():
		s.watch.update(func() { s.active--; s.cancelled++ })
	}
}

// Active is how many requests are held now.
func (s *SlowServer) Active() (n int) {
	s.watch.read(func() { n = s.active })
	return n
}

// Cancelled is how many clients hung up before they were answered.
func (s *SlowServer) Cancelled() (n int) {
	s.watch.read(func() { n = s.cancelled })
	return n
}

// Done is how many requests were released and answered.
func (s *SlowServer) Done() (n int) {
	s.watch.read(func() { n = s.done })
	return n
}

// AwaitActive blocks until exactly n requests are held, or fails the test.
func (s *SlowServer) AwaitActive(n int) {
	s.t.Helper()
	s.await("active", n, func() bool { return s.active == n })
}

// AwaitCancelled blocks until n clients hung up, or fails the test.
func (s *SlowServer) AwaitCancelled(n int) {
	s.t.Helper()
	s.await("cancelled", n, func() bool { return s.cancelled >= n })
}

func (s *SlowServer) await(what string, n int, ok func() bool) {
	s.t.Helper()
	if !s.watch.settled(ok) {
		s.t.Fatalf("testpeer: %d requests are not %s within %v: %d active, %d cancelled, %d done",
			n, what, patience, s.Active(), s.Cancelled(), s.Done())
	}
}
