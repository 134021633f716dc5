package docs_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func oauthCases() []credentialCase {
	const idp, api = "idp.partner.example", "https://api.partner.example/orders"
	issue := func(host string, access ...string) map[string]http.HandlerFunc {
		return map[string]http.HandlerFunc{host: tokens(access)}
	}
	return []credentialCase{
		{
			heading: "By a secret", answers: issue(idp, "access-token-1"), calls: []string{get(api), get(api)},
			look: func(r *credentialRun) {
				asked := r.tokenRequest(idp, map[string]string{
					"grant_type": "client_credentials", "scope": "orders.read orders.write", "audience": "https://api.partner.example"})
				if got, want := asked.Header.Get("Authorization"), basicOf("fetchsvc", r.values["file:secrets/partner"]); got != want {
					r.Errorf("the client proves itself by %q, want %q", got, want)
				}
				r.bearers("api.partner.example", "access-token-1", "access-token-1")
			},
		},
		{
			heading: "By a key", answers: issue(idp, "access-token-1"), calls: []string{get(api)},
			look: func(r *credentialRun) {
				asked := r.tokenRequest(idp, map[string]string{"grant_type": "client_credentials", "scope": "orders.read",
					"client_id": "fetchsvc", "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"})
				r.assertion(asked.form().Get("client_assertion"), "ES256", "2026-11", "partner.key",
					map[string]any{"iss": "fetchsvc", "sub": "fetchsvc", "aud": "https://" + idp + "/oauth2/token"})
				r.bearers("api.partner.example", "access-token-1")
			},
		},
		{
			heading: "By a certificate", answers: issue("mtls.partner.example", "access-token-1"), calls: []string{get(api)},
			look: func(r *credentialRun) {
				asked := r.tokenRequest("mtls.partner.example", map[string]string{"grant_type": "client_credentials", "client_id": "fetchsvc"})
				if asked.presented != "fetchsvc" {
					r.Errorf("the token endpoint was shown the certificate of %q, want fetchsvc's", asked.presented)
				}
				if got := r.net.to("api.partner.example")[0].presented; got != "" {
					r.Errorf("the API was shown the certificate of %q, want none", got)
				}
				r.bearers("api.partner.example", "access-token-1")
			},
		},
		refreshCase(),
		exchangeCase(),
		{
			heading: "A signed assertion", answers: issue(idp, "access-token-1"), calls: []string{get("https://ledger.partner.example/")},
			look: func(r *credentialRun) {
				asked := r.tokenRequest(idp, map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"})
				r.assertion(asked.form().Get("assertion"), "ES256", "", "partner.key", map[string]any{
					"iss": "fetchsvc", "sub": "orders@acme.example", "aud": "https://" + idp + "/oauth2/token", "tenant": "acme"})
				r.bearers("ledger.partner.example", "access-token-1")
			},
		},
		googleCase(),
	}
}

// tokenRequest is the only one that host got, with these members.
func (r *credentialRun) tokenRequest(host string, members map[string]string) arrival {
	r.Helper()
	asked := r.net.to(host)
	if len(asked) != 1 {
		r.Fatalf("%s got %d requests for a token, want one", host, len(asked))
	}
	form := asked[0].form()
	for name, want := range members {
		if form.Get(name) != want {
			r.Errorf("%s got %s %q, want %q", host, name, form.Get(name), want)
		}
	}
	return asked[0]
}

// assertion verifies one by the key in a file.
func (r *credentialRun) assertion(text, algorithm, keyID, file string, claims map[string]any) {
	r.Helper()
	block, _ := pem.Decode([]byte(r.values["file:"+file]))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		r.Fatal(err)
	}
	r.verified(text, algorithm, keyID, key.(*ecdsa.PrivateKey).Public(), claims)
}

func (r *credentialRun) verified(text, algorithm, keyID string, public any, claims map[string]any) {
	r.Helper()
	token, err := jwt.Parse(text, func(*jwt.Token) (any, error) { return public, nil }, jwt.WithValidMethods([]string{algorithm}), jwt.WithExpirationRequired())
	if err != nil {
		r.Errorf("the assertion: %v", err)
		return
	}
	if got, _ := token.Header["kid"].(string); got != keyID {
		r.Errorf("the assertion's kid is %q, want %q", got, keyID)
	}
	for name, want := range claims {
		if got := token.Claims.(jwt.MapClaims)[name]; got != want {
			r.Errorf("the assertion's %s is %v, want %v", name, got, want)
		}
	}
}

// refreshCase has a server that issues a new refresh token with each access token,
// of which the first is refused by the API.
func refreshCase() credentialCase {
	const idp, api = "idp.partner.example", "calendar.partner.example"
	return credentialCase{
		heading: "A refresh token",
		answers: map[string]http.HandlerFunc{
			idp: tokens([]string{"access-token-1", "access-token-2"}, "refresh-token-1", "refresh-token-2"),
			api: func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == "Bearer access-token-1" {
					w.WriteHeader(http.StatusUnauthorized)
				}
			},
		},
		calls: []string{get("https://" + api + "/")},
		look: func(r *credentialRun) {
			r.bearers(api, "access-token-1", "access-token-2")
			var sent []string
			for _, a := range r.net.to(idp) {
				sent = append(sent, a.form().Get("grant_type")+" "+a.form().Get("refresh_token"))
			}
			if len(sent) != 2 || sent[0] != "refresh_token "+r.values["file:secrets/calendar"] || sent[1] != "refresh_token refresh-token-1" {
				r.Errorf("the server was sent %q", sent)
			}
			if got := r.answers[0].Attempts; len(got) != 2 || got[1].Reason != "CHALLENGE" {
				r.Errorf("the ledger has %+v, want a challenge", got)
			}
			var state struct {
				Token string `json:"refresh_token"`
			}
			data, err := os.ReadFile(r.file("calendar.state"))
			if err != nil || json.Unmarshal(data, &state) != nil || state.Token != "refresh-token-2" {
				r.Errorf("the state file has %s, %v", data, err)
			}
		},
	}
}

// exchangeCase is a caller with a token.
func exchangeCase() credentialCase {
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	return credentialCase{
		heading: "On behalf of the caller",
		answers: map[string]http.HandlerFunc{"idp.corp.example": func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				tokens([]string{"access-token-of-shop"})(w, r)
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]any{
				"kty": "OKP", "crv": "Ed25519", "kid": "1", "alg": "EdDSA", "use": "sig", "x": base64.RawURLEncoding.EncodeToString(public),
			}}})
		}},
		as: func(r *credentialRun) string {
			token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
				"iss": "https://idp.corp.example", "aud": "fetchsvc", "sub": "shop", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()})
			token.Header["kid"] = "1"
			text, err := token.SignedString(private)
			if err != nil {
				r.Fatal(err)
			}
			r.net.issued = append(r.net.issued, text)
			return text
		},
		calls: []string{get("https://orders.corp.example/"), get("https://orders.corp.example/")},
		look: func(r *credentialRun) {
			var exchanges []arrival
			for _, a := range r.net.to("idp.corp.example") {
				if a.Method == http.MethodPost {
					exchanges = append(exchanges, a)
				}
			}
			if len(exchanges) != 1 {
				r.Fatalf("there were %d exchanges, want one", len(exchanges))
			}
			form := exchanges[0].form()
			if form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange" || form.Get("subject_token") != r.net.issued[0] ||
				form.Get("subject_token_type") != "urn:ietf:params:oauth:token-type:jwt" || form.Get("audience") != "https://orders.corp.example" {
				r.Errorf("the exchange was %v", form)
			}
			r.bearers("orders.corp.example", "access-token-of-shop", "access-token-of-shop")
		},
	}
}

// googleCase has a key file whose token_uri leads astray.
func googleCase() credentialCase {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, _ := x509.MarshalPKCS8PrivateKey(key)
	file, _ := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "reader@acme.iam.gserviceaccount.com", "private_key_id": "k1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": "https://elsewhere.example/token",
	})
	return credentialCase{
		heading: "Google",
		values:  map[string]string{"file:secrets/google.json": string(file)},
		answers: map[string]http.HandlerFunc{"oauth2.googleapis.com": tokens([]string{"ya29.access-token"})},
		calls:   []string{get("https://storage.googleapis.com/storage/v1/b")},
		look: func(r *credentialRun) {
			asked := r.tokenRequest("oauth2.googleapis.com", map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"})
			r.verified(asked.form().Get("assertion"), "RS256", "k1", key.Public(), map[string]any{
				"iss": "reader@acme.iam.gserviceaccount.com", "aud": "https://oauth2.googleapis.com/token", "scope": "https://www.googleapis.com/auth/devstorage.read_only"})
			r.bearers("storage.googleapis.com", "ya29.access-token")
			if n := len(r.net.to("elsewhere.example")); n > 0 {
				r.Errorf("the file's token_uri was called %d times", n)
			}
		},
	}
}
