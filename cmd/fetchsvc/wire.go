package main

import (
	"log/slog"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/server"
)

// service is everything that runs, wired: this file alone names the concrete
// types.
type service struct {
	server *server.Server
	pools  *egress.Pools
}

func wire(snapshot *policy.Snapshot, log *slog.Logger) (*service, error) {
	pools := egress.NewPools(egress.Config{})
	engine := fetch.New(fetch.Config{Pools: pools, UserAgent: "fetchsvc/" + version})
	engine.Use(snapshot)
	srv, err := server.New(server.Config{Engine: engine, Log: log})
	if err != nil {
		return nil, err
	}
	return &service{server: srv, pools: pools}, nil
}
