package main

import (
	"context"
	"log/slog"

	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/server"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// service is everything that runs, wired: this file alone names the concrete
// types.
type service struct {
	server    *server.Server
	pools     *egress.Pools
	telemetry *telemetry.Telemetry
}

func wire(ctx context.Context, snapshot *policy.Snapshot, log *slog.Logger) (*service, error) {
	tel, err := telemetry.Setup(ctx, version, log)
	if err != nil {
		return nil, err
	}
	pools := egress.NewPools(egress.Config{})
	engine := fetch.New(fetch.Config{Pools: pools, UserAgent: "fetchsvc/" + version})
	engine.Use(snapshot)
	sizeBuffers()
	srv, err := server.New(server.Config{Engine: engine, Log: log, Tracer: tel.Tracer()})
	if err != nil {
		return nil, err
	}
	return &service{server: srv, pools: pools, telemetry: tel}, nil
}

// close frees what outlives the last call, and sends the spans that wait.
func (s *service) close(ctx context.Context) error {
	s.pools.Close()
	return s.telemetry.Shutdown(ctx)
}

// sizeBuffers gives grpc-go's one buffer pool tiers for the messages there are.
// By default nothing lies between 32 KiB and 1 MiB, and clearing a buffer of
// 1 MiB for a body of 64 KiB is half of that call's cost.
func sizeBuffers() {
	experimental.SetDefaultBufferPool(mem.NewTieredBufferPool(
		256, 4<<10, 16<<10, 32<<10, 40<<10, 72<<10, 136<<10, 264<<10, 520<<10, 1<<20+8<<10))
}
