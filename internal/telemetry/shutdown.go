package telemetry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// patience is how long Shutdown waits, when its time is up, for exports that it cut off.
const patience = time.Second

// Flush sends what is waiting, until ctx ends. What cannot be sent is counted.
func (t *Telemetry) Flush(ctx context.Context) {
	t.each(func(p pipe) { p.flush(ctx) })
}

// Shutdown sends what is waiting, until ctx ends, and stops; what is emitted after it
// is lost. The error tells what was lost during it. Only the first call does anything.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	before := t.Lost()
	t.each(func(p pipe) {
		out := p.outlet()
		if out.closing.Swap(true) {
			return
		}
		defer out.cancel()
		defer context.AfterFunc(ctx, out.cancel)()
		p.shutdown(ctx)
		out.end(patience)
	})
	now := t.Lost()
	now.Traces, now.Metrics, now.Logs = now.Traces-before.Traces, now.Metrics-before.Metrics, now.Logs-before.Logs
	if now == (Lost{}) {
		return nil
	}
	return errors.New(now.text())
}

func (l Lost) text() string {
	return fmt.Sprintf("telemetry: lost at the end: %d spans, %d collections of metrics, %d log records", l.Traces, l.Metrics, l.Logs)
}

// pipe is a signal's provider with its outlet.
type pipe interface {
	outlet() *outlet
	flush(ctx context.Context)
	shutdown(ctx context.Context)
}

// each does it with those that send something, side by side.
func (t *Telemetry) each(do func(pipe)) {
	if t == nil {
		return
	}
	var pipes []pipe
	if t.traces != nil {
		pipes = append(pipes, t.traces)
	}
	if t.metrics.out != nil {
		pipes = append(pipes, t.metrics)
	}
	if t.logs != nil {
		pipes = append(pipes, t.logs)
	}
	var all sync.WaitGroup
	for _, p := range pipes {
		all.Go(func() { do(p) })
	}
	all.Wait()
}
