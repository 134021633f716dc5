package contract

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// keyOf are API keys.
var keyOf = map[string]string{
	"billing":      "billing-key-canary-0123456789abcdef",
	"billing next": "billing-next-canary-0123456789abcdef",
	"shipping":     "shipping-key-canary-0123456789abcdef",
}

// callerSecrets are what is kept of them.
func callerSecrets(name string) (string, bool) {
	for caller, key := range keyOf {
		if name == strings.ToUpper(strings.ReplaceAll(caller, " ", "_")) {
			sum := sha256.Sum256([]byte(key))
			return hex.EncodeToString(sum[:]), true
		}
	}
	return "", false
}

const staffText = `
upstreams:
  - name: staff
    hosts: ["staff.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    allow: {callers: [billing]}
callers:
  - name: billing
    api_key: {secret: env:BILLING}
    next_api_key: {secret: env:BILLING_NEXT}
    dns_names: [billing.callers.test]
  - name: shipping
    api_key: {secret: env:SHIPPING}
    dns_names: [shipping.callers.test]
  - name: reports
    jwt: [{issuer: corp, claims: {sub: reports}}]
issuers:
  - name: corp
    issuer: https://login.corp.test
    audiences: [fetchsvc]
    jwks_url: {jwks}
    unsafe_allow_addresses: [127.0.0.0/8]
    unsafe_plain_http: true
`

// signer makes tokens (JWT) as an issuer does.
type signer struct{ key ed25519.PrivateKey }

func newSigner(t *testing.T) signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key}
}

// jwks serves the public key (RFC 8037).
func (s signer) jwks(t *testing.T) (url string) {
	t.Helper()
	public := s.key.Public().(ed25519.PublicKey)
	return testpeer.HTTP(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public))
	})) + "/jwks"
}

// token is one for sub, good for an hour; more replaces its claims.
func (s signer) token(t *testing.T, sub string, more map[string]any) string {
	t.Helper()
	claims := map[string]any{"iss": "https://login.corp.test", "aud": "fetchsvc", "sub": sub, "exp": time.Now().Add(time.Hour).Unix()}
	for name, value := range more {
		claims[name] = value
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","typ":"JWT","kid":"1"}`)) + "." + base64.RawURLEncoding.EncodeToString(text)
	return signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(s.key, []byte(signed)))
}
