package fetch

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// Upload is a Body that arrives from the caller while it is sent. It can be sent
// once, unless nothing of it was read yet.
//
// Open's reader may be closed under a Read, which then ends. Opened again, an
// upload goes on behind what was read, and ends again as it ended.
type Upload interface {
	Body
	// Trailer is what to send behind the body. Names that are announced stand in
	// it from the start; values, and further names, come before Read's io.EOF.
	Trailer() http.Header
	// Unannounced says that Trailer got names that were not there at the start.
	Unannounced() bool
}

// streamIdle is the idle clock of a stream for which policy sets none.
const streamIdle = 60 * time.Second

// idle is the effective idle clock.
func (t *Try) idle() time.Duration {
	if d := t.hop.limits.idle; d > 0 || t.call.buffered {
		return d
	}
	return streamIdle
}

// sentBody is a request body on its way out: it counts, and on an upload keeps
// the idle clock in both directions. The transport may still read when the try
// is over.
type sentBody struct {
	io.ReadCloser
	n      atomic.Int64
	failed atomic.Pointer[fault.Error]

	// Of an upload only:
	upload Upload
	try    *Try
	whole  func() // runs when the upload has ended
	due    atomic.Pointer[time.Timer]
	asked  atomic.Bool // the transport waits for the caller, not the upstream
	broken atomic.Bool // the transport wants no more
}

// errBroken ends the upload of a connection, or an HTTP/2 stream, that is closed.
var errBroken = fmt.Errorf("fetch: the upload's connection: %w", net.ErrClosed)

// Close ends a Read that waits for the caller: net/http does not return from a
// failed request before its body does. HTTP/2 closes the body of a stream that
// ended; for HTTP/1.1 cut does, when the connection is closed.
func (b *sentBody) Close() error {
	b.broken.Store(true)
	return b.ReadCloser.Close()
}

func (b *sentBody) cut() { _ = b.Close() }

func (b *sentBody) Read(p []byte) (int, error) {
	if b.upload != nil {
		b.watch(true)
	}
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	if err == io.EOF && b.upload != nil && b.upload.Unannounced() && b.try.wire.multiplexed() {
		err = fault.New(fault.UploadIncomplete,
			"the upstream speaks HTTP/2, where trailers must be announced: name them in a Trailer header of `start`")
	}
	switch {
	case err != nil && b.broken.Load():
		b.rest()
		return n, errBroken
	case err != nil && err != io.EOF:
		b.failed.Store(fault.From(err))
		b.rest()
	case err != nil:
		b.rest()
		if b.upload != nil {
			b.try.wire.sentAll()
			b.whole()
		}
	case b.upload != nil:
		b.watch(false)
	}
	return n, err
}

// watch arms the idle clock for whoever has to move next.
func (b *sentBody) watch(caller bool) {
	b.asked.Store(caller)
	d := b.try.idle()
	if due := b.due.Load(); due != nil {
		due.Reset(d)
		return
	}
	b.due.Store(time.AfterFunc(d, func() {
		f := fault.New(fault.IdleTimeout, "the upstream took nothing of the upload for longer than the idle clock of "+d.String())
		if b.asked.Load() {
			f = fault.New(fault.UploadIncomplete, "the caller sent nothing of the upload for longer than the idle clock of "+d.String())
		}
		b.try.cancel(f)
	}))
}

// rest stops the idle clock.
func (b *sentBody) rest() {
	if due := b.due.Load(); due != nil {
		due.Stop()
	}
}
