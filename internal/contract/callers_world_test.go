package contract

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/fetchsvc/fetchsvc/internal/auth"
	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/identity"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/server"
	"github.com/fetchsvc/fetchsvc/internal/signals"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// guarded is the service with TLS at both doors and callers that must prove who
// they are.
type guarded struct {
	ca    *testpeer.CA // of the doors' certificate
	staff *testpeer.CA // of client certificates
	corp  signer       // of tokens
	files server.TLSFiles

	grpc, rest string // addresses
	log        *safeBuffer
	spans      *spanSink
}

// newGuarded starts it under staffText.
func newGuarded(t *testing.T) *guarded {
	t.Helper()
	corp := newSigner(t)
	snapshot, err := policy.Parse("callers.yaml", []byte(strings.ReplaceAll(staffText, "{jwks}", corp.jwks(t))), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := &guarded{corp: corp, ca: testpeer.NewCA(t), staff: testpeer.NewCA(t), log: &safeBuffer{}, spans: &spanSink{}}
	log := slog.New(slog.NewJSONHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	dir := t.TempDir()
	g.files = server.TLSFiles{
		Cert: filepath.Join(dir, "door.crt"), Key: filepath.Join(dir, "door.key"), ClientCA: filepath.Join(dir, "clients.pem"), Log: log,
	}
	g.renew(t, g.ca.Issue(testpeer.CertOpts{}))
	replace(t, g.files.ClientCA, g.staff.PEM())
	doors, err := server.NewTLS(g.files)
	if err != nil {
		t.Fatal(err)
	}
	secrets := secret.New(secret.Config{LookupEnv: callerSecrets})
	pools := egress.NewPools(egress.Config{Resolver: resolver{}, Secrets: secrets})
	t.Cleanup(pools.Close)
	engine := fetch.New(fetch.Config{Pools: pools, UserAgent: userAgent, Keep: auth.NewKeep(auth.Config{Secrets: secrets})})
	engine.Use(snapshot)
	verifier := identity.New(identity.Config{Secrets: secrets, Log: log,
		Fetcher: identity.FetcherFunc(func(ctx context.Context, from *policy.Issuer) ([]byte, time.Duration, error) {
			return engine.Document(ctx, from.Upstream, from.JWKS)
		})})
	t.Cleanup(verifier.Close)
	verifier.Use(snapshot)
	told, err := signals.New(signals.Config{Sink: g.spans, Meter: noop.Meter{}})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Config{Engine: engine, Log: log, Signals: told, TLS: doors, Verifier: verifier})
	if err != nil {
		t.Fatal(err)
	}
	grpcLis, restLis := listen(t), listen(t)
	g.grpc, g.rest = grpcLis.Addr().String(), restLis.Addr().String()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(grpcLis, restLis) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		srv.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return g
}

// renew writes another certificate for the doors, the key behind it.
func (g *guarded) renew(t *testing.T, cert tls.Certificate) {
	t.Helper()
	certificate, key := testpeer.PEM(t, cert)
	replace(t, g.files.Cert, certificate)
	replace(t, g.files.Key, key)
}

// replace writes a file as those that rotate do: whole or not at all.
func replace(t *testing.T, file string, data []byte) {
	t.Helper()
	next := file + ".next"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
}

// client is one who calls, by both doors, with what it has.
type client struct {
	conn *grpc.ClientConn
	web  *http.Client
	rest string // base URL
	// header is sent along, as metadata over gRPC.
	header http.Header
}

// client makes one; certs are of its own.
func (g *guarded) client(t *testing.T, header http.Header, certs ...tls.Certificate) *client {
	t.Helper()
	return newClient(t, g, &tls.Config{RootCAs: g.ca.Pool(), Certificates: certs}, header)
}

func newClient(t *testing.T, g *guarded, config *tls.Config, header http.Header) *client {
	t.Helper()
	conn, err := grpc.NewClient(g.grpc, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: true}}
	t.Cleanup(func() {
		_ = conn.Close()
		web.CloseIdleConnections()
	})
	return &client{conn: conn, web: web, rest: "https://" + g.rest, header: header}
}

// identity is what a client certificate of name is issued with.
func (g *guarded) identity(name string) tls.Certificate {
	return g.staff.Issue(testpeer.CertOpts{CommonName: name, Names: []string{name + ".callers.test"}, Client: true})
}

// safeBuffer is a log that may be read while it is written.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// served is the certificate that a door shows now.
func served(t *testing.T, addr string, roots *x509.CertPool, protocols ...string) *x509.Certificate {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots, NextProtos: protocols})
	if err != nil {
		t.Errorf("a handshake with %s: %v", addr, err)
		return nil
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// get asks the REST door for a page.
func (c *client) get(t *testing.T, method, path, body string, header http.Header) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.rest+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []http.Header{c.header, header} {
		for name, values := range h {
			r.Header[name] = values
		}
	}
	res, err := c.web.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: the answer broke off: %v", method, path, err)
	}
	return res, text
}
