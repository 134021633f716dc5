package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTokens(t *testing.T) {
	r, e, d := signer{"r", rsaKey()}, signer{"e", ecKey()}, signer{"d", edKey()}
	other := signer{"r", must(rsa.GenerateKey(rand.Reader, 2048))}
	v := newVerifier(t, jwtPolicy, nil, &server{body: jwks(r, e, d)})
	now := time.Now()
	in := func(d time.Duration) int64 { return now.Add(d).Unix() }
	der := must(x509.MarshalPKIXPublicKey(r.key.Public()))
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	head := func(text string) string { return r.raw("RS256", text, claims()) }
	tests := []struct{ name, token, caller, words string }{
		{"RS256", r.token("RS256"), "billing", ""},
		{"PS256", r.token("PS256"), "billing", ""},
		{"ES256", e.token("ES256"), "billing", ""},
		{"EdDSA", d.token("EdDSA"), "billing", ""},
		{"no typ", head(`{"alg":"RS256","kid":"r"}`), "billing", ""},
		{"access token", head(`{"alg":"RS256","kid":"r","typ":"application/at+JWT"}`), "billing", ""},
		{"several audiences", r.token("RS256", "aud", []string{"other", "https://fetchsvc.example.com"}), "billing", ""},
		{"nested claim", r.token("RS256", "sub", "x", "realm", map[string]any{"team": "payments"}), "pay", ""},
		{"claim with a dot in its name", r.token("RS256", "sub", "x", "realm.team", "payments"), "pay", ""},
		{"wider caller", r.token("RS256", "sub", "ci-test"), "ci", ""},
		{"narrower caller", r.token("RS256", "sub", "ci-deploy-1"), "ci-deploy", ""},

		{"fits two callers", r.token("RS256", "realm.team", "payments"), "", "fits several callers"},
		{"nobody's", r.token("RS256", "sub", "stranger"), "", `no caller has tokens of issuer "corp"`},
		{"an object for a subject", r.token("RS256", "sub", map[string]any{"billing": "billing"}), "", "no caller has"},

		{"expired", r.token("RS256", "exp", in(-10*time.Minute)), "", "expired at " + now.Add(-10*time.Minute).UTC().Format("2006-01-02T15:04")},
		{"expired within the skew", r.token("RS256", "exp", in(-30*time.Second)), "billing", ""},
		{"not yet good", r.token("RS256", "nbf", in(10*time.Minute)), "", "not good before"},
		{"nearly good", r.token("RS256", "nbf", in(30*time.Second)), "billing", ""},
		{"made in the future", r.token("RS256", "iat", in(10*time.Minute)), "", "in the future"},
		{"no exp", r.token("RS256", "exp", nil), "", "has no exp"},
		{"exp of null", r.raw("RS256", `{"alg":"RS256","kid":"r"}`, strings.Replace(claims("exp", "X"), `"X"`, "null", 1)), "", "exp is no time"},
		{"exp as text", r.token("RS256", "exp", "4102444800"), "", "exp is no time"},
		{"exp beyond all time", r.raw("RS256", `{"alg":"RS256","kid":"r"}`, strings.Replace(claims("exp", "X"), `"X"`, "1e300", 1)), "", "exp is no time"},
		{"exp below zero", r.token("RS256", "exp", -1), "", "exp is no time"},
		{"nbf as text", r.token("RS256", "nbf", "soon"), "", "nbf is no time"},

		{"for another", r.token("RS256", "aud", "other"), "", "for another service"},
		{"for nobody", r.token("RS256", "aud", nil), "", "for another service"},
		{"audience in part", r.token("RS256", "aud", "fetchsvc2"), "", "for another service"},
		{"unknown issuer", r.token("RS256", "iss", "https://idp.example.com/"), "", `issuer "https://idp.example.com/", which`},
		{"no issuer", r.token("RS256", "iss", nil), "", "has no iss"},
		{"issuer as a list", r.token("RS256", "iss", []string{"https://idp.example.com"}), "", "has no iss"},

		{"none", signer{}.raw("none", `{"alg":"none"}`, claims()), "", "signature cannot be read"},
		{"none with a signature", r.raw("RS256", `{"alg":"none","kid":"r"}`, claims()), "", `algorithm "none"`},
		{"NONE", r.raw("RS256", `{"alg":"NONE","kid":"r"}`, claims()), "", `algorithm "NONE"`},
		{"no alg", head(`{"kid":"r"}`), "", "has no alg"},
		{"shared key: the public one", hmacOf(asPEM, `{"alg":"HS256","kid":"r"}`, claims()), "", `algorithm "HS256"`},
		{"shared key: its bytes", hmacOf(der, `{"alg":"HS256","kid":"r"}`, claims()), "", `algorithm "HS256"`},
		{"shared key, said to be RS256", hmacOf(asPEM, `{"alg":"RS256","kid":"r"}`, claims()), "", "signature is not that"},
		{"an RSA key for ES256", r.raw("RS256", `{"alg":"ES256","kid":"r"}`, claims()), "", `no key "r" for ES256`},
		{"an EC key for RS256", e.raw("ES256", `{"alg":"RS256","kid":"e"}`, claims()), "", `no key "e" for RS256`},
		{"PS256 said to be RS256", r.raw("PS256", `{"alg":"RS256","kid":"r"}`, claims()), "", "signature is not that"},
		{"an algorithm that is not allowed", r.raw("RS256", `{"alg":"RS512","kid":"r"}`, claims()), "", `algorithm "RS512"`},
		{"stranger's key", other.token("RS256"), "", "signature is not that"},
		{"key in the header", other.raw("RS256", `{"alg":"RS256","jwk":`+string(must(json.Marshal(other.jwk())))+`,"kid":"r"}`, claims()), "", "signature is not that"},
		{"no kid among several of a kind", signer{"", r.key}.token("RS256"), "billing", ""},
		{"unknown kid", signer{"new", r.key}.token("RS256"), "", `no key "new"`},
		{"kid as a number", head(`{"alg":"RS256","kid":1}`), "", "kid is no text"},
		{"critical extension", head(`{"alg":"RS256","kid":"r","crit":["b64"],"b64":false}`), "", "crit"},
		{"another type", head(`{"alg":"RS256","kid":"r","typ":"logout+jwt"}`), "", "made for something else"},
		{"type as a list", head(`{"alg":"RS256","kid":"r","typ":["JWT"]}`), "", "made for something else"},
		{"bound to DPoP", r.token("RS256", "cnf", map[string]any{"jkt": "x"}), "", "cannot be checked here"},
		{"bound to a certificate", r.token("RS256", "cnf", map[string]any{"x5t#S256": "x"}), "", "bound to a client certificate"},

		{"alg twice", head(`{"alg":"none","alg":"RS256","kid":"r"}`), "", `has "alg" twice`},
		{"claim twice", r.raw("RS256", `{"alg":"RS256","kid":"r"}`, strings.Replace(claims(), "{", `{"sub":"ci-deploy-1",`, 1)), "", `has "sub" twice`},
		{"claim twice, once escaped", r.raw("RS256", `{"alg":"RS256","kid":"r"}`, strings.Replace(claims(), "{", `{"\u0073ub":"ci-deploy-1",`, 1)), "", `has "sub" twice`},
		{"claim in capitals", r.token("RS256", "sub", nil, "SUB", "billing"), "", "no caller has"},
		{"more behind the claims", r.raw("RS256", `{"alg":"RS256","kid":"r"}`, claims()+`{"sub":"ci-x"}`), "", "behind its end"},
		{"claims of a list", r.raw("RS256", `{"alg":"RS256","kid":"r"}`, `[]`), "", "no JSON object"},
		{"claims of nothing", r.raw("RS256", `{"alg":"RS256","kid":"r"}`, ``), "", "not base64url"},
		{"claims of bad UTF-8", r.raw("RS256", `{"alg":"RS256","kid":"r"}`, "{\"iss\":\"\xff\"}"), "", "UTF-8"},
		{"deep claims", r.raw("RS256", `{"alg":"RS256","kid":"r"}`, strings.Repeat(`{"a":`, 1000)), "", "nests deeper"},
		{"line breaks in it", strings.Replace(r.token("RS256"), ".", ".\n", 1), "", "not base64url"},
		{"padding", strings.Replace(r.token("RS256"), ".", "=.", 1), "", "not base64url"},
		{"four parts", r.token("RS256") + ".x", "", "no caller has this API key"},
		{"two parts", "a.b", "", "no caller has this API key"},
		{"empty parts", "..", "", "header cannot be read"},
		{"cut signature", r.token("RS256")[:len(r.token("RS256"))-8], "", ""},
		{"huge", r.token("RS256", "fill", strings.Repeat("x", 16<<10)), "", "at most 16384"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			words := tt.words
			if tt.caller == "" && words == "" {
				words = "signature"
			}
			for range 2 { // once more, as it is remembered then
				id := expect(t, v, Proof{Token: tt.token}, tt.caller, words)
				if words == "" && (id.How != ByJWT || id.Claims["aud"] == nil || id.Expires.Before(now.Add(-time.Minute))) {
					t.Errorf("Verify gives %v", id)
				}
			}
		})
	}
}

// TestAnotherSpelling changes the bits of a signature's last character that mean
// nothing: there is one spelling of a token only.
func TestAnotherSpelling(t *testing.T) {
	d := signer{"d", edKey()}
	v := newVerifier(t, jwtPolicy, nil, &server{body: jwks(d)})
	good := d.token("EdDSA")
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(letters, good[len(good)-1])
	expect(t, v, Proof{Token: good}, "billing", "")
	expect(t, v, Proof{Token: good[:len(good)-1] + string(letters[last^1])}, "", "not base64url")
}

// TestAlgorithms has an issuer that is pinned to one, and its key to another.
func TestAlgorithms(t *testing.T) {
	r := signer{"r", rsaKey()}
	pinned := r.jwk()
	pinned["alg"] = "PS256"
	set := must(json.Marshal(map[string]any{"keys": []any{pinned}}))
	v := newVerifier(t, strings.Replace(jwtPolicy, "jwks_url", "algorithms: [RS256, PS256]\n    jwks_url", 1), nil, &server{body: set})
	expect(t, v, Proof{Token: r.token("PS256")}, "billing", "")
	expect(t, v, Proof{Token: r.token("RS256")}, "", `no key "r" for RS256`)
	wide := signer{"w", must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))}
	v = newVerifier(t, jwtPolicy, nil, &server{body: jwks(wide)})
	expect(t, v, Proof{Token: wide.raw("RS256", `{"alg":"ES256","kid":"w"}`, claims())}, "", `no key "w" for ES256`)
}

func TestNameClaim(t *testing.T) {
	r := signer{"r", rsaKey()}
	text := strings.Replace(corp, "jwks_url", "name_claim: azp\n    jwks_url", 1) + `
callers:
  - {name: billing, jwt: [{issuer: corp}]}
  - {name: reports, jwt: [{issuer: corp, claims: {env: prod}}]}
`
	v := newVerifier(t, text, nil, &server{body: jwks(r)})
	expect(t, v, Proof{Token: r.token("RS256", "azp", "billing")}, "billing", "")
	expect(t, v, Proof{Token: r.token("RS256", "azp", "reports", "env", "prod")}, "reports", "")
	expect(t, v, Proof{Token: r.token("RS256", "azp", "reports", "env", "test")}, "", "no caller has")
	expect(t, v, Proof{Token: r.token("RS256", "azp", "bill*")}, "", "no caller has")
	expect(t, v, Proof{Token: r.token("RS256", "azp", "anonymous")}, "", "no caller has")
}

// TestUseForgets holds that a token is judged anew under each policy.
func TestUseForgets(t *testing.T) {
	r := signer{"r", rsaKey()}
	keys := &server{body: jwks(r)}
	v := newVerifier(t, jwtPolicy, nil, keys)
	token := r.token("RS256")
	expect(t, v, Proof{Token: token}, "billing", "")
	v.Use(snapshot(t, strings.Replace(jwtPolicy, "{sub: billing}", "{sub: somebody}", 1)))
	expect(t, v, Proof{Token: token}, "", "no caller has")
	v.Use(snapshot(t, strings.Replace(jwtPolicy, "[fetchsvc, https://fetchsvc.example.com]", "[another]", 1)))
	expect(t, v, Proof{Token: token}, "", "for another service")
	if n := keys.count(); n != 1 {
		t.Errorf("the keys were fetched %d times, want once: they outlive a policy", n)
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache()
	now := time.Now()
	for i := range maxVerified + 500 {
		sum := digest([]byte(fmt.Sprintf("%032d", i)))
		c.put(&verified{sum: sum, identity: Identity{Expires: now.Add(time.Hour)}, size: 100})
	}
	if c.order.Len() != maxVerified || len(c.known) != maxVerified || c.bytes != 100*maxVerified {
		t.Errorf("the cache has %d tokens, %d known, %d bytes", c.order.Len(), len(c.known), c.bytes)
	}
	for i := range 2 * maxVerifiedBytes / maxToken {
		c.put(&verified{sum: digest([]byte(fmt.Sprintf("x%031d", i))), identity: Identity{Expires: now.Add(time.Hour)}, size: maxToken})
	}
	if c.bytes > maxVerifiedBytes {
		t.Errorf("the cache has %d bytes, at most %d are allowed", c.bytes, maxVerifiedBytes)
	}
	last := digest([]byte(fmt.Sprintf("x%031d", 2*maxVerifiedBytes/maxToken-1)))
	if c.get(last, now) == nil || c.get(last, now.Add(time.Hour)) != nil || c.known[last] != nil {
		t.Error("a token is not remembered until it expires, and no longer")
	}
}
