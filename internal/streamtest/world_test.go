package streamtest

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/server"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// policyText is the policy of the whole package. Which upstream, and so which
// rules, a stream is under is the host name in its URL; all names are 127.0.0.1.
const policyText = `
upstreams:
  - name: open
    hosts: ["127.0.0.1:*", "localhost:*", "*.test:*"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.0.0.0/8]
    timeouts: {max: {total: 5m, attempt: 5m, idle: 5m}}
  - name: rated
    hosts: ["rated.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    min_rate: 1KiB
  - name: timed
    hosts: ["timed.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    timeouts: {stream_total: 2s}
  - name: idle
    hosts: ["idle.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    timeouts: {idle: 100ms, max: {idle: 200ms}}
  - name: small
    hosts: ["small.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    timeouts: {total: 10s, max: {total: 20s}}
    sizes: {request: 1KiB, response: 1KiB, max: {response: 2KiB}}
`

// rateWindow is what min_rate is measured over here; 10 s is long for a test, and
// less than a second is short for an upstream that starves now and then.
const rateWindow = time.Second

type resolver struct{}

func (resolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, nil
}

// world is the service in this process, on real listeners, and a real client for
// each door.
type world struct {
	ca   *testpeer.CA
	api  fetchsvcv1.FetchServiceClient
	web  *http.Client
	rest string // base URL of the REST door
}

func newWorld(t testing.TB) *world {
	t.Helper()
	snapshot, err := policy.Parse("streamtest.yaml", []byte(policyText), policy.Options{})
	if err != nil {
		t.Fatalf("the package's policy: %v", err)
	}
	ca := testpeer.NewCA(t)
	pools := egress.NewPools(egress.Config{Resolver: resolver{}, RootCAs: ca.Pool()})
	t.Cleanup(pools.Close)
	engine := fetch.New(fetch.Config{Pools: pools, UserAgent: "fetchsvc/streamtest", RateWindow: rateWindow})
	engine.Use(snapshot)
	srv, err := server.New(server.Config{Engine: engine, Log: slog.New(slog.NewTextHandler(failingLog{t}, nil))})
	if err != nil {
		t.Fatal(err)
	}
	grpcLis, restLis := listen(t), listen(t)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(grpcLis, restLis) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		srv.Shutdown(ctx)
		if ctx.Err() != nil {
			t.Error("the server was not idle long after the last call")
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	w := dial(t, grpcLis.Addr().String(), restLis.Addr().String())
	w.ca = ca
	return w
}

// dial gives clients of a service that runs already.
func dial(t testing.TB, grpcAddr, restAddr string) *world {
	t.Helper()
	conn, err := grpc.NewClient(grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(80<<20)))
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}}
	t.Cleanup(func() {
		_ = conn.Close()
		web.CloseIdleConnections()
	})
	return &world{api: fetchsvcv1.NewFetchServiceClient(conn), web: web, rest: "http://" + restAddr}
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// failingLog fails the test for whatever the service calls an error: no
// misbehaviour of a peer or a caller is a defect of the service.
type failingLog struct{ t testing.TB }

var _ io.Writer = failingLog{}

func (l failingLog) Write(p []byte) (int, error) {
	l.t.Errorf("the service logged: %s", p)
	return len(p), nil
}
