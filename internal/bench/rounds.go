package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// row is what was measured of one program at one number of calls in flight.
type row struct {
	program  program
	inFlight int
	cpu      []float64 // microseconds a call, of each round
	ratios   []float64 // to the floor, of each round
	rate     []float64 // calls a second, of each round
	took     []time.Duration
	allocs   allocs
}

// measure runs the rounds with c calls in flight. In every other round the
// programs run in the opposite order, so that a machine that slows down or
// speeds up favours none.
func (f *field) measure(ctx context.Context, c int) ([]row, error) {
	rows := make([]row, len(f.programs))
	loads := make([]*load, len(f.programs))
	for i, p := range f.programs {
		l, err := p.dial(p.on.addresses, f.url, bodySize(f.body), c)
		if err != nil {
			return nil, err
		}
		defer l.close()
		rows[i], loads[i] = row{program: p, inFlight: c}, l
		if _, err := l.run(ctx, min(f.duration, time.Second)); err != nil { // warm: connections, pools, heap
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	for range f.rounds {
		for _, i := range order {
			if err := rows[i].round(ctx, loads[i], f.duration); err != nil {
				return nil, fmt.Errorf("%s: %w", rows[i].program.name, err)
			}
		}
		slices.Reverse(order)
	}
	floor := rows[0]
	for i := range rows {
		rows[i].ratios = ratios(rows[i].cpu, floor.cpu)
		slices.Sort(rows[i].took)
	}
	return rows, nil
}

// round runs one program for d.
func (r *row) round(ctx context.Context, l *load, d time.Duration) error {
	before, err := r.program.on.cpu()
	if err != nil {
		return err
	}
	begin := time.Now()
	took, err := l.run(ctx, d)
	if err != nil {
		return err
	}
	elapsed := time.Since(begin)
	after, err := r.program.on.cpu()
	if err != nil {
		return err
	}
	n := float64(max(len(took), 1))
	r.cpu = append(r.cpu, float64((after-before).Nanoseconds())/1e3/n)
	r.rate = append(r.rate, n/elapsed.Seconds())
	r.took = append(r.took, took...)
	return nil
}

// ratios compares round by round.
func ratios(of, to []float64) []float64 {
	out := make([]float64, len(of))
	for i := range of {
		out[i] = of[i] / to[i]
	}
	return out
}

// median is the middle of values, which stay as they are.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// quantile reads sorted durations.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1))]
}
