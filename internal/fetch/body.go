package fetch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// Bytes is a request body held in memory, which any number of tries may send.
type Bytes []byte

// Open gives a reader of its own to each try.
func (b Bytes) Open() io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }

// Replayable is true.
func (b Bytes) Replayable() bool { return true }

// Size is the length.
func (b Bytes) Size() int64 { return int64(len(b)) }

// receivedBody is a response body on its way: it counts, keeps the idle clock,
// names failures, and closes the try when it ends.
type receivedBody struct {
	body io.ReadCloser
	ctx  context.Context // the try's: a clock that ends it leaves the reason there
	try  *Try
	idle time.Duration
	due  *time.Timer
	// length is what the head announced; -1: nothing.
	length int64
	// onClose runs once it is closed; nil: nothing does.
	onClose func()

	minRate int64
	waited  time.Duration // for the upstream, since the rate was measured
	came    int64
}

func (b *receivedBody) Read(p []byte) (int, error) {
	if b.idle > 0 {
		b.armIdle()
	}
	var start time.Time
	if b.minRate > 0 {
		start = time.Now()
	}
	n, err := b.body.Read(p)
	if b.idle > 0 {
		b.due.Stop()
	}
	b.try.entry.BytesReceived += int64(n)
	if b.minRate > 0 && err == nil {
		err = b.measure(n, time.Since(start))
	}
	switch {
	case err == io.EOF:
		b.try.end(nil)
	case err != nil:
		err = egress.BodyFault(b.ctx, err, b.try.entry.BytesReceived, b.length)
	}
	return n, err
}

// rateWindow is how much waiting the rate is measured over, unless Config says
// otherwise. A caller that reads slowly does not count: only the time in Read
// does.
const rateWindow = 10 * time.Second

func (b *receivedBody) measure(n int, took time.Duration) error {
	b.came += int64(n)
	b.waited += took
	if b.waited < b.try.call.rateWindow {
		return nil
	}
	slow := float64(b.came)/b.waited.Seconds() < float64(b.minRate)
	b.came, b.waited = 0, 0
	if slow {
		return fault.New(fault.IdleTimeout, "the response body came slower than policy's min_rate of "+policy.FormatSize(b.minRate)+" a second")
	}
	return nil
}

func (b *receivedBody) armIdle() {
	if b.due == nil {
		b.due = time.AfterFunc(b.idle, func() {
			b.try.cancel(fault.New(fault.IdleTimeout, "the response body stood still for longer than the idle clock of "+b.idle.String()))
		})
		return
	}
	b.due.Reset(b.idle)
}

func (b *receivedBody) Close() error {
	err := b.body.Close()
	b.try.end(nil)
	b.try.release()
	if b.onClose != nil {
		b.onClose()
	}
	return err
}

// buffered is a body that was read whole.
type buffered struct {
	bytes.Reader
	data      []byte
	truncated bool
}

func (*buffered) Close() error { return nil }

// buffer reads the body inside the try, so that one that breaks off can be tried
// again and the attempt clock covers it. The body of a redirect that will be
// followed is left alone.
func buffer(r *policy.Route, next TryFunc) TryFunc {
	mostHead := r.Upstream.Base.Sizes.ResponseHeader
	return func(ctx context.Context, t *Try) (*http.Response, error) {
		res, err := next(ctx, t)
		if err != nil {
			return nil, err
		}
		if f := badHead(res, mostHead); f != nil {
			_ = t.read.body.Close() // not res.Body: that would end the ledger's line well
			return nil, f
		}
		t.answered(res)
		if t.hop.challenge.why != "" {
			return res, nil // nobody wants this body
		}
		if plan := t.call.redirect(ctx, res); plan.next != nil || plan.err != nil || !t.call.buffered {
			return res, nil
		}
		data, truncated, err := t.readAll(res)
		if err != nil {
			_ = t.read.body.Close() // as above
			return nil, err
		}
		_ = res.Body.Close()
		body := &t.call.first.body // of one response only: the call's last
		body.data, body.truncated = data, truncated
		res.Body = body
		return res, nil
	}
}

// grow is the first allocation for a body whose length is promised and not yet
// delivered: what a peer claims costs no more memory than this.
const grow = 512 << 10

func (t *Try) readAll(res *http.Response) (data []byte, truncated bool, err error) {
	most := t.hop.limits.maxBytes
	if res.ContentLength > most && res.Request.Method != http.MethodHead && !t.call.req.AllowTruncated {
		return nil, false, tooLarge(fmt.Sprintf("announces %d bytes", res.ContentLength), most)
	}
	size := int64(512)
	if res.ContentLength >= 0 {
		size = min(res.ContentLength, grow-1) + 1 // one more, so that EOF comes without growing
	}
	if res.Request.Method == http.MethodHead {
		size = 1
	}
	data = make([]byte, 0, size)
	for {
		n, err := res.Body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if int64(len(data)) > most {
			if t.call.req.AllowTruncated {
				return data[:most], true, nil
			}
			return nil, false, tooLarge("is larger", most)
		}
		if err == io.EOF {
			return data, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
	}
}

func tooLarge(what string, most int64) *fault.Error {
	return fault.Newf(fault.ResponseTooLarge,
		"the response body %s and the limit is %d bytes: raise max_response_bytes, set allow_truncated, or use Stream", what, most)
}
