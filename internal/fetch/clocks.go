package fetch

import (
	"context"
	"net/http"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// attemptClocks gives the try its time: the smaller of the attempt clock and
// what is left of the total, and the first_byte clock where one is set. They are
// released when the body is closed, never before: a cancelled context would cut
// the body off.
func attemptClocks(_ *policy.Upstream, next TryFunc) TryFunc {
	return func(ctx context.Context, t *Try) (*http.Response, error) {
		ctx, t.cancel = context.WithCancelCause(ctx)
		left, late := time.Until(t.call.tries.deadline), t.call.tries.timedOut
		if attempt := t.hop.limits.attempt; attempt > 0 && attempt < left {
			left, late = attempt, t.attemptTimedOut
		}
		t.timer = time.AfterFunc(left, func() { t.cancel(late()) })
		if d := t.hop.limits.firstByte; d > 0 {
			t.armFirstByte(d)
		}
		res, err := next(ctx, t)
		if err != nil {
			t.release()
			return nil, err
		}
		return res, nil
	}
}

func (t *Try) attemptTimedOut() *fault.Error {
	return fault.New(fault.AttemptTimeout, "the attempt took longer than its clock of "+t.hop.limits.attempt.String())
}

// armFirstByte runs a timer from the request's last byte to the answer's first.
func (t *Try) armFirstByte(d time.Duration) {
	t.firstByte = time.AfterFunc(time.Hour, func() {
		t.cancel(fault.New(fault.FirstByteTimeout, "no answer within the first_byte clock of "+d.String()))
	})
	t.firstByte.Stop()
	t.wire.onWroteAll = func() { t.firstByte.Reset(d) }
	t.wire.onFirstByte = func() { t.firstByte.Stop() }
}

// release stops the clocks and frees the try's context.
func (t *Try) release() {
	t.timer.Stop()
	if t.firstByte != nil {
		t.firstByte.Stop()
	}
	t.body.rest()
	t.cancel(context.Canceled)
}
