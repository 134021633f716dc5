package main

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
)

// redraw is how often a progress line changes.
const redraw = 250 * time.Millisecond

// progress is a line on a terminal that says how far a transfer is. It is taken
// away at the end. All methods of a nil progress do nothing.
type progress struct {
	w     io.Writer
	verb  string
	total int64 // 0: not known
	start time.Time
	done  atomic.Int64

	stop, stopped chan struct{}
}

// startProgress shows a line on w until end.
func startProgress(w io.Writer, verb string, total int64) *progress {
	p := &progress{w: w, verb: verb, total: total, start: time.Now(), stop: make(chan struct{}), stopped: make(chan struct{})}
	go p.run()
	return p
}

func (p *progress) run() {
	defer close(p.stopped)
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for drawn := false; ; drawn = true {
		select {
		case <-tick.C:
			fmt.Fprintf(p.w, "\r%s\x1b[K", p.line(time.Since(p.start)))
		case <-p.stop:
			if drawn {
				fmt.Fprint(p.w, "\r\x1b[K")
			}
			return
		}
	}
}

func (p *progress) add(n int) {
	if p != nil {
		p.done.Add(int64(n))
	}
}

// end takes the line away; it may be called again.
func (p *progress) end() {
	if p == nil || p.stop == nil {
		return
	}
	close(p.stop)
	<-p.stopped
	p.stop = nil
}

// line is short enough for a terminal of 80 columns.
func (p *progress) line(took time.Duration) string {
	done := p.done.Load()
	rate := float64(done) / max(took.Seconds(), 1e-3)
	if p.total <= 0 {
		return fmt.Sprintf("%s %s, %s/s, %s", p.verb, size(done), size(int64(rate)), took.Round(time.Second))
	}
	const width = 20
	part := min(float64(done)/float64(p.total), 1)
	bar := strings.Repeat("=", int(part*width))
	line := fmt.Sprintf("%3.0f%% [%-*s] %s %s of %s, %s/s", part*100, width, bar, p.verb, size(done), size(p.total), size(int64(rate)))
	if left := float64(p.total-done) / max(rate, 1); done > 0 && left >= 0 && left < 1e6 {
		line += fmt.Sprintf(", %s left", time.Duration(left*float64(time.Second)).Round(time.Second))
	}
	return line
}
