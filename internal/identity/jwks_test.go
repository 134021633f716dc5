package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"strings"
	"testing"
)

func set(keys ...any) []byte {
	return must(json.Marshal(map[string]any{"keys": keys}))
}

// but is a key with one member changed; nil takes it out.
func but(key map[string]any, name string, value any) map[string]any {
	out := maps.Clone(key)
	if out[name] = value; value == nil {
		delete(out, name)
	}
	return out
}

func TestJWKS(t *testing.T) {
	r, e, d := signer{"r", rsaKey()}.jwk(), signer{"e", ecKey()}.jwk(), signer{"d", edKey()}.jwk()
	even := must(decode(r["n"].(string)))
	even[len(even)-1] &^= 1
	small := signer{"s", must(rsa.GenerateKey(rand.Reader, 1024))}.jwk()
	tests := []struct {
		name string
		text []byte
		keys int
		want string
	}{
		{"all kinds", set(r, e, d), 3, ""},
		{"larger curves", set(signer{"x", must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))}.jwk(), signer{"y", must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))}.jwk()), 2, ""},
		{"unknown members", set(but(r, "x5c", []string{"…"})), 1, ""},
		{"to verify", set(but(r, "key_ops", []string{"verify"})), 1, ""},
		{"what is of no use is passed over", set(map[string]any{"kty": "oct", "k": "eA"}, but(r, "use", "enc"), "text", nil, e), 1, ""},

		{"no JSON", []byte("<html>"), 0, "cannot be read"},
		{"no set", []byte("[]"), 0, "no JSON object"},
		{"one key", must(json.Marshal(r)), 0, `no list "keys"`},
		{"keys twice", []byte(`{"keys":[],"keys":[]}`), 0, `"keys" twice`},
		{"no keys", []byte(`{"keys":[]}`), 0, "none of the set's 0 keys"},
		{"too many", set(make([]any, maxKeys+1)...), 0, "101 keys: at most 100"},
		{"too large", []byte(`{"keys":[],"x":"` + strings.Repeat("x", maxJWKS) + `"}`), 0, "larger than"},
		{"for encryption", set(but(r, "use", "enc")), 0, "not for signatures"},
		{"use as a list", set(but(r, "use", []string{"sig"})), 0, "not for signatures"},
		{"to sign", set(but(r, "key_ops", []string{"sign"})), 0, "no verify"},
		{"private", set(but(r, "d", "eA")), 0, "private part"},
		{"shared", set(map[string]any{"kty": "oct", "k": "eA"}), 0, `kty "oct"`},
		{"no kind", set(but(r, "kty", nil)), 0, "no kty"},
		{"RSA of 1024 bits", set(small), 0, "1024 bits"},
		{"RSA of 16384 bits", set(but(r, "n", b64(append([]byte{0x80}, make([]byte, 2047)...)))), 0, "16384 bits"},
		{"even modulus", set(but(r, "n", b64(even))), 0, "even"},
		{"exponent 1", set(but(r, "e", "AQ")), 0, "exponent"},
		{"exponent 4", set(but(r, "e", "BA")), 0, "exponent"},
		{"large exponent", set(but(r, "e", b64([]byte{1, 0, 0, 0, 1}))), 0, "exponent"},
		{"no modulus", set(but(r, "n", nil)), 0, "not base64url"},
		{"padding", set(but(r, "e", "AQAB==")), 0, "not base64url"},
		{"off the curve", set(but(e, "x", b64(make([]byte, 32)))), 0, "not on the curve"},
		{"short coordinate", set(but(e, "x", b64(make([]byte, 31)))), 0, "32 bytes each"},
		{"other curve", set(but(e, "crv", "P-384")), 0, "48 bytes each"},
		{"secp256k1", set(but(e, "crv", "secp256k1")), 0, "not P-256"},
		{"Ed448", set(but(d, "crv", "Ed448")), 0, "not Ed25519"},
		{"short Ed25519", set(but(d, "x", "eA")), 0, "not 32 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := parseJWKS(tt.text)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("parseJWKS fails: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("parseJWKS gives %v, want %q", err, tt.want)
			case len(keys) != tt.keys:
				t.Errorf("parseJWKS gives %d keys, want %d", len(keys), tt.keys)
			}
		})
	}
}

func FuzzJWKS(f *testing.F) {
	f.Add(set(signer{"r", rsaKey()}.jwk(), signer{"e", ecKey()}.jwk(), signer{"d", edKey()}.jwk()))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"eA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"","y":""}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseJWKS(data)
		if (err == nil) == (len(keys) == 0) || len(keys) > maxKeys {
			t.Fatalf("parseJWKS gives %d keys and %v", len(keys), err)
		}
		for _, k := range keys {
			fits := 0
			for alg, method := range methods {
				if !k.fits(alg) {
					continue
				}
				fits++
				if method.Verify("a.b", []byte("no signature"), k.public) == nil {
					t.Errorf("key %q takes anything for %s", k.id, alg)
				}
			}
			if k.alg == "" && fits == 0 {
				t.Errorf("key %q of %T is for no algorithm", k.id, k.public)
			}
		}
	})
}

// FuzzToken holds that no text is taken for a token of somebody, and none panics.
func FuzzToken(f *testing.F) {
	r := signer{"r", rsaKey()}
	f.Add(r.token("RS256"))
	f.Add(hmacOf([]byte("x"), `{"alg":"HS256"}`, claims()))
	f.Add(signer{}.raw("none", `{"alg":"none"}`, claims()))
	stranger := signer{"r", must(rsa.GenerateKey(rand.Reader, 2048))}
	v := newVerifier(f, jwtPolicy, nil, &server{body: jwks(stranger)})
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := v.Verify(t.Context(), Proof{Token: text}); err == nil && text != "" {
			t.Fatalf("Verify gives %v", id)
		}
	})
}
