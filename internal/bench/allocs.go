package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"runtime"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/server"
	"github.com/fetchsvc/fetchsvc/internal/signals"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// allocs is what one call allocates.
type allocs struct{ objects, bytes float64 }

// allocsOf measures what this process allocates for each call of l.
func allocsOf(ctx context.Context, l *load, d time.Duration) (allocs, error) {
	if _, err := l.run(ctx, d/2); err != nil { // warm: connections, pools
		return allocs{}, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	took, err := l.run(ctx, d)
	runtime.ReadMemStats(&after)
	n := float64(max(len(took), 1))
	return allocs{float64(after.Mallocs-before.Mallocs) / n, float64(after.TotalAlloc-before.TotalAlloc) / n}, err
}

// serviceAllocs is what a call allocates in a service: what load and service
// allocate together in this process, less what the same load allocates here
// while the service is a child.
func serviceAllocs(ctx context.Context, inProcess, onChild *load, d time.Duration) (allocs, error) {
	both, err := allocsOf(ctx, inProcess, d)
	if err != nil {
		return allocs{}, err
	}
	client, err := allocsOf(ctx, onChild, d)
	return allocs{both.objects - client.objects, both.bytes - client.bytes}, err
}

// inProcess runs fetchsvc and the floor in this process, for counting what they
// allocate: the product has no endpoint for that, and none is wanted.
type inProcess struct {
	fetchsvc, floor addresses
	stop            func()
}

func newInProcess(snapshot *policy.Snapshot) (*inProcess, error) {
	// As in cmd/fetchsvc/wire.go, which nobody can import.
	pools := egress.NewPools(egress.Config{})
	tel, err := telemetry.Setup(context.Background(), telemetry.Config{Env: func(string) string { return "" }})
	if err != nil {
		return nil, err
	}
	told, err := signals.New(signals.Config{Sink: tel, Meter: tel.Meter()})
	if err != nil {
		return nil, err
	}
	engine := fetch.New(fetch.Config{Pools: pools, UserAgent: "fetchsvc/bench", Finished: told.Finished, Sample: tel.Sample})
	engine.Use(snapshot)
	srv, err := server.New(server.Config{Engine: engine, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Signals: told})
	if err != nil {
		return nil, err
	}
	lis := make([]net.Listener, 3)
	for i := range lis {
		if lis[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, err
		}
	}
	bare := newFloor()
	ended := make(chan error, 2)
	go func() { ended <- srv.Serve(lis[0], lis[1]) }()
	go func() { ended <- bare.Serve(lis[2]) }()
	return &inProcess{
		fetchsvc: addresses{GRPC: lis[0].Addr().String(), REST: lis[1].Addr().String()},
		floor:    addresses{GRPC: lis[2].Addr().String()},
		stop: func() {
			srv.Stop()
			bare.Stop()
			<-ended
			<-ended
			pools.Close()
			_ = tel.Shutdown(context.Background())
		},
	}, nil
}
