package auth

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestFosite: ory/fosite and we understand each other: clients, assertions (RFC
// 7523), rotation with the end of a line whose token comes twice, and tokens that end
// and are revoked.
func TestFosite(t *testing.T) {
	const id, password = "a client", "s3cret-canary/+ &ü"
	base := testpeer.Fosite(t, testpeer.FositeOpts{
		Clients: []testpeer.FositeClient{
			{ID: id, Secret: password, Auth: "client_secret_basic"},
			{ID: "post", Secret: password, Auth: "client_secret_post"},
			{ID: "jwt", Auth: "private_key_jwt", JWK: ecJWK()},
			{ID: "public", Auth: "none"},
		},
		Issuer: "https://fetchsvc.example", Subject: "user@example.com", JWK: ecJWK(),
	})
	way := wire(t, nil)
	secrets := secretsOf().with("KEY", keyPEM(t, ecKey()))
	scheme := func(clientID, clientAuth string) policy.OAuth2 {
		s := policy.OAuth2{ClientID: clientID, ClientAuth: clientAuth, TokenURL: tokenURL(t, base+"/token"), Scopes: []string{"read"}, ClientAssertion: base + "/token"}
		if strings.HasPrefix(clientAuth, "client_secret") {
			s.ClientSecret = "env:SECRET"
		}
		s.ClientKey = policy.SigningKey{Key: "env:KEY", KeyID: "k1"}
		return s
	}
	post := func(path string, form url.Values) []byte {
		t.Helper()
		r := made(http.NewRequestWithContext(t.Context(), http.MethodPost, base+path, strings.NewReader(form.Encode())))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(password))
		return body(t, way, r)
	}
	type known struct {
		Active bool
		Client string `json:"client_id"`
		Scope  string
		Sub    string
	}
	introspect := func(authorization string) (k known) {
		t.Helper()
		if err := json.Unmarshal(post("/introspect", url.Values{"token": {strings.TrimPrefix(authorization, "Bearer ")}}), &k); err != nil {
			t.Fatal(err)
		}
		return k
	}
	signed := func(t *testing.T, c *credential) string {
		t.Helper()
		_, authorization, err := c.call(t.Context(), "")
		if err != nil {
			t.Fatalf("%v\n%s", err, c.log)
		}
		return authorization
	}

	for clientAuth, clientID := range map[string]string{policy.ClientSecretBasic: id, policy.ClientSecretPost: "post", policy.PrivateKeyJWT: "jwt"} {
		t.Run(clientAuth, func(t *testing.T) {
			if got := introspect(signed(t, secrets.credential(t, way, scheme(clientID, clientAuth)))); got != (known{Active: true, Client: clientID, Scope: "read"}) {
				t.Errorf("the server says of the token: %+v", got)
			}
		})
	}
	t.Run("jwt_bearer", func(t *testing.T) {
		s := scheme(id, policy.ClientSecretBasic)
		s.Grant, s.Assertion = policy.GrantAssertion, policy.AssertionGrant{
			Key: s.ClientKey, Issuer: "https://fetchsvc.example", Subject: "user@example.com", Audience: base + "/token", Lifetime: time.Minute,
		}
		if got := introspect(signed(t, secrets.credential(t, way, s))); got != (known{true, id, "read", "user@example.com"}) {
			t.Errorf("the server says of the token: %+v", got)
		}
		s.Assertion.Subject = "another@example.com"
		secrets.credential(t, way, s).fails("(invalid_grant)")
	})
	t.Run("errors", func(t *testing.T) {
		s := scheme(id, policy.ClientSecretBasic)
		s.Scopes = []string{"admin"}
		secrets.credential(t, way, s).fails("(invalid_scope)")
		s = scheme(id, policy.ClientSecretBasic)
		s.ClientSecret = "env:REFRESH"
		secrets.credential(t, way, s).fails("(invalid_client)")
		s = scheme(id, policy.ClientSecretBasic)
		s.Audience = []string{"https://other.example"}
		secrets.credential(t, way, s).fails("(invalid_request)")
	})
	t.Run("revocation", func(t *testing.T) {
		c := secrets.credential(t, way, scheme(id, policy.ClientSecretBasic))
		first := signed(t, c)
		post("/revoke", url.Values{"token": {strings.TrimPrefix(first, "Bearer ")}})
		if introspect(first).Active {
			t.Fatal("the token is still good")
		}
		o, _, _ := c.call(t.Context(), "")
		if !c.Answered(t.Context(), o, &http.Response{StatusCode: 401}).Again || !introspect(signed(t, c)).Active {
			t.Error("no other token comes")
		}
	})
	t.Run("rotation", func(t *testing.T) {
		first := body(t, way, made(http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/mint?client_id="+url.QueryEscape(id), nil)))
		secrets.with("REFRESH", string(first))
		s := scheme(id, policy.ClientSecretBasic)
		s.Grant, s.Scopes, s.Refresh = policy.GrantRefresh, nil, policy.RefreshGrant{Token: "env:REFRESH", StateFile: filepath.Join(t.TempDir(), "state")}
		last := ""
		for range 3 { // restarts
			if last = signed(t, secrets.credential(t, way, s)); !introspect(last).Active {
				t.Error("a token is no good")
			}
		}
		s.Refresh.StateFile = ""
		secrets.credential(t, way, s).fails("(invalid_grant)")
		if introspect(last).Active {
			t.Error("the first refresh token came twice, and the server lets the line go on: it does not rotate as it should for this test")
		}
	})
}

func body(t *testing.T, way http.RoundTripper, r *http.Request) []byte {
	t.Helper()
	res, err := way.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	return made(io.ReadAll(res.Body))
}
