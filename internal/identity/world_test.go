package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

func TestMain(m *testing.M) { testpeer.Main(m) }

// signer is one private key of an issuer. It makes signatures with the standard
// library alone, so that what verifies them is not what made them.
type signer struct {
	kid string
	key crypto.Signer
}

var (
	rsaKey = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey  = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	edKey  = sync.OnceValue(func() crypto.Signer { _, key, err := ed25519.GenerateKey(rand.Reader); return must(key, err) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// jwk is the public key as an issuer publishes it.
func (s signer) jwk() map[string]any {
	out := map[string]any{"use": "sig"}
	if s.kid != "" {
		out["kid"] = s.kid
	}
	switch public := s.key.Public().(type) {
	case *rsa.PublicKey:
		out["kty"], out["n"], out["e"] = "RSA", b64(public.N.Bytes()), b64(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		point := must(public.Bytes())
		half := (len(point) - 1) / 2
		out["kty"], out["crv"] = "EC", public.Params().Name
		out["x"], out["y"] = b64(point[1:1+half]), b64(point[1+half:])
	case ed25519.PublicKey:
		out["kty"], out["crv"], out["x"] = "OKP", "Ed25519", b64(public)
	}
	return out
}

func jwks(signers ...signer) []byte {
	keys := []any{}
	for _, s := range signers {
		keys = append(keys, s.jwk())
	}
	return must(json.Marshal(map[string]any{"keys": keys}))
}

// raw signs a header and claims as they are written.
func (s signer) raw(alg, header, claims string) string {
	signed := b64([]byte(header)) + "." + b64([]byte(claims))
	sum := sha256.Sum256([]byte(signed))
	var signature []byte
	switch alg {
	case "RS256":
		signature = must(s.key.Sign(rand.Reader, sum[:], crypto.SHA256))
	case "PS256":
		signature = must(s.key.Sign(rand.Reader, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}))
	case "ES256":
		r, v, err := ecdsa.Sign(rand.Reader, s.key.(*ecdsa.PrivateKey), sum[:])
		must(r, err)
		signature = append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...)
	case "EdDSA":
		signature = must(s.key.Sign(rand.Reader, []byte(signed), crypto.Hash(0)))
	case "none":
		return signed + "."
	}
	return signed + "." + b64(signature)
}

// hmacOf signs with a public key as if it were a shared one.
func hmacOf(secret []byte, header, claims string) string {
	signed := b64([]byte(header)) + "." + b64([]byte(claims))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + b64(mac.Sum(nil))
}

// token makes a good token of issuer corp, changed by edits: name, value pairs; a
// nil value takes the claim out.
func (s signer) token(alg string, edits ...any) string {
	header := map[string]any{"alg": alg, "typ": "JWT"}
	if s.kid != "" {
		header["kid"] = s.kid
	}
	return s.raw(alg, string(must(json.Marshal(header))), claims(edits...))
}

func claims(edits ...any) string {
	now := time.Now()
	out := map[string]any{
		"iss": "https://idp.example.com", "aud": "fetchsvc", "sub": "billing",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	for i := 0; i < len(edits); i += 2 {
		if out[edits[i].(string)] = edits[i+1]; edits[i+1] == nil {
			delete(out, edits[i].(string))
		}
	}
	return string(must(json.Marshal(out)))
}

// server is an issuer's key server in memory.
type server struct {
	mu     sync.Mutex
	body   []byte
	maxAge time.Duration
	err    error
	calls  int
	hold   chan struct{} // nil: answers at once
}

func (s *server) Get(ctx context.Context, _ *policy.Issuer) ([]byte, time.Duration, error) {
	s.mu.Lock()
	hold := s.hold
	s.calls++
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.body, s.maxAge, s.err
}

func (s *server) set(body []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body, s.err = body, err
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// vault is secrets that can be changed.
type vault struct {
	mu     sync.Mutex
	values map[string]string
}

func (v *vault) Get(ref string) (secret.Value, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	text, ok := v.values[ref]
	if !ok {
		return secret.Value{}, fmt.Errorf("secret %s: it is not there", ref)
	}
	return secret.NewValue(text), nil
}

func (v *vault) set(ref, text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.values[ref] = text
}

func hashed(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

const corp = `
issuers:
  - name: corp
    issuer: https://idp.example.com
    audiences: [fetchsvc, https://fetchsvc.example.com]
    jwks_url: https://idp.example.com/keys
`

const jwtPolicy = corp + `
callers:
  - {name: billing, jwt: [{issuer: corp, claims: {sub: billing}}]}
  - {name: ci, jwt: [{issuer: corp, claims: {sub: "ci-*"}}]}
  - {name: ci-deploy, jwt: [{issuer: corp, claims: {sub: "ci-deploy-*"}}]}
  - {name: pay, jwt: [{issuer: corp, claims: {realm.team: payments}}]}
`

func snapshot(t testing.TB, text string) *policy.Snapshot {
	t.Helper()
	s, err := policy.Parse("policy.yaml", []byte(text), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newVerifier(t testing.TB, text string, secrets Secrets, fetcher Fetcher) *Verifier {
	t.Helper()
	v := New(Config{Secrets: secrets, Fetcher: fetcher})
	t.Cleanup(v.Close)
	v.Use(snapshot(t, text))
	return v
}

// expect asks for a caller, or for a refusal whose message has words in it.
func expect(t testing.TB, v *Verifier, p Proof, caller, words string) Identity {
	t.Helper()
	id, err := v.Verify(t.Context(), p)
	switch {
	case words == "" && err != nil:
		t.Errorf("Verify fails: %v, want caller %q", err, caller)
	case words == "" && id.Caller != caller:
		t.Errorf("Verify gives caller %q, want %q", id.Caller, caller)
	case words != "" && !errors.Is(err, fault.Unauthenticated):
		t.Errorf("Verify gives %q and %v, want Unauthenticated with %q", id.Caller, err, words)
	case words != "" && !strings.Contains(fault.From(err).Message, words):
		t.Errorf("Verify says %q, want words %q", fault.From(err).Message, words)
	case words != "" && (id.Caller != "" || id.Claims != nil):
		t.Errorf("Verify gives %v beside an error", id)
	}
	if err != nil && len(p.Token) > 8 && strings.Contains(err.Error(), p.Token) {
		t.Errorf("the error quotes the token: %v", err)
	}
	return id
}
