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
func attemptClocks(_ *policy.Route, next TryFunc) TryFunc {
	return func(ctx context.Context, t *Try) (*http.Response, error) {
		ctx, t.cancel = context.WithCancelCause(ctx)
		t.wire.onChurn = t.churned
		t.armAttempt()
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

// churned ends a try whose connections end before they take its request.
func (t *Try) churned() {
	t.cancel(fault.Newf(fault.ConnectionReset, "the upstream ended %d connections before they took the request", mostWanted))
}

func (t *Try) attemptTimedOut() *fault.Error {
	return fault.New(fault.AttemptTimeout, "the attempt took longer than its clock of "+t.hop.limits.attempt.String())
}

// armAttempt runs the attempt clock and the total. An upload takes as long as
// the caller takes: for one they begin with its last byte, and until then the
// idle clock holds.
func (t *Try) armAttempt() {
	left, late := time.Until(t.call.tries.deadline), t.call.tries.timedOut
	if attempt := t.hop.limits.attempt; attempt > 0 && attempt < left {
		left, late = attempt, t.attemptTimedOut
	}
	t.timer = time.AfterFunc(left, func() { t.cancel(late()) })
	if _, upload := t.hop.body.(Upload); upload {
		t.timer.Stop()
		timer := t.timer
		t.body.whole = func() { t.wire.beforeHead(func() { timer.Reset(left) }) }
	}
}

// armFirstByte runs a timer from the request's last byte to the answer's head.
func (t *Try) armFirstByte(d time.Duration) {
	t.wire.headTime = d
	t.wire.headDue = time.AfterFunc(time.Hour, func() {
		t.cancel(fault.New(fault.FirstByteTimeout, "no answer within the first_byte clock of "+d.String()))
	})
	t.wire.headDue.Stop()
}

// release stops the clocks and frees the try's context.
func (t *Try) release() {
	t.timer.Stop()
	t.wire.headCame()
	t.body.rest()
	t.cancel(context.Canceled)
}
