package identity_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/identity"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// idp is an issuer whose keys are behind TLS of an authority of its own.
type idp struct {
	*httptest.Server
	key *ecdsa.PrivateKey

	mu    sync.Mutex
	calls []*http.Request
	reply func(w http.ResponseWriter)
}

func newIDP(t *testing.T, ca *testpeer.CA) *idp {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &idp{key: key}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.calls = append(p.calls, r)
		if p.reply != nil {
			p.reply(w)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=300")
		point, _ := key.PublicKey.Bytes()
		b64 := base64.RawURLEncoding.EncodeToString
		fmt.Fprintf(w, `{"keys":[{"kty":"EC","crv":"P-256","kid":"k","x":%q,"y":%q}]}`, b64(point[1:33]), b64(point[33:]))
	}))
	p.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue(testpeer.CertOpts{})}}
	p.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are meant
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

func (p *idp) token(t *testing.T) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": "https://idp.example.com", "aud": "fetchsvc", "sub": "billing", "exp": time.Now().Add(time.Hour).Unix(),
	})
	token.Header["kid"] = "k"
	text, err := token.SignedString(p.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

const issuerPolicy = `
issuers:
  - name: corp
    issuer: https://idp.example.com
    audiences: [fetchsvc]
    jwks_url: %s/keys
    unsafe_allow_addresses: [%s]
callers:
  - {name: billing, jwt: [{issuer: corp, claims: {sub: billing}}]}
upstreams:
  - {name: all, hosts: ["*", "*:*"]}
`

// newService has the engine fetch the keys, as the service does.
func newService(t *testing.T, ca *testpeer.CA, text string) (*identity.Verifier, *fetch.Engine, *policy.Snapshot) {
	t.Helper()
	s, err := policy.Parse("policy.yaml", []byte(text), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pools := egress.NewPools(egress.Config{RootCAs: ca.Pool()})
	t.Cleanup(pools.Close)
	engine := fetch.New(fetch.Config{Pools: pools, UserAgent: "fetchsvc/test"})
	v := identity.New(identity.Config{Fetcher: identity.FetcherFunc(
		func(ctx context.Context, i *policy.Issuer) ([]byte, time.Duration, error) {
			return engine.Document(ctx, i.Upstream, i.JWKS)
		})})
	t.Cleanup(v.Close)
	engine.Use(s)
	v.Use(s)
	return v, engine, s
}

func TestKeysOverTheWire(t *testing.T) {
	ca := testpeer.NewCA(t)
	p := newIDP(t, ca)
	v, engine, s := newService(t, ca, fmt.Sprintf(issuerPolicy, p.URL, "127.0.0.0/8"))
	for range 3 {
		id, err := v.Verify(t.Context(), identity.Proof{Token: p.token(t)})
		if err != nil || id.Caller != "billing" || id.How != identity.ByJWT {
			t.Fatalf("Verify gives %v, %v", id, err)
		}
	}
	if len(p.calls) != 1 || p.calls[0].URL.Path != "/keys" || p.calls[0].Header.Get("User-Agent") != "fetchsvc/test" {
		t.Errorf("the keys were asked for %d times, want once: %v", len(p.calls), p.calls)
	}
	if s.Upstreams[0].Name != "all" || len(s.Upstreams) != 1 {
		t.Error("the system upstream is among the others")
	}
	// No caller gets where the keys are: the opening is the issuer's alone.
	_, err := engine.Do(t.Context(), &fetch.Request{Caller: "billing", Method: "GET", URL: s.Proofs.Issuers[0].JWKS, Header: http.Header{}})
	if !errors.Is(err, fault.AddressDenied) {
		t.Errorf("a caller's call of the keys gives %v, want AddressDenied", err)
	}
}

// TestKeysThatMustNotBeFetched holds that every guard of other calls is one of these.
func TestKeysThatMustNotBeFetched(t *testing.T) {
	ca, stranger := testpeer.NewCA(t), testpeer.NewCA(t)
	elsewhere := newIDP(t, ca)
	tests := []struct {
		name  string
		ca    *testpeer.CA
		allow string
		reply func(http.ResponseWriter)
		want  string
	}{
		{"private address", ca, "10.0.0.0/8", nil, "ADDRESS_DENIED"},
		{"stranger's certificate", stranger, "127.0.0.0/8", nil, "TLS_CERT_UNTRUSTED"},
		{"redirect", ca, "127.0.0.0/8", func(w http.ResponseWriter) {
			w.Header().Set("Location", elsewhere.URL+"/keys")
			w.WriteHeader(http.StatusFound)
		}, "answered 302"},
		{"error", ca, "127.0.0.0/8", func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }, "answered 500"},
		{"flood", ca, "127.0.0.0/8", func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, 300<<10)) }, "RESPONSE_TOO_LARGE"},
		{"page", ca, "127.0.0.0/8", func(w http.ResponseWriter) { fmt.Fprint(w, "<html>") }, "the set cannot be read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newIDP(t, tt.ca)
			p.reply = tt.reply
			v, _, _ := newService(t, ca, fmt.Sprintf(issuerPolicy, p.URL, tt.allow))
			_, err := v.Verify(t.Context(), identity.Proof{Token: p.token(t)})
			if !errors.Is(err, fault.Overloaded) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Verify gives %v, want Overloaded by %q", err, tt.want)
			}
		})
	}
	if len(elsewhere.calls) > 0 {
		t.Error("a redirect of keys was followed")
	}
}

// TestSystemCalls holds them to their origin and their method.
func TestSystemCalls(t *testing.T) {
	ca := testpeer.NewCA(t)
	p, other := newIDP(t, ca), newIDP(t, ca)
	_, engine, s := newService(t, ca, fmt.Sprintf(issuerPolicy, p.URL, "127.0.0.0/8"))
	_, _, elsewhere := newService(t, ca, fmt.Sprintf(issuerPolicy, other.URL, "127.0.0.0/8"))
	here, there := s.Proofs.Issuers[0].JWKS, elsewhere.Proofs.Issuers[0].JWKS
	request := func(method string) *fetch.Request {
		return &fetch.Request{Caller: "billing", Method: method, URL: here, Header: http.Header{}}
	}
	res, err := engine.DoSystem(t.Context(), "system.corp", request("GET"))
	if err != nil || res.Status != 200 || res.Upstream != "system.corp" || len(res.Attempts) != 1 {
		t.Errorf("DoSystem gives %+v, %v", res, err)
	}
	away := request("GET")
	away.URL = there
	for name, call := range map[string]func() (*fetch.Response, error){
		"another method":   func() (*fetch.Response, error) { return engine.DoSystem(t.Context(), "system.corp", request("POST")) },
		"another origin":   func() (*fetch.Response, error) { return engine.DoSystem(t.Context(), "system.corp", away) },
		"another upstream": func() (*fetch.Response, error) { return engine.DoSystem(t.Context(), "system.other", request("GET")) },
		"a caller's own":   func() (*fetch.Response, error) { return engine.DoSystem(t.Context(), "all", request("GET")) },
	} {
		if _, err := call(); !errors.Is(err, fault.PolicyDenied) {
			t.Errorf("%s: DoSystem gives %v, want PolicyDenied", name, err)
		}
	}
}
