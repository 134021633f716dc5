package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// quiet is how long after a word about a signal's trouble the next one comes at the
// earliest, for a collector that works every other time.
const quiet = time.Minute

// errGivenUp stands for what is not tried any more at the end.
var errGivenUp = errors.New("the collector did not take what was sent before")

// outlet is the one way out of a signal: it bounds what waits, counts what is lost,
// and says once that telemetry cannot be sent and once that it can again. It keeps the
// exporters' errors from OpenTelemetry's global handler, which would print them all.
type outlet struct {
	signal string
	most   int64 // that wait, with those being sent; 0: there is no queue
	log    *slog.Logger
	scrub  scrubber

	waiting, lost atomic.Int64
	closing       atomic.Bool

	// ctx ends when there is no more time to send.
	ctx    context.Context
	cancel context.CancelFunc
	// down is closed when the exporter was.
	down chan struct{}

	mu       sync.Mutex
	ended    bool      // whatever was waiting has been counted as lost
	failing  bool      // the last export failed
	said     bool      // and the log has it
	saidAt   time.Time // when a trouble was said last
	lostThen int64     // when it was sent again, or 0
	lostSeen int64     // at the last export
}

func newOutlet(signal string, most int, log *slog.Logger, scrub scrubber) *outlet {
	o := &outlet{signal: signal, most: int64(most), log: log.With("signal", signal), scrub: scrub, down: make(chan struct{})}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	return o
}

// take says whether there is room for one more; what there is none for is lost. The
// SDK's own queue is as long, so that it never drops anything uncounted.
func (o *outlet) take() bool {
	if !o.closing.Load() {
		if o.waiting.Add(1) <= o.most {
			return true
		}
		o.waiting.Add(-1)
	}
	o.lost.Add(1)
	return false
}

// send has n items sent by export. It never fails: what is to be said was said.
func (o *outlet) send(ctx context.Context, n int, export func(context.Context) error) {
	if o.closing.Load() && o.isFailing() {
		o.sent(time.Now(), n, errGivenUp)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(o.ctx, cancel)()
	err := export(ctx)
	o.sent(time.Now(), n, err)
}

func (o *outlet) isFailing() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failing
}

// sent takes note of how an export of n items ended.
func (o *outlet) sent(now time.Time, n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return
	}
	if o.most > 0 {
		o.waiting.Add(-int64(n))
	}
	if err != nil {
		n = refused(err, n)
		o.lost.Add(int64(n))
	}
	lost := o.lost.Load()
	more := lost > o.lostSeen
	o.lostSeen = lost
	o.failing = err != nil && n > 0
	switch {
	case o.failing:
		o.trouble(now, func() string { return o.scrub.text(err) })
	case more:
		o.trouble(now, func() string { return "more of it is made than the collector takes" })
	case o.said:
		o.said = false
		o.log.Info("telemetry is sent again", "lost", lost-o.lostThen)
		o.lostThen = lost
	}
}

// trouble says it, unless it was said.
func (o *outlet) trouble(now time.Time, why func() string) {
	if o.said || !o.saidAt.IsZero() && now.Sub(o.saidAt) < quiet {
		return
	}
	o.said, o.saidAt = true, now
	o.log.Warn("telemetry cannot be sent", "error", why(), "lost", o.lost.Load())
}

// shutdown closes the exporter; whatever it says, nothing is lost by it.
func (o *outlet) shutdown(ctx context.Context, exporter func(context.Context) error) {
	defer close(o.down)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(o.ctx, cancel)()
	_ = exporter(ctx)
}

// end is called when the provider was shut down: what still waits is lost. It gives
// exports that were cut off the time to end.
func (o *outlet) end(patience time.Duration) {
	select {
	case <-o.down:
	case <-time.After(patience):
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.lost.Add(o.waiting.Swap(0))
}
