package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// slow gives the requests of the REST door their clocks. net/http's own hold for a
// whole request or answer, which may rightly last for hours.
func (b Bounds) slow(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor > 1 { // the connection's clock does not know of streams
			w = &pacedWriter{w, http.NewResponseController(w), b.Answer}
			defer watchReset(r, time.Now())
		}
		if r.Body != http.NoBody {
			body := &pacedBody{ReadCloser: r.Body, rc: http.NewResponseController(w), pause: b.Message, begun: time.Now()}
			body.arm() // also for who answers without reading it: net/http reads on then
			r.Body = body
		}
		next.ServeHTTP(w, r)
	})
}

// pacedBody is a request's body that may not stand still, nor come by drops.
type pacedBody struct {
	io.ReadCloser
	rc    *http.ResponseController
	pause time.Duration
	begun time.Time

	mu    sync.Mutex
	got   int64
	until time.Time // when the clock runs out
	over  bool
}

// perPause is how many bytes of a body buy it another pause's time.
const perPause = 512 << 10

// arm sets the clock: a pause from now, and no later than what came is worth.
func (b *pacedBody) arm() {
	worth := b.begun.Add(b.pause + time.Duration(float64(b.got)/perPause*float64(b.pause)))
	if next := time.Now().Add(b.pause); next.Before(worth) {
		worth = next
	}
	b.until = worth
	_ = b.rc.SetReadDeadline(worth)
}

// verdict says why the request ended: its clock ran out, or its caller left (nil).
func (b *pacedBody) verdict() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over || time.Now().Before(b.until) {
		return nil
	}
	return b.late()
}

// Read takes what came, in time.
func (b *pacedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return n, err
	}
	b.got += int64(n)
	switch {
	case err == nil:
		b.arm()
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = b.late()
	default: // net/http watches the connection from now on, for as long as the call lasts
		b.over = true
		_ = b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

func (b *pacedBody) late() error {
	f := fault.Newf(fault.UploadIncomplete,
		"the request stood still, or came too slowly, after %d bytes: a pause may last %v, and a stream whose upload is slow goes by /v1/stream", b.got, b.pause)
	f.SafeToRetry = true
	return f
}

// clockOf gives the clock of a request's body; nil: it has none.
func clockOf(r *http.Request) *pacedBody {
	b, _ := r.Body.(*pacedBody)
	return b
}

// release stops the clock, if there is one: from here on others watch.
func (b *pacedBody) release() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over {
		b.over = true
		_ = b.rc.SetReadDeadline(time.Time{})
	}
}

const (
	// netHTTPReads is how much of a body that its handler left net/http reads itself.
	netHTTPReads = 256 << 10
	// mostSpent is how much of it is read for a caller that will not stop.
	mostSpent = 128 << 20
)

// spend sends the answer and then reads what is left of a long body, so that the
// caller comes to read the answer: net/http closes the connection after 500 ms,
// which is a reset to whoever still sends.
func (b *pacedBody) spend(r *http.Request) {
	if b == nil || r.ProtoMajor > 1 || !b.long(r.ContentLength) || b.rc.Flush() != nil {
		return
	}
	_ = b.rc.SetReadDeadline(time.Now().Add(lingers))
	_, _ = io.CopyN(io.Discard, b.ReadCloser, mostSpent)
}

// long says that more is left of the body than net/http reads itself.
func (b *pacedBody) long(length int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.over && (length < 0 && b.got > netHTTPReads || length-b.got > netHTTPReads)
}

// pacedWriter is an answer over HTTP/2 whose client must take some of it now and then.
type pacedWriter struct {
	http.ResponseWriter
	rc     *http.ResponseController
	answer time.Duration
}

// perWrite is how much of an answer is written under one clock, in bytes.
const perWrite = 64 << 10

// Write sends p by parts.
func (w *pacedWriter) Write(p []byte) (sent int, err error) {
	for {
		_ = w.rc.SetWriteDeadline(time.Now().Add(w.answer))
		n, err := w.ResponseWriter.Write(p[sent:min(len(p), sent+perWrite)])
		sent += n
		if err != nil || sent == len(p) {
			return sent, err
		}
	}
}

// FlushError sends what was written.
func (w *pacedWriter) FlushError() error {
	_ = w.rc.SetWriteDeadline(time.Now().Add(w.answer))
	return w.rc.Flush()
}

// Flush is FlushError for who does not ask.
func (w *pacedWriter) Flush() { _ = w.FlushError() }

// Unwrap lets http.ResponseController reach what is beneath.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// resets counts the calls of one connection that were reset as they began. Over
// HTTP/1.1 that ends the connection, and over the gRPC door frames sees to it.
type resets struct {
	conn net.Conn
	mu   sync.Mutex
	left bucket
}

type resetsKey struct{}

func countResets(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, resetsKey{}, &resets{conn: conn, left: newBucket(rapidResets, rapidRate)})
}

// watchReset notes how a call ended, and closes a connection on which too many did
// so soon.
func watchReset(r *http.Request, begun time.Time) {
	if r.Context().Err() == nil || time.Since(begun) > time.Second {
		return
	}
	c, ok := r.Context().Value(resetsKey{}).(*resets)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.left.take() {
		_ = c.conn.Close()
	}
}
