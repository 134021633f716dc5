package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"text/tabwriter"
)

// header says what the numbers are of: a number without its load is worth
// nothing.
func (f *field) header(out io.Writer) {
	fmt.Fprintf(out, "machine   %d CPUs, %s/%s, %s, grpc-go %s; load, service and upstream share it over loopback\n",
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), grpcVersion())
	fmt.Fprintf(out, "call      Fetch of a %s JSON by GET on kept-alive HTTP/1.1; gRPC over at most %d connections, REST over one for each call in flight\n",
		f.body, maxConns)
	fmt.Fprintln(out, "floor     grpc-go unary, http.Transport with 1024 idle connections, io.ReadAll; Go's default GC")
	fmt.Fprintln(out, "fetchsvc  validation, policy match, guarded dial, total clock, ledger in the answer; GC percent as it sets it; metrics for /metrics; no traces, no stage that policy can leave out")
	fmt.Fprintf(out, "rounds    %d of %s each, interleaved; medians; ratio = CPU to the floor of the same round\n\n", f.rounds, f.duration)
}

func grpcVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "google.golang.org/grpc" {
				return m.Version
			}
		}
	}
	return "(version unknown)"
}

// report prints the table, and whether the bar is met.
func (f *field) report(out io.Writer, rows []row) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "program\tc\tCPU us/call\tratio\t(min-max)\tallocs/call\tbytes/call\tcalls/s\tp50 us*\tp99 us*\t")
	for _, r := range rows {
		objects, bytes := "", ""
		if r.program.within != nil {
			objects, bytes = fmt.Sprintf("%.0f", r.allocs.objects), fmt.Sprintf("%.0f", r.allocs.bytes)
		}
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.2f\t(%.2f-%.2f)\t%s\t%s\t%.0f\t%d\t%d\t\n", r.program.name, r.inFlight,
			median(r.cpu), median(r.ratios), slices.Min(r.ratios), slices.Max(r.ratios), objects, bytes,
			median(r.rate), quantile(r.took, 0.5).Microseconds(), quantile(r.took, 0.99).Microseconds())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\n* latency is noisy: it has the load's own in it, and everything waits for the same cores.")
	fmt.Fprintln(out, "CPU is the service's process alone; allocations are the service's in-process, less the client's.")
	f.sameGC(out, rows)
	f.verdict(out, rows)
	return nil
}

// sameGC compares with the floor under the collector that fetchsvc chooses: what
// tuning saves is no saving of our code.
func (f *field) sameGC(out io.Writer, rows []row) {
	for _, c := range f.inFlight {
		ours, floor := find(rows, nameFetchsvc, c), find(rows, nameFloor400, c)
		r := ratios(ours.cpu, floor.cpu)
		fmt.Fprintf(out, "fetchsvc beside the floor with GOGC=400, %d in flight: %.2f (%.2f-%.2f)\n", c, median(r), slices.Min(r), slices.Max(r))
	}
}

// verdict holds fetchsvc with the most calls in flight, where CPU per call is
// steadiest, against the bar.
func (f *field) verdict(out io.Writer, rows []row) {
	if f.bar == 0 {
		return
	}
	c := slices.Max(f.inFlight)
	got, word := median(find(rows, nameFetchsvc, c).ratios), "within"
	if got > f.bar {
		word = "OVER"
	}
	fmt.Fprintf(out, "bar: fetchsvc at %.2f with %d in flight is %s %.2f\n", got, c, word, f.bar)
}

func find(rows []row, name string, inFlight int) row {
	i := slices.IndexFunc(rows, func(r row) bool { return r.program.name == name && r.inFlight == inFlight })
	return rows[i]
}
