package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/collectortest"
)

// watched is one row: a service, the collector that it sends all signals to, and what
// ails that.
type watched struct {
	name      string
	on        *child
	collector *collectortest.Collector // nil: nothing is sent
	trouble   collectortest.Trouble
	// back: the trouble is over after half of each round.
	back bool
	load *load

	cpu      []float64 // microseconds a call, of each round
	took     []time.Duration
	p50, p99 []float64 // ratios to the service that sends nothing, of each round
	round    []time.Duration
	lost     int64
	peak     int // MiB
	stopped  time.Duration
}

// collectors measures, round by round and row by row, what calls notice of a collector
// in trouble.
func collectors(ctx context.Context, o options, out, errs io.Writer) error {
	f := &field{options: o}
	defer f.stop()
	rows, err := f.watch(ctx, errs)
	defer func() {
		for _, r := range rows {
			r.close()
		}
	}()
	if err != nil {
		return err
	}
	quiet := rows[0]
	order := slices.Clone(rows)
	for n := range o.rounds {
		fmt.Fprintf(errs, "round %d…\n", n+1)
		for _, r := range order {
			if err := r.measure(ctx, o.duration); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
		for _, r := range rows {
			r.p50 = append(r.p50, float64(quantile(r.round, 0.5))/float64(quantile(quiet.round, 0.5)))
			r.p99 = append(r.p99, float64(quantile(r.round, 0.99))/float64(quantile(quiet.round, 0.99)))
		}
		slices.Reverse(order)
	}
	for _, r := range rows {
		if err := r.end(ctx); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return reportCollectors(out, o, rows)
}

// watch starts the upstream, and a service with a collector of its own for each row.
func (f *field) watch(ctx context.Context, errs io.Writer) (rows []*watched, err error) {
	binary, _, upstream, err := f.prepare(ctx, errs)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(f.temp, "policy.yaml")
	if err := os.WriteFile(file, []byte(policyFor(upstream.HTTP)), 0o600); err != nil {
		return nil, err
	}
	for _, r := range []*watched{
		{name: "nothing sent", trouble: collectortest.Absent}, {name: "well"}, {name: "absent", trouble: collectortest.Absent},
		{name: "hanging", trouble: collectortest.Hanging}, {name: "slow", trouble: collectortest.Slow}, {name: "failing", trouble: collectortest.Failing},
		{name: "absent, then back", trouble: collectortest.Absent, back: true},
	} {
		var env []string
		if r.name != "nothing sent" {
			if r.collector, err = collectortest.Start("http/protobuf", true); err != nil {
				return rows, err
			}
			rows = append(rows, r)
			if err := r.collector.Suffer(r.trouble); err != nil {
				return rows, err
			}
			env = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + r.collector.URL}
		} else {
			rows = append(rows, r)
		}
		if r.on, err = f.spawn(ctx, env, binary, "serve", "--policy", file, "--grpc", "127.0.0.1:0", "--rest", "127.0.0.1:0"); err != nil {
			return rows, err
		}
		if r.load, err = overGRPC(r.on.GRPC, f.url, bodySize(f.body), f.inFlight[0]); err != nil {
			return rows, err
		}
		if _, err := r.load.run(ctx, min(f.duration, time.Second)); err != nil { // warm
			return rows, fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return rows, nil
}

// measure runs one round of d. A call that fails ends it all.
func (r *watched) measure(ctx context.Context, d time.Duration) error {
	before, err := r.on.cpu()
	if err != nil {
		return err
	}
	mended := make(chan error, 1)
	if r.back {
		if err := r.collector.Suffer(r.trouble); err != nil {
			return err
		}
		time.AfterFunc(d/2, func() { mended <- r.collector.Suffer(collectortest.None) })
	} else {
		mended <- nil
	}
	took, err := r.load.run(ctx, d)
	if err := errors.Join(err, <-mended); err != nil {
		return err
	}
	after, err := r.on.cpu()
	if err != nil {
		return err
	}
	r.cpu = append(r.cpu, float64((after-before).Nanoseconds())/1e3/float64(max(len(took), 1)))
	r.took = append(r.took, took...)
	slices.Sort(took)
	r.round = took
	return nil
}

// end reads what the service has to say, and stops it.
func (r *watched) end(ctx context.Context) (err error) {
	if r.lost, err = r.read(ctx); err != nil {
		return err
	}
	if r.peak, err = r.on.peak(); err != nil {
		return err
	}
	begin := time.Now()
	r.on.stop()
	r.stopped = time.Since(begin)
	return nil
}

// read gives how many spans are lost, from /metrics.
func (r *watched) read(ctx context.Context) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.on.REST+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`(?m)^fetchsvc_telemetry_lost_total\{[^}]*fetchsvc_signal="traces"[^}]*\} ([0-9]+)$`).FindSubmatch(page)
	if m == nil {
		return 0, errors.New("/metrics does not tell how many spans are lost")
	}
	return strconv.ParseInt(string(m[1]), 10, 64)
}

// peak is the most memory that the child has had resident, in MiB.
func (c *child) peak() (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`(?m)^VmHWM:\s*([0-9]+) kB$`).FindSubmatch(text)
	if m == nil {
		return 0, errors.New("the system does not tell the peak")
	}
	kib, err := strconv.Atoi(string(m[1]))
	return kib >> 10, err
}

func (r *watched) close() {
	if r.load != nil {
		r.load.close()
	}
	if r.collector != nil {
		r.collector.Close()
	}
}

func reportCollectors(out io.Writer, o options, rows []*watched) error {
	fmt.Fprintf(out, "call       Fetch of a %s JSON by gRPC, %d in flight; every one was answered, or there were no table\n", o.body, o.inFlight[0])
	fmt.Fprintln(out, "telemetry  traces (all are sampled), metrics and logs by http/protobuf, the settings of the standard; /metrics is there in every row")
	fmt.Fprintf(out, "collector  slow: %s an export; failing: 503; absent: connections are refused, for all of a round or for its first half\n", collectortest.Delay)
	fmt.Fprintf(out, "rounds     %d of %s each, interleaved; ratio = to the service that sends nothing in the same round, median\n\n", o.rounds, o.duration)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "collector\tp50 us\tratio\t(min-max)\tp99 us\tratio\t(min-max)\tCPU us/call\tcalls\tspans lost\tpeak MiB\tstop ms\t")
	for _, r := range rows {
		slices.Sort(r.took)
		fmt.Fprintf(t, "%s\t%d\t%.2f\t(%.2f-%.2f)\t%d\t%.2f\t(%.2f-%.2f)\t%.1f\t%d\t%d\t%d\t%d\t\n", r.name,
			quantile(r.took, 0.5).Microseconds(), median(r.p50), slices.Min(r.p50), slices.Max(r.p50),
			quantile(r.took, 0.99).Microseconds(), median(r.p99), slices.Min(r.p99), slices.Max(r.p99),
			median(r.cpu), len(r.took), r.lost, r.peak, r.stopped.Milliseconds())
	}
	return t.Flush()
}
