// Package server is the service's face: the gRPC door, the REST door, and one
// pipeline behind both.
//
// It turns messages of the API into requests of the engine and back, checks
// them, and maps every kind of failure to both protocols from one table
// (status.go). It decides nothing about a call.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/signals"
)

// Config is what a Server is made of.
type Config struct {
	// Engine makes the calls. Required.
	Engine *fetch.Engine
	// Log gets defects. Required.
	Log *slog.Logger
	// Verifier says who calls; nil: everyone is anonymous.
	Verifier Verifier
	// TLS is what both doors speak; nil: they take calls in plaintext.
	TLS *TLS
	// Names are what the REST door may be called beside its address, and what its
	// certificate says.
	Names []string
	// Signals is told of each RPC; nil: nobody is.
	Signals *signals.Signals
	// Metrics answers GET /metrics; nil: there is no such page.
	Metrics http.Handler
	// Refused is told of each call that never came to the engine, such as one without
	// identity; nil: nobody is.
	Refused func(ctx context.Context, rpc string, f *fault.Error)
	// LoopToken is what egress puts into CDN-Loop (RFC 8586): a call that has it came
	// from here. Empty: none does.
	LoopToken string
	// Bounds are what clients may take of the doors.
	Bounds Bounds
	// Reported gives how many calls of an upstream passed that its rules would have
	// refused, were they not in report mode; nil: none did.
	Reported func(upstream string) int64
	// Rejected gives the policy that could not be put in force since the one that is:
	// when, and all its errors; empty: there is none. Nil: there never is.
	Rejected func() (at time.Time, why string)
}

// Server serves both doors. Make one with New, Serve it, Shutdown it.
type Server struct {
	grpc  *grpc.Server
	rest  *http.Server
	pages http.Handler
	// foreign notes what the origin guard refused, and gives it a kind.
	foreign func(*http.Request, error) error
	tls     *TLS
	names   []string
	bounds  Bounds
	places  places
	log     *slog.Logger
	health  *health.Server
	ready   atomic.Bool
	calls   gate
}

const (
	// maxRecv takes a 16 MiB body with its envelope; what is a little larger is
	// refused with a reason, what is much larger by grpc-go itself.
	maxRecv = maxBody + 1<<20
	// maxSend holds a response of 64 MiB with its envelope.
	maxSend = 64<<20 + 8<<20
	// maxHeader bounds what comes before a message, which nobody has vouched for yet.
	maxHeader = 64 << 10
	// maxStreams is how many calls one connection may have in flight, and maxRESTStreams
	// over REST's HTTP/2.
	maxStreams, maxRESTStreams = 10_000, 250
	// keepaliveTime of silence asks a client whether it is there; it has
	// keepaliveTimeout to say so.
	keepaliveTime, keepaliveTimeout = time.Minute, 20 * time.Second
	// maxIdle is how long a gRPC connection without calls stays open, and restIdle one
	// of REST.
	maxIdle, restIdle = 15 * time.Minute, 2 * time.Minute
	// streamWindow and connWindow are how much of uploads may lie here unread.
	// grpc-go would let them grow to 16 MiB each, which an upload to a slower
	// upstream fills.
	streamWindow = 512 << 10
	connWindow   = 2 << 20
	// workers take RPCs without a new goroutine, whose stack would have to grow
	// each time.
	workers = 64
)

// New makes a Server that is not yet listening.
func New(cfg Config) (*Server, error) {
	shared, err := newInterceptors(cfg)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	bounds := cfg.Bounds.orDefaults()
	s := &Server{health: health.NewServer(), tls: cfg.TLS, names: cfg.Names, bounds: bounds, places: newPlaces(), log: cfg.Log}
	creds := doorCredentials{bounds: bounds, places: s.places, tally: &tally{log: cfg.Log}}
	if s.tls != nil {
		creds.TransportCredentials = credentials.NewTLS(s.tls.config(grpcDoor))
	}
	clocks := pacing{bounds}
	s.grpc = grpc.NewServer(
		grpc.WaitForHandlers(true), grpc.MaxRecvMsgSize(maxRecv), grpc.MaxSendMsgSize(maxSend),
		grpc.MaxConcurrentStreams(maxStreams), grpc.NumStreamWorkers(workers),
		grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connWindow),
		grpc.ConnectionTimeout(bounds.Handshake), grpc.Creds(creds), grpc.ForceServerCodecV2(newCodec()),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: keepaliveTime, Timeout: keepaliveTimeout, MaxConnectionIdle: maxIdle,
			MaxConnectionAge: bounds.ConnectionAge, // without MaxConnectionAgeGrace: streams have clocks of their own
		}),
		grpc.ChainUnaryInterceptor(shared.unary), grpc.ChainStreamInterceptor(clocks.stream, shared.stream),
		grpc.UnknownServiceHandler(unknownMethod), grpc.MaxHeaderListSize(maxHeader),
	)
	cc := &inproc{interceptors: shared}
	for _, door := range []grpc.ServiceRegistrar{earlyRegistrar{s.grpc, shared, clocks}, cc} {
		fetchsvcv1.RegisterFetchServiceServer(door, &fetchService{engine: cfg.Engine, signals: cfg.Signals, check: shared.check, refused: cfg.Refused, panicked: shared.panicked})
		fetchsvcv1.RegisterPolicyServiceServer(door, newPolicyService(cfg))
	}
	healthv1.RegisterHealthServer(earlyRegistrar{s.grpc, shared, clocks}, watchedHealth{s.health})
	reflection.Register(s.grpc)
	shared.methods = methodsOf(s.grpc)
	pages, err := newREST(cc, &s.ready, cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	s.foreign = shared.foreign
	s.pages = recoverREST(shared.knock(pages), cfg.Log)
	s.rest = &http.Server{
		ReadHeaderTimeout: bounds.Handshake, IdleTimeout: restIdle, MaxHeaderBytes: maxHeader, ConnContext: countResets,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxRESTStreams, MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connWindow,
			SendPingTimeout: keepaliveTime, PingTimeout: keepaliveTimeout,
		},
		DisableGeneralOptionsHandler: true, // it would answer `OPTIONS *` to strangers
		ErrorLog:                     slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Serve serves both listeners until Shutdown, or until one fails. It owns the
// listeners from now on.
func (s *Server) Serve(grpcLis, restLis net.Listener) error {
	s.rest.Handler = namesOf(restLis.Addr(), s.names, s.tls).guard(s.foreign, s.calls.admit(s.foreign, s.pages))
	s.rest.Handler = s.bounds.slow(s.rest.Handler)
	grpcLis, restLis = listen(grpcLis, s.bounds, s.log), listen(restLis, s.bounds, s.log)
	s.ready.Store(true)
	s.health.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
	s.health.SetServingStatus(fetchsvcv1.FetchService_ServiceDesc.ServiceName, healthv1.HealthCheckResponse_SERVING)
	failed := make(chan error, 2)
	go func() { failed <- s.grpc.Serve(grpcLis) }()
	go func() { failed <- s.serveREST(restLis) }()
	err := served(<-failed)
	if err != nil {
		s.Stop() // one door alone is no service
	}
	return errors.Join(err, served(<-failed))
}

func (s *Server) serveREST(lis net.Listener) error {
	if s.tls == nil {
		return s.rest.Serve(lis)
	}
	s.rest.TLSConfig = s.tls.config(restDoor)
	return s.rest.Serve(secure(lis, s.rest.TLSConfig, s.places, s.bounds.Handshake, s.log))
}

// unknownMethod answers, behind the interceptors, what no service has.
func unknownMethod(_ any, st grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(st)
	return fault.Newf(fault.Unimplemented, "there is no RPC %s; reflection lists what there is", quote(method))
}

func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}
