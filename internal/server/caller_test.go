package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/identity"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// tokenIsName takes a token for the caller's name.
type tokenIsName struct{}

func (tokenIsName) Verify(_ context.Context, p identity.Proof) (identity.Identity, error) {
	return identity.Identity{Caller: p.Token}, nil
}

// pipeline is the interceptors of a service under a policy with callers.
func pipeline(t *testing.T) *interceptors {
	t.Helper()
	snapshot, err := policy.Parse("test", []byte("callers: [{name: billing, common_names: [billing]}]"), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pools := egress.NewPools(egress.Config{})
	t.Cleanup(pools.Close)
	engine := fetch.New(fetch.Config{Pools: pools, UserAgent: "test"})
	engine.Use(snapshot)
	i, err := newInterceptors(Config{Log: slog.New(slog.DiscardHandler), Engine: engine, Verifier: tokenIsName{}})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// seen is what a handler can learn of who calls.
type seen struct {
	name     string
	md       metadata.MD
	outgoing metadata.MD
	auth     credentials.AuthInfo
	header   http.Header
}

func look(ctx context.Context) (s seen) {
	s.name = callerOf(ctx).name
	s.md, _ = metadata.FromIncomingContext(ctx)
	s.outgoing, _ = metadata.FromOutgoingContext(ctx)
	if p, ok := peer.FromContext(ctx); ok {
		s.auth = p.AuthInfo
	}
	return s
}

// TestHandlersDoNotSeeTheProof: neither the token nor the certificate.
func TestHandlersDoNotSeeTheProof(t *testing.T) {
	i := pipeline(t)
	chain := []*x509.Certificate{{Raw: []byte("certificate")}}
	withTLS := credentials.TLSInfo{
		State:          tls.ConnectionState{PeerCertificates: chain, VerifiedChains: [][]*x509.Certificate{chain}},
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
	}
	ctx := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: withTLS})
	ctx = metadata.NewIncomingContext(ctx, metadata.Pairs(
		"authorization", "Basic s3cr3t", "fetchsvc-authorization", "Bearer billing", "traceparent", "00-1", "x-own", "1"))
	var unary, stream, rest seen
	_, err := i.unary(ctx, &fetchsvcv1.GetSnapshotRequest{}, &grpc.UnaryServerInfo{FullMethod: "/a/b"},
		func(ctx context.Context, _ any) (any, error) { unary = look(ctx); return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	err = i.stream(nil, contextStream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: "/a/b"},
		func(_ any, st grpc.ServerStream) error { stream = look(st.Context()); return nil })
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/v1/fetch", nil)
	r.Header = http.Header{
		"Authorization": {"Basic s3cr3t"}, "Fetchsvc-Authorization": {"Bearer billing"}, "Traceparent": {"00-1"},
		"Grpc-Metadata-Authorization": {"Bearer shipping"},
	}
	r.TLS = &withTLS.State
	i.knock(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		rest = look(serverContext(annotate(r)))
		rest.header = r.Header
	})).ServeHTTP(httptest.NewRecorder(), r)
	for door, got := range map[string]seen{"unary": unary, "stream": stream, "REST": rest} {
		if got.name != "billing" {
			t.Errorf("%s: the caller is %q, want billing", door, got.name)
		}
		for _, name := range proofNames {
			if len(got.md[name])+len(got.outgoing[name])+len(got.header.Values(name)) > 0 {
				t.Errorf("%s: the handler sees %s", door, name)
			}
		}
		if len(got.md["traceparent"]) != 1 {
			t.Errorf("%s: the metadata is %v, want the rest of it kept", door, got.md)
		}
		c, ok := got.auth.(*caller)
		if !ok || c.SecurityLevel != credentials.PrivacyAndIntegrity {
			t.Errorf("%s: the peer's AuthInfo is a %T, want the caller, over a private connection", door, got.auth)
		}
	}
}

type contextStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s contextStream) Context() context.Context { return s.ctx }

// TestNoHandlerRunsWithoutCaller: who comes around the interceptors gets nothing.
func TestNoHandlerRunsWithoutCaller(t *testing.T) {
	for name, ctx := range map[string]context.Context{
		"no peer":                   t.Context(),
		"a peer with a certificate": peer.NewContext(t.Context(), &peer.Peer{AuthInfo: credentials.TLSInfo{}}),
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("Fetch ran")
				}
			}()
			_, _ = (&fetchService{}).Fetch(ctx, &fetchsvcv1.FetchRequest{Url: "http://a.test/"})
		})
	}
}

// TestWithoutCallersNobodyIsAsked: then a header for something else is no fault.
func TestWithoutCallersNobodyIsAsked(t *testing.T) {
	i := pipeline(t)
	i.engine.Use(policy.DenyAll())
	i.verifier = identity.New(identity.Config{})
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Basic s3cr3t"))
	var got seen
	_, err := i.unary(ctx, &fetchsvcv1.GetSnapshotRequest{}, &grpc.UnaryServerInfo{FullMethod: "/a/b"},
		func(ctx context.Context, _ any) (any, error) { got = look(ctx); return nil, nil })
	if err != nil || got.name != anonymous || len(got.md["authorization"]) > 0 {
		t.Errorf("got %q with %v, %v; want anonymous without the header", got.name, got.md, err)
	}
}

// doorTLS is a TLS of a certificate for names.
func doorTLS(t *testing.T, names ...string) *TLS {
	t.Helper()
	cert, key := testpeer.PEM(t, testpeer.NewCA(t).Issue(testpeer.CertOpts{Names: names, IPs: []net.IP{net.IPv4(10, 1, 2, 3)}}))
	files := TLSFiles{Cert: filepath.Join(t.TempDir(), "cert"), Key: filepath.Join(t.TempDir(), "key"), Log: slog.New(slog.DiscardHandler)}
	for file, text := range map[string][]byte{files.Cert: cert, files.Key: key} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := NewTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestNamesOfTheDoor: which Host headers and origins are its own, where others than
// this machine reach it.
func TestNamesOfTheDoor(t *testing.T) {
	loopback, everywhere := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}, &net.TCPAddr{IP: net.IPv6unspecified, Port: 443}
	own := doorTLS(t, "fetchsvc.test", "*.cluster.test")
	for name, c := range map[string]struct {
		names  names
		tls    bool
		host   string
		origin string
		ok     bool
	}{
		"name of the certificate":             {names: namesOf(loopback, nil, own), tls: true, host: "fetchsvc.test:8080", ok: true},
		"the same by another port":            {names: namesOf(everywhere, nil, own), tls: true, host: "FetchSvc.test", ok: true},
		"one beneath the certificate's star":  {names: namesOf(everywhere, nil, own), tls: true, host: "a.cluster.test:1", ok: true},
		"two beneath it":                      {names: namesOf(everywhere, nil, own), tls: true, host: "a.b.cluster.test", ok: false},
		"address of the certificate":          {names: namesOf(loopback, nil, own), tls: true, host: "10.1.2.3:8080", ok: true},
		"address that is not":                 {names: namesOf(loopback, nil, own), tls: true, host: "10.1.2.4:8080", ok: false},
		"any address where all can come":      {names: namesOf(everywhere, nil, nil), host: "10.1.2.4:8080", ok: true},
		"any IPv6 address there":              {names: namesOf(everywhere, nil, nil), host: "[2001:db8::1]", ok: true},
		"localhost there is a name":           {names: namesOf(everywhere, nil, nil), host: "localhost", ok: false},
		"foreign name":                        {names: namesOf(everywhere, nil, own), tls: true, host: "evil.example", ok: false},
		"given name":                          {names: namesOf(everywhere, []string{"Fetchsvc.prod"}, nil), host: "fetchsvc.prod:80", ok: true},
		"given name on loopback":              {names: namesOf(loopback, []string{"fetchsvc.prod"}, nil), host: "fetchsvc.prod", ok: true},
		"beneath a given name":                {names: namesOf(everywhere, []string{"fetchsvc.prod"}, nil), host: "a.fetchsvc.prod", ok: false},
		"no host":                             {names: namesOf(everywhere, []string{"a"}, own), host: "", ok: false},
		"port alone":                          {names: namesOf(everywhere, []string{"a"}, own), host: ":443", ok: false},
		"own page over TLS":                   {names: namesOf(everywhere, nil, own), tls: true, host: "fetchsvc.test", origin: "https://fetchsvc.test", ok: true},
		"plaintext page of the same name":     {names: namesOf(everywhere, nil, own), tls: true, host: "fetchsvc.test", origin: "http://fetchsvc.test", ok: false},
		"other page over TLS":                 {names: namesOf(everywhere, nil, own), tls: true, host: "fetchsvc.test", origin: "https://evil.example", ok: false},
		"loopback without its port, over TLS": {names: namesOf(loopback, nil, doorTLS(t)), tls: true, host: "localhost", ok: false},
	} {
		r := httptest.NewRequest("POST", "/v1/fetch", nil)
		if r.Host = c.host; c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if err := c.names.check(r); (err == nil) != c.ok {
			t.Errorf("%s: %v, want allowed %v", name, err, c.ok)
		}
	}
}

// TestNewTLSRefuses: what cannot be used is said before anything listens, by the
// file's name, and never by what is in it.
func TestNewTLSRefuses(t *testing.T) {
	dir := t.TempDir()
	ca := testpeer.NewCA(t)
	cert, key := testpeer.PEM(t, ca.Issue(testpeer.CertOpts{}))
	_, other := testpeer.PEM(t, ca.Issue(testpeer.CertOpts{}))
	for name, text := range map[string][]byte{
		"cert": cert, "key": key, "other.key": other, "empty": {}, "ca": ca.PEM(), "text": []byte("s3cr3t"),
		"torn": append(ca.PEM(), "-----BEGIN CERTIFICATE-----\ns3cr3t"...),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ cert, key, ca, want string }{
		"good":                 {"cert", "key", "ca", ""},
		"no client authority":  {"cert", "key", "", ""},
		"no such certificate":  {"nowhere", "key", "", "nowhere"},
		"no such key":          {"cert", "nowhere", "", "nowhere"},
		"no such authority":    {"cert", "key", "nowhere", "nowhere"},
		"another's key":        {"cert", "other.key", "", "are no certificate and its key"},
		"certificate is a key": {"key", "key", "", "are no certificate and its key"},
		"key is text":          {"cert", "text", "", "are no certificate and its key"},
		"empty certificate":    {"empty", "key", "", "are no certificate and its key"},
		"authority is text":    {"cert", "key", "text", "text: it holds no certificate"},
		"authority is torn":    {"cert", "key", "torn", "torn: it is torn"},
		"empty authority":      {"cert", "key", "empty", "empty: it holds no certificate"},
	} {
		files := TLSFiles{Cert: filepath.Join(dir, c.cert), Key: filepath.Join(dir, c.key), Log: slog.New(slog.DiscardHandler)}
		if c.ca != "" {
			files.ClientCA = filepath.Join(dir, c.ca)
		}
		_, err := NewTLS(files)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cr3t")):
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}
