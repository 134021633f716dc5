package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

func made[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var (
	rsaKey = sync.OnceValue(func() crypto.Signer { return made(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey  = sync.OnceValue(func() crypto.Signer { return made(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	edKey  = sync.OnceValue(func() crypto.Signer { _, key, err := ed25519.GenerateKey(rand.Reader); return made(key, err) })
)

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func keyPEM(t *testing.T, key crypto.Signer) string {
	t.Helper()
	return pemOf("PRIVATE KEY", made(x509.MarshalPKCS8PrivateKey(key)))
}

func quoted(s string) string { return string(made(json.Marshal(s))) }

// verified reads a JWT as its receiver does.
func verified(t *testing.T, signed string, key crypto.PublicKey, alg string) (*jwt.Token, jwt.MapClaims) {
	t.Helper()
	claims := jwt.MapClaims{}
	token, err := jwt.NewParser(jwt.WithValidMethods([]string{alg}), jwt.WithoutClaimsValidation()).ParseWithClaims(signed, claims, func(*jwt.Token) (any, error) { return key, nil })
	if err != nil {
		t.Fatalf("the assertion is not good: %v", err)
	}
	return token, claims
}

func TestSigningKeys(t *testing.T) {
	p384 := made(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	p521 := made(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	pkcs1 := pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey().(*rsa.PrivateKey)))
	sec1 := pemOf("EC PARAMETERS", []byte{6, 8, 42}) + pemOf("EC PRIVATE KEY", made(x509.MarshalECPrivateKey(ecKey().(*ecdsa.PrivateKey))))
	tests := []struct {
		name, key, algorithm string
		public               crypto.PublicKey
		want                 string
	}{
		{name: "RSA", key: keyPEM(t, rsaKey()), public: rsaKey().Public(), want: "RS256"},
		{name: "RSA in PKCS #1", key: pkcs1, public: rsaKey().Public(), want: "RS256"},
		{name: "RSA with RS512", key: pkcs1, algorithm: "RS512", public: rsaKey().Public(), want: "RS512"},
		{name: "RSA with PS256", key: pkcs1, algorithm: "PS256", public: rsaKey().Public(), want: "PS256"},
		{name: "P-256", key: keyPEM(t, ecKey()), public: ecKey().Public(), want: "ES256"},
		{name: "P-256 in SEC 1, as openssl writes it", key: sec1, public: ecKey().Public(), want: "ES256"},
		{name: "P-384", key: keyPEM(t, p384), public: p384.Public(), want: "ES384"},
		{name: "P-521", key: keyPEM(t, p521), algorithm: "ES512", public: p521.Public(), want: "ES512"},
		{name: "Ed25519", key: keyPEM(t, edKey()), public: edKey().Public(), want: "EdDSA"},
		{name: "with text before it", key: "Bag Attributes\n" + keyPEM(t, edKey()), public: edKey().Public(), want: "EdDSA"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			signed, err := signJWT([]byte(tt.key), tt.algorithm, "", jwt.MapClaims{"a": "b"})
			if err != nil {
				t.Fatal(err)
			}
			token, claims := verified(t, signed, tt.public, tt.want)
			if _, there := token.Header["kid"]; there || claims["a"] != "b" {
				t.Errorf("the header is %v, the claims are %v", token.Header, claims)
			}
		})
	}
}

func TestUnusableSigningKeys(t *testing.T) {
	p224 := made(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak := made(rsa.GenerateKey(rand.Reader, 1024))
	for _, tt := range []struct{ name, key, algorithm, says string }{
		{"none", "canary", "", "no PEM block"},
		{"a certificate", pemOf("CERTIFICATE", []byte("canary")), "", "no PEM block"},
		{"a public key", pemOf("PUBLIC KEY", made(x509.MarshalPKIXPublicKey(ecKey().Public()))), "", "no PEM block"},
		{"broken", pemOf("PRIVATE KEY", []byte("canary")), "", "no private key"},
		{"encrypted", pemOf("ENCRYPTED PRIVATE KEY", []byte("canary")), "", "without a passphrase"},
		{"encrypted as of old", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nY2FuYXJ5\n-----END RSA PRIVATE KEY-----\n", "", "without a passphrase"},
		{"P-224", keyPEM(t, p224), "", "P-256"},
		{"1024 bits", keyPEM(t, weak), "", "2048"},
		{"RSA for ES256", keyPEM(t, rsaKey()), "ES256", "does not fit"},
		{"P-256 for ES384", keyPEM(t, ecKey()), "ES384", "does not fit"},
		{"P-256 for RS256", keyPEM(t, ecKey()), "RS256", "does not fit"},
		{"Ed25519 for ES256", keyPEM(t, edKey()), "ES256", "does not fit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signed, err := signJWT([]byte(tt.key), tt.algorithm, "", jwt.MapClaims{})
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %q, %v, want an error with %q", signed, err, tt.says)
			}
		})
	}
}
