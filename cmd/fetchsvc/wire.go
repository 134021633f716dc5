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
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// service is everything that runs, wired: this file alone names the concrete
// types.
type service struct {
	server    *server.Server
	policy    *reloader
	verifier  *identity.Verifier
	pools     *egress.Pools
	keep      *auth.Keep
	secrets   *secret.Store
	reports   *reports
	telemetry *telemetry.Telemetry
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
func (f *policyFile) wire(ctx context.Context, snapshot *policy.Snapshot, doors *doors, tls *server.TLS, audit *auditLog) (*service, error) {
	tel, err := telemetry.Setup(ctx, version, f.log)
	if err != nil {
		return nil, err
	}
	reports := newReports(f.log)
	token := egress.NewLoopToken()
	var engine *fetch.Engine
	pools := egress.NewPools(egress.Config{
		Secrets: f.secrets, Log: f.log, Own: doors.own(), LoopToken: token,
		NAT64: func() []netip.Prefix { return engine.Snapshot().NAT64 },
	})
	transport := func(upstream string) http.RoundTripper { return engine.SystemTransport(upstream) }
	keep := auth.NewKeep(auth.Config{Secrets: f.secrets, Log: f.log, Transport: transport})
	engine = fetch.New(fetch.Config{
		Pools: pools, UserAgent: "fetchsvc/" + version, Keep: keep, Reported: reports.report, Finished: audit.finished(),
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
		engine.Forget() // last: it may wait for a token request
	}
	use(snapshot)
	reload := &reloader{path: f.path, load: f.load, use: use, current: engine.Snapshot, accept: doors.accept, log: f.log}
	sizeBuffers()
	srv, err := server.New(server.Config{
		Engine: engine, Log: f.log, Tracer: tel.Tracer(), Reported: reports.count, Rejected: reload.rejected,
		Verifier: verifier, TLS: tls, Names: doors.names, Bounds: doors.bound(), Refused: audit.refused(), LoopToken: token,
	})
	if err != nil {
		return nil, err
	}
	return &service{srv, reload, verifier, pools, keep, f.secrets, reports, tel}, nil
}

// close frees what outlives the last call, and sends the spans that wait.
func (s *service) close(ctx context.Context) error {
	s.verifier.Close()
	s.keep.Close()
	s.secrets.Close()
	s.pools.Close()
	s.reports.close(ctx)
	return s.telemetry.Shutdown(ctx)
}

// sizeBuffers gives grpc-go's one buffer pool tiers for the messages there are.
// By default nothing lies between 32 KiB and 1 MiB, and clearing a buffer of
// 1 MiB for a body of 64 KiB is half of that call's cost.
func sizeBuffers() {
	experimental.SetDefaultBufferPool(mem.NewTieredBufferPool(
		256, 4<<10, 16<<10, 32<<10, 40<<10, 72<<10, 136<<10, 264<<10, 520<<10, 1<<20+8<<10))
}
