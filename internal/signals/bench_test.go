package signals

import (
	"context"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

// BenchmarkFinished is what a call's end costs: where its trace is not written, where it
// is, where nothing is exported, and of calls that fail in an outage, whose traces are
// too many to keep.
func BenchmarkFinished(b *testing.B) {
	run := func(name string, tracing, sampled bool, f *fetch.Finished) {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, tracing, sampled)
			f.Sampled = sampled
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				w.Finished(ctx, f)
				w.spans = w.spans[:0]
			}
		})
	}
	run("off", false, false, call(200))
	run("unsampled", true, false, call(200))
	run("sampled", true, true, call(200))
	failing := call(0)
	failing.Err = fault.New(fault.ConnectTimeout, "no connection")
	failing.Response.Attempts[0].Err = failing.Err
	run("outage", true, false, failing)
}

// BenchmarkRPC is what an RPC's beginning and end cost.
func BenchmarkRPC(b *testing.B) {
	run := func(name string, sampled bool) {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, true, sampled)
			ctx, begin := context.Background(), rpc()
			b.ReportAllocs()
			for b.Loop() {
				_, r := w.Begin(ctx, begin)
				r.Caller = "billing"
				r.End(End{Code: "OK"})
				w.spans = w.spans[:0]
			}
		})
	}
	run("unsampled", false)
	run("sampled", true)
}

// TestUnsampledAllocatesNothing: a call whose trace is not written pays for no memory.
func TestUnsampledAllocatesNothing(t *testing.T) {
	w, f, ctx := newWorld(t, true, false), call(200), context.Background()
	if n := testing.AllocsPerRun(1000, func() { w.Finished(ctx, f) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
