package auth

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// fetchTime is how long a token request may take.
const fetchTime = 15 * time.Second

// errClosed is why a flight ends whose credential is no longer of the policy.
var errClosed = errors.New("the credential is no longer of the policy")

// tokenLife is a token and all that come after it. Safe for concurrent use.
type tokenLife struct {
	of *oauth2
	// ahead: it is renewed by the clock, if it was used, and not only by its use.
	ahead bool

	current atomic.Pointer[accessToken] // nil: there is none

	mu      sync.Mutex
	flight  *flight // the request that is under way; nil: none is
	setback setback
	timer   *time.Timer // to renew current
	// refusals are what the next token begins with.
	refusals int
	// refused was taken out of use, and nothing has taken its place yet.
	refused *accessToken
}

// flight is a token request that any number of calls wait for.
type flight struct {
	span  trace.SpanContext
	done  chan struct{} // closed when the rest is there
	token *accessToken
	err   error
}

// get gives a token that can be sent. It is renewed behind the scenes before it
// ends; only when there is none do calls wait, which is noted in o.
func (l *tokenLife) get(ctx context.Context, o *Outgoing, subject secret.Value) (*accessToken, error) {
	if t := l.current.Load(); t.fresh(l.of.Now()) {
		return t.use(), nil
	}
	l.mu.Lock()
	now, t := l.of.Now(), l.current.Load()
	if !t.fresh(now) && l.flight == nil && !l.setback.holds(now) {
		l.launch(telemetry.TraceFrom(ctx), subject)
	}
	f, failed := l.flight, l.setback
	l.mu.Unlock()
	switch {
	case t.good(now):
		return t.use(), nil
	case f == nil && failed.holds(now):
		return nil, l.of.unavailable(failed.why, failed.until.Sub(now))
	}
	w := o.waits(now)
	defer w.end(l.of.Now)
	if f != nil {
		return l.wait(ctx, w, f, subject)
	}
	return l.late(ctx, w, subject)
}

// launch begins a flight, unless nothing runs in the background any more. cause is
// the Trace of the call that it is for; nil: it is for none. The lock is held.
func (l *tokenLife) launch(cause *telemetry.Trace, subject secret.Value) {
	if !l.of.begin() {
		return
	}
	ctx, span := telemetry.Detached(l.of.ctx, cause)
	l.flight = &flight{span: span, done: make(chan struct{})}
	go l.fly(ctx, l.flight, subject)
}

// fly fetches a token. It belongs to no call: others wait for it too.
func (l *tokenLife) fly(ctx context.Context, f *flight, subject secret.Value) {
	defer l.of.flights.Done()
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	t, err := l.of.server.fetch(ctx, subject)
	if l.of.ctx.Err() != nil && err != nil {
		err = errClosed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	defer close(f.done)
	l.flight = nil
	f.token, f.err = l.land(ctx, t, err)
}

// land puts a new token in the place of the one before, or notes why there is none.
// A token that was refused comes back where the server is in trouble: for all anybody
// knows it is good. The lock is held.
func (l *tokenLife) land(ctx context.Context, t *accessToken, err error) (*accessToken, error) {
	now, before := l.of.Now(), l.refused
	switch {
	case errors.Is(err, errClosed):
		return nil, err
	case err != nil:
		why := asNoToken(err)
		l.of.tally.failed.Add(1)
		l.of.failed(ctx, why)
		l.setback.fail(now, why)
		l.wake(l.setback.until.Sub(now))
		l.refused = nil
		if before.good(now) && !why.refused {
			l.current.Store(before)
			return before, nil
		}
		return nil, l.of.unavailable(why, l.setback.until.Sub(now))
	}
	l.of.tally.brought.Add(1)
	l.of.youngest.Store(&validity{t.got, t.expires})
	l.of.worked(ctx)
	l.setback, l.refused = setback{}, nil
	t.life, t.refusals, l.refusals = l, l.refusals, 0
	l.current.Store(t)
	l.wake(t.due.Sub(now))
	return t, nil
}

// wait gives what comes of f, unless ctx ends before.
func (l *tokenLife) wait(ctx context.Context, w *Waited, f *flight, subject secret.Value) (*accessToken, error) {
	w.Fetch = f.span
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, endedWaiting(ctx, l.of.name)
	}
	switch {
	case errors.Is(f.err, errClosed):
		return l.late(ctx, w, subject)
	case f.err != nil:
		return nil, copied(f.err)
	}
	return f.token.use(), nil
}

// late fetches a token within the call, which is of an older policy than the one in
// force: nothing of its credential runs in the background any more. Such calls go
// one after the other, so that what one fetches serves the others.
func (l *tokenLife) late(ctx context.Context, w *Waited, subject secret.Value) (*accessToken, error) {
	w.Fetch = trace.SpanContext{} // whose turn it is, is not known
	select {
	case l.of.late <- struct{}{}:
		defer func() { <-l.of.late }()
	case <-ctx.Done():
		return nil, endedWaiting(ctx, l.of.name)
	}
	if t := l.current.Load(); t.good(l.of.Now()) {
		return t.use(), nil
	}
	// The request is one of its own: what ctx carries belongs to the call.
	own, span := telemetry.Detached(context.Background(), telemetry.TraceFrom(ctx))
	w.Fetch = span
	own, cancel := context.WithTimeout(own, fetchTime)
	defer cancel()
	if !l.of.server.spends() {
		defer context.AfterFunc(ctx, cancel)()
	}
	t, err := l.of.server.fetch(own, subject)
	if ctx.Err() != nil && err != nil {
		return nil, endedWaiting(ctx, l.of.name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if t, err = l.land(own, t, err); err != nil {
		return nil, err
	}
	return t.use(), nil
}

// wake has the token renewed after d. The lock is held.
func (l *tokenLife) wake(d time.Duration) {
	if !l.ahead {
		return
	}
	if l.timer != nil {
		l.timer.Stop()
	}
	l.timer = time.AfterFunc(d, l.renew)
}

// renew fetches the next token if this one is due and was used.
func (l *tokenLife) renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, t := l.of.Now(), l.current.Load()
	if t.good(now) && !t.fresh(now) && t.used.Load() && l.flight == nil && !l.setback.holds(now) {
		l.launch(nil, secret.Value{})
	}
}

// rest stops the clock.
func (l *tokenLife) rest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	l.ahead = false
}

// endedWaiting is why a call ended before there was a token: the clock that ended
// it, if one did.
func endedWaiting(ctx context.Context, name string) error {
	var f *fault.Error
	switch {
	case errors.As(context.Cause(ctx), &f):
		return f
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fault.Newf(fault.TotalTimeout, "the caller's deadline passed while the call waited for what credential %q is made of", name)
	default:
		return fault.Newf(fault.Cancelled, "the call ended while it waited for what credential %q is made of", name)
	}
}
