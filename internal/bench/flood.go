package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// A quiet caller makes quietRate calls a second; another one makes floodTimes as
// many, and never waits when it is told to.
const (
	quietRate  = 50
	floodTimes = 50
)

// The callers' keys; the policy has their hashes.
const quietKey, loudKey = "the-key-of-the-quiet-caller-0123", "the-key-of-the-loud-caller-012345"

// floodPolicy has both callers; LIMITS are of the loud one.
const floodPolicy = `callers:
  - {name: quiet, api_key: {secret: env:BENCH_QUIET}}
  - {name: loud, api_key: {secret: env:BENCH_LOUD}LIMITS}
upstreams:
  - name: bench
    hosts: ["UPSTREAM"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
`

// siege is one row: a service, and the door that the flood comes by.
type siege struct {
	name string
	on   *child
	door string // grpc or rest

	alone, flooded []time.Duration
	ratios         []float64 // of p99, of each round
	cost           []float64 // CPU microseconds of the service for each call of the flood, of each round
	poured         poured
}

// flood measures, round by round and row by row: the quiet caller alone, then
// beside the flood.
func flood(ctx context.Context, o options, out, errs io.Writer) error {
	f := &field{options: o}
	defer f.stop()
	rows, self, err := f.besiege(ctx, errs)
	if err != nil {
		return err
	}
	for round := range o.rounds {
		fmt.Fprintf(errs, "round %d…\n", round+1)
		for _, s := range rows {
			if err := s.round(ctx, self, f.url, o.duration); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		slices.Reverse(rows)
	}
	slices.SortFunc(rows, func(a, b *siege) int { return strings.Compare(b.name, a.name) })
	return reportFlood(out, o, rows)
}

// besiege starts the upstream and a service for each policy.
func (f *field) besiege(ctx context.Context, errs io.Writer) (rows []*siege, self string, err error) {
	binary, self, upstream, err := f.prepare(ctx, errs)
	if err != nil {
		return nil, "", err
	}
	env := []string{"BENCH_QUIET=" + hashOf(quietKey), "BENCH_LOUD=" + hashOf(loudKey)}
	for _, p := range []struct{ name, limits string }{
		{"limits", fmt.Sprintf(", limits: {concurrent: 16, per_second: %d}", quietRate)}, {"defaults", ""},
	} {
		file := filepath.Join(f.temp, p.name+".yaml")
		text := strings.NewReplacer("LIMITS", p.limits, "UPSTREAM", upstream.HTTP).Replace(floodPolicy)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, "", err
		}
		service, err := f.spawn(ctx, env, binary, "serve", "--policy", file, "--grpc", "127.0.0.1:0", "--rest", "127.0.0.1:0")
		if err != nil {
			return nil, "", err
		}
		for _, door := range []string{"grpc", "rest"} {
			rows = append(rows, &siege{name: p.name + ", flood by " + door, on: service, door: door})
		}
	}
	return rows, self, nil
}

func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// round measures the quiet caller for d without the flood, and for d with it.
func (s *siege) round(ctx context.Context, self, url string, d time.Duration) error {
	quiet, err := newKeyed("grpc", s.on.addresses, url, quietKey, 1)
	if err != nil {
		return err
	}
	defer quiet.close()
	if _, err := atRate(ctx, quiet, quietRate, min(d, time.Second)); err != nil { // warm
		return err
	}
	alone, err := s.timed(ctx, quiet, d)
	if err != nil {
		return err
	}
	from := strings.NewReplacer("grpc", s.on.GRPC, "rest", s.on.REST).Replace(s.door)
	child := exec.CommandContext(ctx, self, roleFlood, s.door, from, url, strconv.Itoa(quietRate*floodTimes), (d + time.Second).String())
	var said, complaint bytes.Buffer
	child.Stdout, child.Stderr = &said, &complaint
	if err := child.Start(); err != nil {
		return err
	}
	select {
	case <-time.After(time.Second / 2): // until it flows
	case <-ctx.Done():
	}
	flooded, err := s.timed(ctx, quiet, d)
	if err := errors.Join(err, child.Wait()); err != nil {
		return fmt.Errorf("%w %s", err, complaint.String())
	}
	var p poured
	if err := json.Unmarshal(said.Bytes(), &p); err != nil {
		return fmt.Errorf("the flood says %q: %w", said.String(), err)
	}
	s.poured.add(p)
	s.alone, s.flooded = append(s.alone, alone.took...), append(s.flooded, flooded.took...)
	s.ratios = append(s.ratios, float64(p99(flooded.took))/float64(p99(alone.took)))
	during := float64(p.Answered+p.Refused) * d.Seconds() / (d + time.Second).Seconds()
	s.cost = append(s.cost, float64((flooded.cpu-alone.cpu).Nanoseconds())/1e3/max(during, 1))
	return nil
}

// timing is the latencies of the quiet caller, and the CPU that the service took
// meanwhile.
type timing struct {
	took []time.Duration
	cpu  time.Duration
}

func (s *siege) timed(ctx context.Context, quiet *keyed, d time.Duration) (timing, error) {
	before, err := s.on.cpu()
	if err != nil {
		return timing{}, err
	}
	took, err := atRate(ctx, quiet, quietRate, d)
	if err != nil {
		return timing{}, fmt.Errorf("the quiet caller: %w", err)
	}
	after, err := s.on.cpu()
	return timing{took, after - before}, err
}

func p99(took []time.Duration) time.Duration {
	return quantile(slices.Sorted(slices.Values(took)), 0.99)
}

func reportFlood(out io.Writer, o options, rows []*siege) error {
	fmt.Fprintf(out, "quiet     %d calls a second by gRPC, a 1KiB JSON each; latency from when a call was due\n", quietRate)
	fmt.Fprintf(out, "flood     another caller, %d calls a second in a process of its own, never waits when told to\n", quietRate*floodTimes)
	fmt.Fprintf(out, "limits    {concurrent: 16, per_second: %d} of the flooding caller; defaults: {concurrent: 1000}\n", quietRate)
	fmt.Fprintf(out, "rounds    %d of %s alone and %s flooded, interleaved; ratio = p99 flooded to alone in the same round, median\n\n", o.rounds, o.duration, o.duration)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "policy\tp50 us alone\tflooded\tp99 us alone\tflooded\tratio\t(min-max)\tanswered\trefused\tnot sent\tfailed\tCPU us/flood call\t")
	for _, s := range rows {
		slices.Sort(s.alone)
		slices.Sort(s.flooded)
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%.2f\t(%.2f-%.2f)\t%d\t%d\t%d\t%d\t%.1f\t\n", s.name,
			quantile(s.alone, 0.5).Microseconds(), quantile(s.flooded, 0.5).Microseconds(),
			quantile(s.alone, 0.99).Microseconds(), quantile(s.flooded, 0.99).Microseconds(),
			median(s.ratios), slices.Min(s.ratios), slices.Max(s.ratios),
			s.poured.Answered, s.poured.Refused, s.poured.Unsent, s.poured.Failed, median(s.cost))
	}
	return t.Flush()
}
