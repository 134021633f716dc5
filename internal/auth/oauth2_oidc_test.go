package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// oidcPeer is an oidc-provider, with the way to it that a system upstream is.
type oidcPeer struct {
	issuer string
	http.RoundTripper
}

// wire is net/http, as an engine without any guard. A client certificate is the
// system upstream's.
func wire(t *testing.T, roots *x509.CertPool, client ...tls.Certificate) http.RoundTripper {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: client}}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

const oidcClient, oidcSecret = "a client/1:2+3%", "s3cret-canary/+&%: {}|~" // what a form codes, and Basic parts

func newOIDC(t *testing.T) (peer oidcPeer, client tls.Certificate) {
	ca := testpeer.NewCA(t)
	peer.issuer = testpeer.OIDC(t, testpeer.OIDCOpts{
		Cert: ca.Issue(testpeer.CertOpts{}), ClientCA: ca,
		Clients: []map[string]any{
			{"client_id": oidcClient, "client_secret": oidcSecret, "token_endpoint_auth_method": "client_secret_basic"},
			{"client_id": "post", "client_secret": oidcSecret, "token_endpoint_auth_method": "client_secret_post"},
			{"client_id": "jwt", "token_endpoint_auth_method": "private_key_jwt", "jwks": map[string]any{"keys": []any{ecJWK()}}},
			{"client_id": "tls", "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "CN=fetchsvc"},
			{"client_id": "refresh", "token_endpoint_auth_method": "none", "grant_types": []string{"refresh_token"}},
		},
	})
	peer.RoundTripper = wire(t, ca.Pool())
	return peer, ca.Issue(testpeer.CertOpts{CommonName: "fetchsvc", Client: true})
}

// ecJWK is the public half of ecKey.
func ecJWK() map[string]any {
	point := made(ecKey().Public().(*ecdsa.PublicKey).Bytes())
	return map[string]any{"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "alg": "ES256",
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:])}
}

// ask sends a form to the peer, as the Basic client, and reads the answer.
func (p oidcPeer) ask(t *testing.T, path string, form url.Values) (status int, body []byte) {
	t.Helper()
	method := http.MethodPost
	if form == nil {
		method = http.MethodGet
	}
	r := made(http.NewRequestWithContext(context.Background(), method, p.issuer+path, strings.NewReader(form.Encode())))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(oidcClient), url.QueryEscape(oidcSecret))
	res, err := p.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	return res.StatusCode, made(io.ReadAll(res.Body))
}

// introspect is RFC 7662.
func (p oidcPeer) introspect(t *testing.T, authorization string) (token struct {
	Active bool
	Client string `json:"client_id"`
	Scope  string
	Aud    any
}) {
	t.Helper()
	status, body := p.ask(t, "/token/introspection", url.Values{"token": {strings.TrimPrefix(authorization, "Bearer ")}})
	if status != 200 || json.Unmarshal(body, &token) != nil {
		t.Fatalf("introspection answered %d", status)
	}
	return token
}

// TestOIDC: oidc-provider and we understand each other.
func TestOIDC(t *testing.T) {
	peer, certificate := newOIDC(t)
	t.Run("clients", func(t *testing.T) { testOIDCClients(t, peer, certificate) })
	t.Run("errors", func(t *testing.T) { testOIDCErrors(t, peer) })
	t.Run("revocation", func(t *testing.T) { testOIDCRevocation(t, peer) })
	t.Run("rotation", func(t *testing.T) { testOIDCRotation(t, peer) })
}

// testOIDCClients: the server takes each way of ours to prove who we are.
func testOIDCClients(t *testing.T, peer oidcPeer, certificate tls.Certificate) {
	secrets := secretsOf().with("OIDC", oidcSecret).with("KEY", keyPEM(t, ecKey()))
	key := policy.SigningKey{Key: "env:KEY", KeyID: "k1"}
	ca := peer.RoundTripper.(*http.Transport).TLSClientConfig.RootCAs
	tests := []struct {
		id, auth string
		scheme   policy.OAuth2
		way      http.RoundTripper
		refused  bool
	}{
		{id: oidcClient, auth: policy.ClientSecretBasic, scheme: policy.OAuth2{ClientSecret: "env:OIDC"}},
		{id: "post", auth: policy.ClientSecretPost, scheme: policy.OAuth2{ClientSecret: "env:OIDC"}},
		{id: "jwt", auth: policy.PrivateKeyJWT, scheme: policy.OAuth2{ClientKey: key, ClientAssertion: peer.issuer}},
		{id: "jwt", auth: policy.PrivateKeyJWT, scheme: policy.OAuth2{ClientKey: key, ClientAssertion: "https://other.example"}, refused: true},
		{id: "tls", auth: policy.TLSClientAuth, way: wire(t, ca, certificate)},
		{id: "tls", auth: policy.TLSClientAuth, refused: true},
		{id: oidcClient, auth: policy.ClientSecretBasic, scheme: policy.OAuth2{ClientSecret: "env:REFRESH"}, refused: true},
	}
	for _, tt := range tests {
		t.Run(tt.auth, func(t *testing.T) {
			s := tt.scheme
			s.ClientID, s.ClientAuth, s.TokenURL = tt.id, tt.auth, tokenURL(t, peer.issuer+"/token")
			s.Scopes, s.Resource = []string{"read", "write"}, []string{"https://api.example/"}
			if tt.way == nil {
				tt.way = peer
			}
			c := secrets.credential(t, tt.way, s)
			if tt.refused {
				c.fails("(invalid_client)")
				return
			}
			_, authorization, err := c.call(t.Context(), "")
			if err != nil {
				t.Fatalf("%v\n%s", err, c.log)
			}
			if got := peer.introspect(t, authorization); !got.Active || got.Client != tt.id || got.Scope != "read write" || got.Aud != "https://api.example/" {
				t.Errorf("the server says of the token: %+v", got)
			}
		})
	}
}

// testOIDCErrors: what the server says reaches the caller by its code alone.
func testOIDCErrors(t *testing.T, peer oidcPeer) {
	for _, tt := range []struct {
		name, code string
		change     func(*policy.OAuth2)
	}{
		{"a resource that is no URI", "invalid_target", func(s *policy.OAuth2) { s.Resource = []string{"no-uri"} }},
		{"a grant that is not the client's", "invalid_request", func(s *policy.OAuth2) { s.Grant, s.Refresh.Token = policy.GrantRefresh, "env:REFRESH" }},
		{"a client that is none", "invalid_client", func(s *policy.OAuth2) { s.ClientID = "nobody" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := policy.OAuth2{ClientID: oidcClient, ClientSecret: "env:OIDC", TokenURL: tokenURL(t, peer.issuer+"/token")}
			tt.change(&s)
			c := secretsOf().with("OIDC", oidcSecret).credential(t, peer, s)
			c.fails("(" + tt.code + ")")
			c.hidden(c.log.String())
		})
	}
}

// testOIDCRevocation: a token that was revoked is refused by the resource, and the
// call goes on with another.
func testOIDCRevocation(t *testing.T, peer oidcPeer) {
	c := secretsOf().with("OIDC", oidcSecret).credential(t, peer, policy.OAuth2{
		ClientID: oidcClient, ClientSecret: "env:OIDC", TokenURL: tokenURL(t, peer.issuer+"/token"),
	})
	resource := func(authorization string) *http.Response {
		if !peer.introspect(t, authorization).Active {
			return answered(403, "", `WWW-Authenticate: Bearer realm="api", error="invalid_token"`)
		}
		return answered(200, "")
	}
	o, first, err := c.call(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Answered(t.Context(), o, resource(first)).Again {
		t.Error("a good token counts as refused")
	}
	if status, _ := peer.ask(t, "/token/revocation", url.Values{"token": {strings.TrimPrefix(first, "Bearer ")}}); status != 200 {
		t.Fatalf("revocation answered %d", status)
	}
	if o, again, err := c.call(t.Context(), ""); err != nil || again != first || !c.Answered(t.Context(), o, resource(again)).Again {
		t.Errorf("a revoked token is not taken out of use, %v", err)
	}
	if _, second, err := c.call(t.Context(), ""); err != nil || second == first || resource(second).StatusCode != 200 {
		t.Errorf("there is no other token, %v", err)
	}
}

// testOIDCRotation: refresh tokens of a server that ends the line when one comes
// twice; over restarts.
func testOIDCRotation(t *testing.T, peer oidcPeer) {
	_, first := peer.ask(t, "/mint?client_id=refresh", nil)
	secrets := secretsOf().with("REFRESH", string(first))
	s := refreshing(filepath.Join(t.TempDir(), "state"))
	s.ClientID, s.TokenURL = "refresh", tokenURL(t, peer.issuer+"/token")
	var seen, kept []string
	for range 3 { // restarts
		c := secrets.credential(t, peer, s)
		for range 2 {
			_, token, err := c.call(t.Context(), "")
			if err != nil {
				t.Fatalf("%v\n%s", err, c.log)
			}
			seen, kept = append(seen, token), append(kept, stateOf(t, s.Refresh.StateFile).Token)
			c.Signer.(*oauth2).one.rest()
			c.Signer.(*oauth2).one.current.Store(nil)
		}
		c.keep.Close()
	}
	for _, all := range [][]string{seen, append(kept, string(first))} {
		if slices.Sort(all); len(slices.Compact(all)) != len(all) {
			t.Error("a token came twice")
		}
	}
	// Without the file the first token would have come again, and that is the end.
	s.Refresh.StateFile = ""
	secrets.credential(t, peer, s).fails("(invalid_grant)")
	s.Refresh.StateFile = filepath.Join(t.TempDir(), "none")
	_, _, err := secrets.credential(t, peer, s).call(t.Context(), "")
	if f := fault.From(err); !errors.Is(err, fault.CredentialUnavailable) || !strings.Contains(f.Message, "(invalid_grant)") {
		t.Errorf("got %v", err)
	}
}
