package fetch

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/content"
	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// Live is a response whose body is still on its way. Read it to its end and ask
// End, or Close it; Close after End does nothing.
type Live struct {
	// Response is the head; its counts, trailers and ledger are complete after End.
	Response

	call  *Call
	res   *http.Response
	try   *Try
	body  io.ReadCloser
	left  int64 // of max_response_bytes, decoded
	total int64
	// settled: the ledger has the failure already.
	settled bool
	// ctx is the caller's; failed is how the stream ended, over that it did.
	ctx    context.Context
	spool  *spool // nil: nothing is uploaded
	failed error
	over   bool
}

// Open makes one call and returns at the response's head. From here on the total
// and attempt clocks stand still: the idle clock, the stream_total clock and ctx
// hold. The Live is nil on failure; the Response says what was tried.
func (e *Engine) Open(ctx context.Context, req *Request) (*Live, *Response, error) {
	c, kept := e.newStream(ctx, req)
	opened := false
	defer func() { // also when a defect panics
		if !opened {
			c.over()
		}
	}()
	res, err := c.run(ctx)
	if err != nil {
		kept.end()
		out := &Response{}
		c.account(out)
		c.observe(ctx, out, err)
		return nil, out, fault.From(err)
	}
	l := &Live{ctx: ctx, spool: kept, call: c, res: res, try: res.Body.(*receivedBody).try, body: res.Body, left: math.MaxInt64}
	l.try.commit()
	kept.commit()
	c.head(res, &l.Response)
	l.resume(ctx)
	if err := l.prepare(); err != nil {
		if !errors.Is(err, fault.UpstreamStatus) {
			err = l.Fail(err)
		}
		l.failed = err
		l.Close()
		c.account(&l.Response)
		return nil, &l.Response, fault.From(err)
	}
	l.scrubStream()
	c.account(&l.Response)
	opened = true
	return l, nil, nil
}

// prepare puts the decoder and the size limit before the body.
func (l *Live) prepare() error {
	if err := l.call.judgeStatus(l.res.StatusCode); err != nil {
		return err
	}
	if most := l.call.req.MaxResponseBytes; most > 0 {
		l.left = most
		if l.res.ContentLength > most && !l.call.req.AllowTruncated && l.res.Request.Method != http.MethodHead {
			return l.tooLarge()
		}
	}
	coding, known, err := content.CodingOf(l.res.Header["Content-Encoding"])
	if l.call.keepCoded(l.res.StatusCode, coding, known) {
		l.Coded = coding != "" || err != nil
		return nil
	}
	if err != nil || coding == "" || l.res.Request.Method == http.MethodHead {
		return err
	}
	// The caller's limit is kept by Read, which counts what is handed on.
	d, err := content.NewDecoder(coding, l.body, content.Limits{MaxDecoded: l.call.hop.limits.maxDecoded, MaxRatio: l.call.hop.limits.ratio})
	if err != nil {
		return err
	}
	l.body, l.Decoded = d, coding
	return nil
}

// Read gives the next decoded bytes. Its errors are *fault.Error, but for io.EOF
// at the good end of the body.
func (l *Live) Read(p []byte) (int, error) {
	if l.left < int64(len(p)) {
		p = p[:l.left+1] // one more tells a body that ends here from one that goes on
	}
	n, err := l.body.Read(p)
	if int64(n) > l.left {
		n, err = int(l.left), l.tooLarge()
		if l.call.req.AllowTruncated {
			l.Truncated, err = true, io.EOF
		}
	}
	l.left -= int64(n)
	l.total += int64(n)
	if err != nil && err != io.EOF {
		err = l.fail(err)
	}
	return n, err
}

func (l *Live) tooLarge() error {
	return fault.Newf(fault.ResponseTooLarge, "the response body is larger than max_response_bytes, %d: raise it, leave it out, or set allow_truncated",
		l.call.req.MaxResponseBytes)
}

// fail ends the ledger's line with what broke the body. An upload that broke
// comes first: it is why the connection did.
func (l *Live) fail(err error) error {
	if f := l.try.body.failed.Load(); f != nil {
		err = f
	}
	return l.Fail(err)
}

// Fail ends the call with err, which whoever reads the body found in it.
func (l *Live) Fail(err error) error {
	l.failed = err
	if l.settled {
		return err
	}
	l.failed = l.try.fail(err)
	return l.failed
}

// Abandon notes that whoever reads the body gave up because of err.
func (l *Live) Abandon(err error) {
	if l.failed == nil {
		l.failed = err
	}
}

// Total is how many decoded bytes Read has given.
func (l *Live) Total() int64 { return l.total }

// End completes the Response after Read gave io.EOF, and closes the body.
func (l *Live) End() *Response {
	l.Close()
	if l.Trailer = l.res.Trailer; l.call.scrubs() {
		l.try.entry.Scrubbed += l.call.scrubFields(l.Trailer)
	}
	return &l.Response
}

// Close ends the call wherever it is; a body that is not at its end is cut off.
func (l *Live) Close() {
	_ = l.body.Close()
	_ = l.res.Body.Close()
	l.call.account(&l.Response)
	l.spool.end()
	if !l.over {
		l.over = true
		l.call.observe(l.ctx, &l.Response, l.failed)
	}
}

// commit stops the clocks that were for the head, and starts the one that is for
// the whole stream.
func (t *Try) commit() {
	t.timer.Stop()
	if d := t.hop.limits.streamTotal; d > 0 {
		t.timer = time.AfterFunc(d, func() { t.cancel(streamTimedOut(d)) })
	}
}

func streamTimedOut(d time.Duration) *fault.Error {
	return fault.New(fault.TotalTimeout, "the stream took longer than its stream_total clock of "+d.String())
}
