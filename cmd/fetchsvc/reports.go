package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

const (
	// reportEvery is how often one reason of one upstream is logged.
	reportEvery = time.Second
	// maxReasons is how many reasons are told apart meanwhile: callers choose paths,
	// and a reason quotes them. The rest is one reason for each upstream.
	maxReasons = 100
)

// reports counts and logs the hops that rules in report mode would have refused.
// Safe for concurrent use.
type reports struct {
	log *slog.Logger

	mu     sync.Mutex
	counts map[string]int64 // by upstream
	recent map[reason]*reported
	swept  time.Time
}

// reason is what is logged once in a while.
type reason struct{ upstream, text string }

// reported is what became of a reason's reports.
type reported struct {
	last       fetch.Report
	logged     time.Time
	suppressed int64
}

// line is one report to log.
type line struct {
	fetch.Report
	suppressed int64
}

func newReports(log *slog.Logger) *reports {
	return &reports{log: log, counts: map[string]int64{}, recent: map[reason]*reported{}}
}

// report takes one in. It is what fetch.Config.Reported wants.
func (r *reports) report(ctx context.Context, one fetch.Report) {
	for _, l := range r.take(one, time.Now()) {
		r.write(ctx, l)
	}
}

// count is how many there were of an upstream since the process started.
func (r *reports) count(upstream string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[upstream]
}

// close logs what was held back.
func (r *reports) close(ctx context.Context) {
	r.mu.Lock()
	left := r.sweep(time.Now().Add(reportEvery))
	r.mu.Unlock()
	for _, l := range left {
		r.write(ctx, l)
	}
}

// take counts one and gives what is to be logged now.
func (r *reports) take(one fetch.Report, now time.Time) []line {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[one.Upstream]++
	var out []line
	if now.Sub(r.swept) >= reportEvery {
		out = r.sweep(now)
		r.swept = now
	}
	key := reason{one.Upstream, one.Reason}
	known := r.recent[key]
	if known == nil && len(r.recent) >= maxReasons {
		key.text = ""
		known = r.recent[key]
	}
	switch {
	case known == nil:
		r.recent[key] = &reported{last: one, logged: now}
		return append(out, line{one, 0})
	case now.Sub(known.logged) >= reportEvery:
		out = append(out, line{one, known.suppressed})
		known.logged, known.suppressed = now, 0
	default:
		known.last = one
		known.suppressed++
	}
	return out
}

// sweep gives what was held back long enough, and forgets where nothing was.
func (r *reports) sweep(now time.Time) (out []line) {
	for key, known := range r.recent {
		switch {
		case now.Sub(known.logged) < reportEvery:
		case known.suppressed == 0:
			delete(r.recent, key)
		default:
			out = append(out, line{known.last, known.suppressed - 1}) // the line itself is one of them
			known.logged, known.suppressed = now, 0
		}
	}
	return out
}

func (r *reports) write(ctx context.Context, l line) {
	r.log.WarnContext(ctx, "policy report: would be refused", "caller", l.Caller, "method", l.Method,
		"upstream", l.Upstream, "url", l.Place, "reason", l.Reason, "suppressed", l.suppressed)
}
