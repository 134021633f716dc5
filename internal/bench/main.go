// Command bench says what a call through fetchsvc costs beside the floor: a bare
// grpc-go handler over a tuned http.Transport, with no policy at all.
//
//	go run ./internal/bench [-c 1,16,64] [-body 1KiB|64KiB] [-rounds N] [-duration D] [-bar RATIO]
//	go run ./internal/bench -flood [-rounds N] [-duration D]
//	go run ./internal/bench -collector [-c 16] [-rounds N] [-duration D]
//
// It runs the real binary, the floor and the upstream as processes of their own
// and is itself the load. CPU is that of the service's process alone. All share
// one machine, which is never quiet, so programs take turns round by round and
// only ratios within a round mean anything: a gap under 5 % says nothing. Use it
// to see what a change costs; it is no load test and no capacity plan.
//
// With -flood it says what one caller notices of another that floods (flood.go), with
// -collector what calls notice of a collector of telemetry in trouble (collector.go).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is the program as a function of its surroundings. The first argument may
// be one of the roles in which the program starts itself as a child.
func run(ctx context.Context, args []string, out, errs io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case roleFloor:
			return serveFloor(ctx, errs)
		case roleUpstream:
			return serveUpstream(ctx, errs)
		case roleFlood:
			return pour(ctx, args[1:], out)
		}
	}
	o, err := parseOptions(args, errs)
	if err != nil {
		return err
	}
	if o.flood {
		return flood(ctx, o, out, errs)
	}
	if o.collector {
		return collectors(ctx, o, out, errs)
	}
	return compare(ctx, o, out, errs)
}

// options are what a run measures.
type options struct {
	inFlight  []int
	body      string
	rounds    int
	duration  time.Duration
	bar       float64
	flood     bool
	collector bool
}

func parseOptions(args []string, errs io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(errs)
	inFlight := flags.String("c", "64", "calls in flight; several by commas")
	flags.StringVar(&o.body, "body", "1KiB", "size of the upstream's answer: 1KiB or 64KiB")
	flags.IntVar(&o.rounds, "rounds", 7, "rounds of each program")
	flags.DurationVar(&o.duration, "duration", 3*time.Second, "length of a round")
	flags.Float64Var(&o.bar, "bar", 0, "say whether fetchsvc's ratio at the most in flight is within this")
	flags.BoolVar(&o.flood, "flood", false, "measure a quiet caller while another floods")
	flags.BoolVar(&o.collector, "collector", false, "measure calls while the collector of telemetry is in trouble; with the first number of -c in flight")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for _, s := range strings.Split(*inFlight, ",") {
		c, err := strconv.Atoi(s)
		if err != nil || c < 1 || c > 1000 {
			return o, fmt.Errorf("-c %q: give numbers of 1 to 1000, such as 1,16,64", *inFlight)
		}
		o.inFlight = append(o.inFlight, c)
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected %q: there are only flags, see -h", flags.Arg(0))
	case bodySize(o.body) == 0:
		return o, fmt.Errorf("-body %q: give 1KiB or 64KiB", o.body)
	case o.rounds < 1 || o.duration <= 0:
		return o, errors.New("-rounds and -duration are positive")
	}
	return o, nil
}
