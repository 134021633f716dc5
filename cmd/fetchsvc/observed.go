package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// observed is the log and the telemetry of a process that serves.
type observed struct {
	log       *slog.Logger
	level     *slog.LevelVar // policy's to set
	telemetry *telemetry.Telemetry
	// own is the log without telemetry: what is said there of telemetry does not go
	// into it again.
	own *slog.Logger
	// tell hears of each call that is over, and refused of each that never came to the
	// engine; nil: nobody does.
	tell    func(context.Context, *fetch.Finished)
	refused func(ctx context.Context, rpc string, f *fault.Error)
	// left is what flush has left of flushTime for close.
	left time.Duration
}

// observe sets telemetry up, as the environment says; lines of the log go to handler,
// which level governs.
func observe(ctx context.Context, handler slog.Handler, level *slog.LevelVar) (*observed, error) {
	own := slog.New(handler)
	tel, err := telemetry.Setup(ctx, telemetry.Config{Version: version, Log: own})
	if err != nil {
		return nil, err
	}
	return &observed{log: slog.New(tel.LogHandler(handler)), level: level, telemetry: tel, own: own, left: flushTime}, nil
}

// flush sends what waits, and what metrics say now.
func (o *observed) flush() {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), o.left)
	defer cancel()
	o.telemetry.Flush(ctx)
	o.left -= time.Since(begin)
}

// close sends what waits: with a collector that hangs, flush had the time for both.
func (o *observed) close() {
	ctx, cancel := context.WithTimeout(context.Background(), o.left)
	defer cancel()
	if err := o.telemetry.Shutdown(ctx); err != nil {
		o.own.Warn("some telemetry was not sent", "error", err)
	}
}

// observers are those of several who are there.
func observers(all ...func(context.Context, *fetch.Finished)) func(context.Context, *fetch.Finished) {
	var there []func(context.Context, *fetch.Finished)
	for _, one := range all {
		if one != nil {
			there = append(there, one)
		}
	}
	return func(ctx context.Context, f *fetch.Finished) {
		for _, one := range there {
			one(ctx, f)
		}
	}
}

// refusals are observers of calls that never came to the engine, those of two who are
// there; nil: neither is.
func refusals(one, other func(context.Context, string, *fault.Error)) func(context.Context, string, *fault.Error) {
	if one == nil {
		return other
	}
	if other == nil {
		return one
	}
	return func(ctx context.Context, rpc string, f *fault.Error) {
		one(ctx, rpc, f)
		other(ctx, rpc, f)
	}
}
