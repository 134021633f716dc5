package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"

	"github.com/fetchsvc/fetchsvc/internal/auth"
	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/identity"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/server"
	"github.com/fetchsvc/fetchsvc/internal/signals"
)

// service is everything that runs, wired: this file alone names the concrete
// types.
type service struct {
	server   *server.Server
	policy   *reloader
	verifier *identity.Verifier
	pools    *egress.Pools
	keep     *auth.Keep
	secrets  *secret.Store
	reports  *reports
}

// policyFile is where a policy lies and what its references are read with.
type policyFile struct {
	path    string // empty: there is none
	secrets *secret.Store
	log     *slog.Logger
}

func newPolicyFile(path string, log *slog.Logger) *policyFile {
	return &policyFile{path, secret.New(secret.Config{Log: log}), log}
}

// load reads the policy as it is now.
func (f *policyFile) load() (*policy.Snapshot, error) {
	s, err := policy.Load(f.path, f.options())
	if err == nil && s.Blank {
		return nil, fmt.Errorf("policy: %s: %w", f.path, errEmpty)
	}
	return s, err
}

func (f *policyFile) options() policy.Options {
	return policy.Options{CheckSecret: f.secrets.Check, CheckPEM: f.secrets.CheckPEM, CheckKeyHash: identity.CheckKeyHash(f.secrets)}
}

// wire makes the service that is to stand behind doors; tls is nil for plaintext.
func (f *policyFile) wire(snapshot *policy.Snapshot, doors *doors, tls *server.TLS, seen *observed, audit *auditLog) (*service, error) {
	tel := seen.telemetry
	var engine *fetch.Engine
	told, err := signals.New(signals.Config{
		Sink: tel, Meter: tel.Meter(), Tracing: func() policy.Tracing { return engine.Snapshot().Trace },
	})
	if err != nil {
		return nil, err
	}
	reports := newReports(f.log)
	token := egress.NewLoopToken()
	pools := egress.NewPools(egress.Config{
		Secrets: f.secrets, Log: f.log, Own: doors.own(), LoopToken: token, Closed: told.Closed,
		NAT64: func() []netip.Prefix { return engine.Snapshot().NAT64 },
	})
	transport := func(upstream string) http.RoundTripper { return engine.SystemTransport(upstream) }
	keep := auth.NewKeep(auth.Config{Secrets: f.secrets, Log: f.log, Transport: transport})
	engine = fetch.New(fetch.Config{
		Pools: pools, UserAgent: "fetchsvc/" + version, Keep: keep, Reported: reports.report,
		Sample: tel.Sample, Finished: observers(told.Finished, audit.finished(), seen.tell),
	})
	verifier := identity.New(identity.Config{
		Secrets: f.secrets, Log: f.log,
		Fetcher: identity.FetcherFunc(func(ctx context.Context, from *policy.Issuer) ([]byte, time.Duration, error) {
			return engine.Document(ctx, from.Upstream, from.JWKS)
		}),
	})
	use := func(s *policy.Snapshot) {
		engine.Use(s) // first: it knows the way to vaults and to the keys of issuers
		f.secrets.Use(secretSources(s, transport))
		verifier.Use(s)
		told.Use(s)
		engine.Forget() // last: it may wait for a token request
	}
	seen.level.Set(snapshot.LogLevel)
	use(snapshot)
	reload := &reloader{path: f.path, load: f.load, use: use, current: engine.Snapshot, accept: doors.accept, log: f.log, level: seen.level}
	err = signals.Observe(tel.Meter(), signals.State{
		Usage: engine.Usage, Connections: pools.Connections, Tokens: keep.Tokens, Secrets: f.secrets.States,
		Policy: reload.state, Lost: tel.Lost,
	})
	if err != nil {
		return nil, err
	}
	sizeBuffers()
	srv, err := server.New(server.Config{
		Engine: engine, Log: f.log, Signals: told, Metrics: tel.Metrics(), Reported: reports.count, Rejected: reload.rejected,
		Verifier: verifier, TLS: tls, Names: doors.names, Bounds: doors.bound(), Refused: refusals(audit.refused(), seen.refused), LoopToken: token,
	})
	if err != nil {
		return nil, err
	}
	return &service{srv, reload, verifier, pools, keep, f.secrets, reports}, nil
}

// close frees what outlives the last call.
func (s *service) close(ctx context.Context) {
	s.verifier.Close()
	s.keep.Close()
	s.secrets.Close()
	s.pools.Close()
	s.reports.close(ctx)
}

// sizeBuffers gives grpc-go's one buffer pool tiers for the messages there are.
// By default nothing lies between 32 KiB and 1 MiB, and clearing a buffer of
// 1 MiB for a body of 64 KiB is half of that call's cost.
func sizeBuffers() {
	experimental.SetDefaultBufferPool(mem.NewTieredBufferPool(
		256, 4<<10, 16<<10, 32<<10, 40<<10, 72<<10, 136<<10, 264<<10, 520<<10, 1<<20+8<<10))
}
