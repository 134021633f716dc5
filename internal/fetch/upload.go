package fetch

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// Upload is a Body that arrives from the caller while it is sent. It can be sent
// once, unless nothing of it was read yet.
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
	due    atomic.Pointer[time.Timer]
	asked  atomic.Bool // the transport waits for the caller, not the upstream
}

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
	case err != nil && err != io.EOF:
		b.failed.Store(fault.From(err))
		b.rest()
	case err != nil:
		b.rest()
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
		who := "the upstream took nothing of the upload"
		if b.asked.Load() {
			who = "the caller sent nothing of the upload"
		}
		b.try.cancel(fault.New(fault.IdleTimeout, who+" for longer than the idle clock of "+d.String()))
	}))
}

// rest stops the idle clock.
func (b *sentBody) rest() {
	if due := b.due.Load(); due != nil {
		due.Stop()
	}
}
