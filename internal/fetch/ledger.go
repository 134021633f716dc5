package fetch

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// Attempt is one line of the ledger: a request on the wire and what became of
// it. It is complete when the response body has ended.
type Attempt struct {
	// Number counts from 1 over all hops.
	Number int
	Hop    int
	Reason Reason
	// Wait is how long the call waited before it, and WaitReason why.
	Wait       time.Duration
	WaitReason string
	// Start is when it began.
	Start time.Time
	// Span is its span's id, which the upstream was told if policy says so.
	Span trace.SpanID
	// Upstream and Route are policy's names for the hop, and Place is where it went by
	// policy's words. Template is the path by which the route matched; empty: by none.
	Upstream, Route string
	Place           Place
	Template        string
	Method          string
	URL             target.URL
	// Host is the Host that was sent instead of the URL's; empty: the URL's was.
	Host string
	// Header is what was sent beside Host and framing, secrets included: redact
	// before showing it.
	Header http.Header
	// Length is the Content-Length that was sent; -1: none, the body is chunked.
	Length int64
	// Address is ip:port; empty: nothing was dialled.
	Address string
	Reused  bool
	// Proxy is what it went through, as scheme://host:port; empty: nothing.
	Proxy string
	// Credential is the name of what was applied, with a pool's member behind a slash;
	// empty: nothing was. Secret are the headers that hold what it put there.
	Credential string
	Secret     []string
	// Scrubbed is how often the answer had that in it.
	Scrubbed int
	Proto    string
	Timings  Timings
	Wire     fault.Wire
	// Status is 0 if no head came.
	Status int
	// Err is why there is no usable response.
	Err *fault.Error
	// Stopped is why no other attempt followed, where policy retries: a word and a
	// sentence.
	Stopped       string
	BytesSent     int64
	BytesReceived int64
}

// Timings are the phases of an attempt; 0: it did not take place.
type Timings struct {
	DNS, Connect, TLS, Connection, Send, FirstByte, Body, Total time.Duration
}

// ledger watches the wire and closes the try's line when the try has failed or
// its body has ended.
func ledger(_ *policy.Route, next TryFunc) TryFunc {
	return func(ctx context.Context, t *Try) (*http.Response, error) {
		t.wire.onResend = t.resent
		usage := t.hop.chain.usage
		usage.begin(t.entry.Place)
		ctx = t.wire.watch(ctx, t.hop.limits.connect, &usage.connecting)
		returned := false
		defer func() { // also when a defect panics: it would be under way for ever
			if !returned {
				t.end(nil)
			}
		}()
		res, err := next(ctx, t)
		returned = true
		if err != nil {
			return nil, t.fail(err)
		}
		return res, nil
	}
}

// answered notes the head.
func (t *Try) answered(res *http.Response) {
	t.entry.Status, t.entry.Wire, t.entry.Proto = res.StatusCode, fault.Answered, protoVersion(res)
	t.call.tries.head, t.call.tries.headAt = res, time.Now()
}

// end closes the line, once.
func (t *Try) end(f *fault.Error) {
	if t.closed {
		return
	}
	t.closed = true
	t.close(f, time.Now())
	t.wire.over()
	t.hop.chain.usage.end(t.entry.Place)
}

func (t *Try) close(f *fault.Error, now time.Time) {
	t.wire.observe(t.entry, now)
	t.entry.BytesSent = t.body.n.Load()
	t.entry.Err = f
}

// fail closes the line with a failure that knows what it left behind.
func (t *Try) fail(err error) *fault.Error {
	f := *fault.From(err) // a copy: the cause may be shared with other calls
	if t.entry.Status == 0 {
		t.entry.Wire = max(t.wire.reached(byClock(f.Kind)), t.lost)
	}
	f.Wire = t.entry.Wire
	_, keyed := t.call.req.Header[t.hop.retry.IdempotencyHeader]
	again := repeatable(t.call.req.Method) || keyed || t.call.req.IdempotencyKey != ""
	if f.Wire == fault.Unsent && !again && t.call.tries.reached() {
		f.Wire = fault.MaybeProcessed // this hop saw nothing, but one before it did
	}
	f.SafeToRetry = f.Kind.MayPass() && (f.Wire == fault.Unsent || again && t.hop.repeatable())
	t.end(&f)
	t.entry.Err = &f // also where the body was at its end: what it held is the failure
	return &f
}

// mostResends bounds what the transport may send again by itself within a try.
const mostResends = 2

// resent closes the line of a connection that the transport gave up on by
// itself, and opens the next: net/http resends a bodyless request silently and
// without end, whatever its method, and the ledger must not be silent about it.
// What is not safe to resend, or was resent too often, ends here.
func (t *Try) resent() {
	f := fault.New(fault.ConnectionReset, "the connection was lost before an answer")
	f.Wire = t.wire.reached(false)
	if t.resends++; t.resends > mostResends || f.Wire != fault.Unsent && !t.hop.repeatable() {
		t.lost = f.Wire
		t.cancel(f)
		return
	}
	f.Message += "; the transport used another"
	t.entry.Wire = f.Wire
	t.close(f, time.Now())
	lost := *t.entry
	t.open(Resend)
	t.entry.Header, t.entry.Length, t.entry.Host = lost.Header, lost.Length, lost.Host
	t.entry.Credential, t.entry.Secret = lost.Credential, lost.Secret // else the header would be shown as it is
}

// byClock says that a timer or the caller ended the try, while the transport may
// still have been writing.
func byClock(k fault.Kind) bool {
	switch k {
	case fault.AttemptTimeout, fault.TotalTimeout, fault.FirstByteTimeout, fault.IdleTimeout,
		fault.UploadIncomplete, fault.Cancelled:
		return true
	}
	return false
}

// repeatable is RFC 9110 section 9.2.2.
func repeatable(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// repeatable is that, or the word of whoever gave it an idempotency key.
func (h *hop) repeatable() bool { return repeatable(h.method) || h.keyed() }

// protoVersion is `1.0`, `1.1` or `2`.
func protoVersion(res *http.Response) string {
	switch {
	case res.ProtoMajor >= 2:
		return "2"
	case res.ProtoMinor == 0:
		return "1.0"
	default:
		return "1.1"
	}
}
