package doortest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// good makes a call by each door, on connections that are open already.
func (w *world) good(t testing.TB) {
	t.Helper()
	w.calls(t, w.conn, w.web)
}

// fresh makes a call by each door, on new connections.
func (w *world) fresh(t testing.TB) {
	t.Helper()
	conn, web := w.callers(t)
	w.calls(t, conn, web)
	_ = conn.Close()
	web.CloseIdleConnections()
}

func (w *world) calls(t testing.TB, conn *grpc.ClientConn, web *http.Client) {
	t.Helper()
	if err := lenient(w.clock, func() error { return w.call(t, conn) }); err != nil {
		t.Errorf("a good caller over gRPC: %v", err)
	}
	if err := lenient(w.clock, func() error { return w.post(t, web) }); err != nil {
		t.Errorf("a good caller over REST: %v", err)
	}
}

// lenient makes a call, or a connection, that is under a clock of the service; 0: none.
// The clock is short, for the attack's sake, and rightly ends a good call too on a
// machine that stands still: such a call is made again. What failed within half of the
// clock (one of writes may have run for a quarter when a call begins), or on a machine
// that did not stand still, was failed by the service.
func lenient(clock time.Duration, call func() error) error {
	for late := time.Now().Add(patience); ; {
		began, before := time.Now(), lateness.so()
		err := call()
		took, stood := time.Since(began), lateness.so()-before
		if err == nil || clock == 0 || took < clock/2 || stood < took/10 || time.Now().After(late) {
			return err
		}
	}
}

// sleeper measures how much later than it wants to a goroutine of this process wakes.
type sleeper struct {
	stop chan struct{}
	done chan struct{}

	mu   sync.Mutex
	late time.Duration // in all
	due  time.Time
}

func newSleeper() *sleeper {
	s := &sleeper{stop: make(chan struct{}), done: make(chan struct{}), due: time.Now()}
	go s.run()
	return s
}

func (s *sleeper) run() {
	defer close(s.done)
	const nap = 20 * time.Millisecond // a machine that is idle wakes it within one or two
	for {
		s.mu.Lock()
		s.late += max(0, time.Since(s.due))
		s.due = time.Now().Add(nap)
		s.mu.Unlock()
		select {
		case <-time.After(nap):
		case <-s.stop:
			return
		}
	}
}

// so is how late it was so far, and is at this moment.
func (s *sleeper) so() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.late + max(0, time.Since(s.due))
}

func (s *sleeper) close() {
	close(s.stop)
	<-s.done
}

// awaitPlace waits until the REST door has room for a connection; over gRPC a good
// caller waits by itself.
func (w *world) awaitPlace(t testing.TB) {
	t.Helper()
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: w.tls}}
	defer web.CloseIdleConnections()
	for late := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		err := w.post(t, web)
		if err == nil {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("the places of those who left are given to nobody: %v", err)
		}
	}
}

// call makes a good call by gRPC.
func (w *world) call(t testing.TB, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	res, err := fetchsvcv1.NewFetchServiceClient(conn).Fetch(ctx, &fetchsvcv1.FetchRequest{Url: w.upstream.URL}, grpc.WaitForReady(true))
	if err == nil && string(res.GetBody()) != "ok" {
		err = fmt.Errorf("got %q", res.GetBody())
	}
	return err
}

// post makes one by REST.
func (w *world) post(t testing.TB, web *http.Client) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	scheme := "http://"
	if w.tls != nil {
		scheme = "https://"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+w.rest+"/v1/fetch", strings.NewReader(`{"url":"`+w.upstream.URL+`"}`))
	if err != nil {
		return err
	}
	answer, err := web.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || !strings.Contains(string(text), `"ok"`)) {
		err = fmt.Errorf("got %d %s", answer.StatusCode, text)
	}
	return err
}
