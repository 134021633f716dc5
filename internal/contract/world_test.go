package contract

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/auth"
	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/server"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// policyText is, with rulesText, the policy of the whole table. Which upstream,
// and so which rules, a case is under is the host name in its URL.
const policyText = `
caller_limits: {concurrent: 10000}
upstreams:
  - name: open
    hosts: ["127.0.0.1:*", "[::1]:*", "localhost:*", "*.test:*"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.0.0.0/8, "::1", 224.0.0.0/4]
    timeouts: {total: 30s, connect: 20s, max: {total: 2m}}
  - name: sibling
    hosts: ["sibling.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
  - name: bounded
    hosts: ["bounded.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    timeouts: {total: 10s, attempt: 5s, connect: 2s, first_byte: 5s, idle: 5s, max: {total: 20s}}
    sizes: {request: 1KiB, response: 1KiB, max: {response: 2KiB}, response_header: 4KiB}
  - name: guarded
    hosts: ["guarded.test:*", "private.test:*", "metadata.test:*", "10.1.2.3:*", "169.254.169.254:*"]
    schemes: [http, https]
  - name: tls-only
    hosts: ["secure.example:*"]
    unsafe_allow_addresses: [127.0.0.0/8]
  - name: hasty
    hosts: ["hasty.test:*"]
    unsafe_allow_addresses: [127.0.0.0/8]
    timeouts: {tls: 200ms}
`

// resolver gives every name of the table 127.0.0.1, but for those that are here
// to fail.
type resolver struct{}

func (resolver) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	addrs := func(all ...string) (out []netip.Addr, err error) {
		for _, a := range all {
			out = append(out, netip.MustParseAddr(a))
		}
		return out, nil
	}
	switch host {
	case "nowhere.test":
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	case "servfail.test":
		return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
	case "empty.test":
		return nil, nil
	case "slow.test":
		<-ctx.Done()
		return nil, ctx.Err()
	case "multicast.test": // the kernel has no TCP route there, whatever the machine's network
		return addrs("224.0.0.1")
	case "private.test":
		return addrs("10.1.2.3")
	case "metadata.test":
		return addrs("169.254.169.254")
	case "mixed.test": // one good answer, one that must not be reached
		return addrs("127.0.0.1", "10.1.2.3")
	}
	return addrs("127.0.0.1")
}

// world is the service in this process, on real listeners, and a real client for
// each door.
type world struct {
	ca *testpeer.CA
	// forward is the proxy that the policy's upstream `proxied` goes through.
	forward *testpeer.Forward

	grpc *grpc.ClientConn
	api  fetchsvcv1.FetchServiceClient
	web  *http.Client
	rest string // base URL of the REST door
	addr string // of the gRPC door
	bin  string // go-httpbin
}

const userAgent = "fetchsvc/contract"

// environment are the secrets of the process. Each value ends in `-canary`, which
// no answer may show.
var environment = map[string]string{
	"TOKEN": "token-canary", "OTHER_TOKEN": "other-canary", "PROXY_PASSWORD": "proxy-canary",
}

// newWorld starts the service under policyText and rulesText.
func newWorld(t *testing.T) *world {
	t.Helper()
	forward := testpeer.NewForward(t, nil, "fetchsvc", environment["PROXY_PASSWORD"])
	text := strings.ReplaceAll(policyText+rulesText, "{forward}", forward.Addr)
	snapshot, err := policy.Parse("contract.yaml", []byte(text), policy.Options{})
	if err != nil {
		t.Fatalf("the table's policy: %v", err)
	}
	ca := testpeer.NewCA(t)
	secrets := secret.New(secret.Config{LookupEnv: func(name string) (string, bool) {
		value, ok := environment[name]
		return value, ok
	}})
	pools := egress.NewPools(egress.Config{Resolver: resolver{}, RootCAs: ca.Pool(), Secrets: secrets})
	t.Cleanup(pools.Close)
	engine := fetch.New(fetch.Config{Pools: pools, UserAgent: userAgent, Keep: auth.NewKeep(auth.Config{Secrets: secrets})})
	engine.Use(snapshot)
	w := serve(t, engine, slog.New(slog.NewTextHandler(io.Discard, nil)))
	w.ca, w.bin, w.forward = ca, testpeer.HTTPBin(t), forward
	return w
}

// serve starts a server over engine, and closes it when the test is over.
func serve(t *testing.T, engine *fetch.Engine, log *slog.Logger) *world {
	t.Helper()
	return serveAs(t, server.Config{Engine: engine, Log: log})
}

// serveAs is serve for a server that needs more.
func serveAs(t *testing.T, cfg server.Config) *world {
	t.Helper()
	srv, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	grpcLis, restLis := listen(t), listen(t)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(grpcLis, restLis) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		srv.Shutdown(ctx)
		if ctx.Err() != nil {
			t.Error("the server was not idle 10 s after the last call")
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	conn, err := grpc.NewClient(grpcLis.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(80<<20)))
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	t.Cleanup(func() {
		_ = conn.Close()
		web.CloseIdleConnections()
	})
	return &world{
		grpc: conn, api: fetchsvcv1.NewFetchServiceClient(conn), addr: grpcLis.Addr().String(),
		web: web, rest: "http://" + restLis.Addr().String(),
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
