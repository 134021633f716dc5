package fetch

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// Try is one request on the wire: the hop it belongs to, the request made for
// it alone, and what is observed. It lives until its response body is closed.
type Try struct {
	call    *Call
	hop     *hop
	entry   *Attempt
	request *http.Request

	wire wire
	body sentBody
	read receivedBody

	timer   *time.Timer
	cancel  context.CancelCauseFunc
	resends int
	lost    fault.Wire // what a connection took that was not resent on
	closed  bool
}

// open begins a line of the ledger.
func (t *Try) open(reason Reason) {
	t.wire.start = time.Now()
	ledger := &t.call.tries.attempts
	t.entry = &Attempt{}
	if len(*ledger) == 0 {
		*ledger, t.entry = t.call.first.ledger[:0], &t.call.first.attempt
	}
	*t.entry = Attempt{
		Number: len(*ledger) + 1, Hop: t.hop.index, Reason: reason, Start: t.wire.start,
		Method: t.hop.method, URL: t.hop.url, Upstream: t.hop.upstream.Name,
		Route: t.hop.route.Name, Template: t.hop.template, Place: t.hop.chain.placeOf(t.hop.upstream, t.hop.url),
		Span: telemetry.NewSpanID(),
	}
	*ledger = append(*ledger, t.entry)
}

// headers makes the try's own request from the hop's template, and adds what is
// sent unasked: Host, framing, Accept-Encoding, User-Agent. Nothing else.
func (e *Engine) headers(_ *policy.Route, next TryFunc) TryFunc {
	return func(ctx context.Context, t *Try) (*http.Response, error) {
		var blank http.Request
		r := blank.WithContext(ctx)
		r.Method, r.URL, r.Host = t.hop.method, t.hop.url.HTTP(), t.hop.url.HostPort()
		if own := t.call.req.Host; own != "" && t.hop.index == 0 {
			r.Host, t.entry.Host = own, own
		}
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
		r.Header = make(http.Header, len(t.hop.header)+2)
		for name, values := range t.hop.header {
			r.Header[name] = values
		}
		if _, given := r.Header["Accept-Encoding"]; !given {
			r.Header["Accept-Encoding"] = e.acceptEncoding
			if _, part := r.Header["Range"]; part || t.hop.wantsEvents() {
				r.Header["Accept-Encoding"] = identity // a part of a coded body decodes to nothing
			}
		}
		if _, given := r.Header["User-Agent"]; !given {
			r.Header["User-Agent"] = e.userAgent
		}
		t.tell(r)
		t.attachBody(r)
		t.request, t.entry.Header, t.entry.Length = r, r.Header, r.ContentLength
		return next(ctx, t)
	}
}

// tell has the upstream know of the trace, as far as policy says so. What the caller
// wrote into these headers itself gives way.
func (t *Try) tell(r *http.Request) {
	up, tr := t.hop.upstream, t.call.trace
	if up.Trace.Propagate == policy.PropagateNone {
		return
	}
	r.Header["Traceparent"] = []string{tr.Traceparent(t.entry.Span, t.call.sampled)}
	delete(r.Header, "Tracestate")
	if tr.State != "" {
		r.Header["Tracestate"] = []string{tr.State}
	}
	if up.Trace.Propagate != policy.PropagateAll {
		return
	}
	delete(r.Header, "Baggage")
	if tr.Baggage != "" {
		r.Header["Baggage"] = []string{tr.Baggage}
	}
}

// identity asks for the body as it is.
var identity = []string{"identity"}

// attachBody gives r a fresh reader of the body. GetBody stays nil: net/http must
// not send it again on its own.
func (t *Try) attachBody(r *http.Request) {
	b := t.hop.body
	if b == nil {
		return
	}
	r.ContentLength = b.Size()
	if r.ContentLength == 0 {
		r.Body = http.NoBody
		if t.body.whole != nil {
			t.body.whole()
		}
		return
	}
	t.body.ReadCloser = b.Open()
	if up, ok := b.(Upload); ok {
		t.body.upload, t.body.try = up, t
		t.wire.onClose = t.body.cut
		r.Trailer = up.Trailer()
	}
	r.Body = &t.body
}

// roundTrip sends the request and reads the answer's head.
func (t *Try) roundTrip(ctx context.Context, transport http.RoundTripper) (*http.Response, error) {
	res, err := transport.RoundTrip(t.request)
	if err != nil {
		if f := t.body.failed.Load(); f != nil {
			return nil, f // the body is why the connection broke
		}
		f := egress.RoundTripFault(ctx, err)
		if f.Kind == fault.ProxyAuthRequired || egress.Unprocessed(err) {
			t.wire.refused()
		}
		return nil, f
	}
	t.wire.headCame()
	if _, upload := t.hop.body.(Upload); upload {
		t.call.tries.limit(time.Now(), t.call.tries.total) // its time began with the upload's end
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		_ = res.Body.Close()
		return nil, fault.New(fault.BadResponse, "the upstream switched protocols (101), which nobody asked for")
	}
	trimNames(res.Header)
	t.read = receivedBody{body: res.Body, ctx: ctx, try: t, length: res.ContentLength, idle: t.idle(), minRate: t.hop.limits.minRate}
	res.Body = &t.read
	return res, nil
}

// trimNames removes white space between a header's name and its colon, as RFC
// 9112 section 5.1 asks of whoever passes a response on; net/http lets it through.
func trimNames(h http.Header) {
	for name, values := range h {
		if trimmed := strings.TrimRight(name, " \t"); trimmed != name {
			delete(h, name)
			trimmed = http.CanonicalHeaderKey(trimmed)
			h[trimmed] = append(h[trimmed], values...)
		}
	}
}
