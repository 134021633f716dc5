package fetch

import (
	"context"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/content"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// resumption continues a stream's body that broke off behind its head: it asks
// the upstream for what is missing, so that whoever reads the body does not
// notice. It stands beneath the content decoder, so what it counts and joins is
// the body as coded.
type resumption struct {
	live *Live
	ctx  context.Context // the call's, until stream_total
	stop context.CancelFunc
	hop  *hop // as it was asked first

	// body and res are the answer that gives bytes now.
	body *receivedBody
	res  *http.Response
	// onClose gives back what the first body held, at the end of the whole stream.
	onClose func()

	// field is the policy's name for how often, left how many of most.
	field      string
	left, most int
	// Since the last progress: how many attempts there were, the wait before the
	// last of them, and what upstreams asked for in sum.
	failed      int
	prev, asked time.Duration
	// least is the shortest wait that the stream itself asks for.
	least time.Duration
	// broke is what broke the body; it is resumed by the next Read.
	broke error
	// err is how the stream ended.
	err error
}

// resume puts what continues the body before it, where policy wants that and the
// answer allows it.
func (l *Live) resume(ctx context.Context) {
	h := l.call.hop
	may := h.route.Resume
	if may == (policy.Resume{}) || h.method != http.MethodGet || h.body != nil || l.res.StatusCode != http.StatusOK {
		return
	}
	switch {
	case may.Events > 0 && isEvents(l.res):
		l.body = &events{resumption: l.resumption(ctx, "resume.events", may.Events)}
	case may.Downloads > 0 && rangeable(h.header, l.res.Header):
		l.body = &download{
			resumption: l.resumption(ctx, "resume.downloads", may.Downloads),
			etag:       l.res.Header["Etag"], coding: l.res.Header["Content-Encoding"],
			whole: l.res.ContentLength, part: l.res.ContentLength,
		}
	}
	l.res.Body = l.body
}

func (l *Live) resumption(ctx context.Context, field string, most int) resumption {
	first := l.res.Body.(*receivedBody)
	r := resumption{live: l, hop: l.call.hop, body: first, res: l.res, onClose: first.onClose, field: field, left: most, most: most}
	first.onClose = nil
	if d := r.hop.limits.streamTotal; d > 0 {
		r.ctx, r.stop = context.WithTimeoutCause(ctx, d, streamTimedOut(d))
	} else {
		r.ctx, r.stop = context.WithCancel(ctx)
	}
	return r
}

// Close ends the stream wherever it is.
func (r *resumption) Close() error {
	err := r.body.Close()
	r.stop()
	if r.onClose != nil {
		r.onClose()
	}
	return err
}

// resumable says that what ended the body may be gone by now. The caller's
// cancel, the stream's clock and what is no HTTP stay.
func resumable(err error) bool {
	switch fault.From(err).Kind {
	case fault.BodyCutShort, fault.ConnectionReset, fault.IdleTimeout:
		return true
	}
	return false
}

// again asks with headers beside the hop's own, until an answer continues the
// body that broke. refuse says why an answer does not.
func (r *resumption) again(headers http.Header, refuse func(*http.Response) string) error {
	c := r.live.call
	broke := r.body.try.fail(r.broke)
	r.broke = nil
	_ = r.body.Close()
	next := *r.hop
	next.header = make(http.Header, len(r.hop.header)+len(headers))
	maps.Copy(next.header, r.hop.header)
	maps.Copy(next.header, headers)
	c.hop = &next
	v := r.plan(nil, string(broke.Kind))
	for v.again {
		if err := sleep(r.ctx, v.wait); err != nil {
			return r.interrupted(broke, err)
		}
		c.tries.before = v.pause
		c.tries.limit(time.Now(), c.tries.total) // its head has that long; the stream's own total is spent
		res, err := c.tries.next(r.ctx, c, Resume)
		if why := c.hop.challenged(); why != "" && err == nil {
			discard(res.Body)
			c.tries.before = pause{why: why}
			res, err = c.tries.next(r.ctx, c, Challenge)
		}
		if err != nil {
			if r.ctx.Err() != nil {
				return r.interrupted(broke, err)
			}
			v = r.judgeFailure(fault.From(err))
			continue
		}
		reason := refuse(res)
		if reason == "" {
			r.take(res)
			return nil
		}
		v = r.judgeAnswer(res, reason)
		discard(res.Body)
	}
	return r.giveUp(broke, v)
}

// take goes on with res, whose head has come: its clocks stop, as at commit.
func (r *resumption) take(res *http.Response) {
	r.body, r.res = res.Body.(*receivedBody), res
	r.body.try.timer.Stop()
	r.live.try = r.body.try
}

// progress forgets what the attempts before it cost in waiting.
func (r *resumption) progress() { r.failed, r.prev, r.asked = 0, 0, 0 }

// finished is the good end. The trailers come with the last answer.
func (r *resumption) finished() error {
	r.live.res.Trailer = r.res.Trailer
	return io.EOF
}

func (r *resumption) judgeFailure(f *fault.Error) verdict {
	switch {
	case r.live.call.tries.stale(f, nil):
		return verdict{again: true, pause: pause{why: "an idle connection was found dead"}}
	case f.Kind != fault.TotalTimeout && (!f.Kind.OfAttempt() || !f.Kind.MayPass()):
		return stop("NOT_RESUMED", "the attempt at it ended with %s", f.Kind)
	}
	return r.plan(nil, string(f.Kind))
}

func (r *resumption) judgeAnswer(res *http.Response, reason string) verdict {
	status := res.StatusCode
	if status != http.StatusTooManyRequests && status < 500 && !slices.Contains(r.hop.retry.Statuses, status) {
		return stop("NOT_RESUMED", "%s", reason)
	}
	return r.plan(res, "status "+strconv.Itoa(status))
}

// plan charges another attempt and finds the wait before it. res is what asks for
// it, nil where nothing answered.
func (r *resumption) plan(res *http.Response, why string) verdict {
	if r.left <= 0 {
		return stop("NOT_RESUMED", "%d resumptions were made, as many as policy's %s allows, and the last ended with %s", r.most, r.field, why)
	}
	p := pace{policy: r.hop.retry, random: r.live.call.engine.random, retry: r.failed, prev: r.prev, asked: &r.asked, least: r.least}
	due, _ := r.ctx.Deadline()
	v := p.before(res, why, due)
	if !v.again {
		return v
	}
	if budget := r.hop.chain.budget; budget != nil && !budget.take(time.Now()) {
		return stop("RETRY_BUDGET_EXHAUSTED", "the upstream's retry budget is spent; other calls are being retried too")
	}
	r.left--
	r.failed++
	r.prev = v.wait
	return v
}

// giveUp ends the stream with what broke it and why it was not continued.
func (r *resumption) giveUp(broke *fault.Error, v verdict) error {
	all := r.live.call.tries.attempts
	all[len(all)-1].Stopped = v.stop
	_, why, _ := strings.Cut(v.stop, ": ")
	f := *broke
	f.Message += "; it could not be resumed: " + why
	if v.wait > 0 {
		f.RetryAfter = v.wait
	}
	return r.settle(&f)
}

// interrupted ends the stream with what the caller or its clock did meanwhile.
func (r *resumption) interrupted(broke *fault.Error, err error) error {
	f := *fault.From(err)
	f.Wire, f.SafeToRetry = broke.Wire, broke.SafeToRetry && f.Kind.MayPass()
	return r.settle(&f)
}

// settle keeps the ledger as it is: each of its lines has its own failure.
func (r *resumption) settle(f *fault.Error) error {
	r.live.settled = true
	return f
}

// isEvents says that res is a stream of events whose bytes can be read as such.
func isEvents(res *http.Response) bool {
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	coding, _, err := content.CodingOf(res.Header["Content-Encoding"])
	return strings.EqualFold(strings.TrimSpace(kind), "text/event-stream") && coding == "" && err == nil
}
