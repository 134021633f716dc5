package identity

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

const keyPolicy = `
callers:
  - {name: billing, api_key: {secret: env:A}, next_api_key: {secret: env:B}}
  - {name: reports, api_key: {secret: env:C}, common_names: [reports]}
  - {name: twin, api_key: {secret: env:D}}
`

func TestNoProof(t *testing.T) {
	none := newVerifier(t, "upstreams: []", nil, nil)
	for _, p := range []Proof{{}, {Token: "whatever"}, {Token: "a.b.c"}} {
		if id := expect(t, none, p, policy.Anonymous, ""); id.How != ByAnonymous {
			t.Errorf("Verify gives %v", id)
		}
	}
	some := newVerifier(t, keyPolicy, &vault{values: map[string]string{"env:A": hashed("a")}}, nil)
	expect(t, some, Proof{}, "", "does not say who makes it")
	open := newVerifier(t, keyPolicy+"unsafe_allow_anonymous: true", &vault{values: map[string]string{"env:A": hashed("a")}}, nil)
	expect(t, open, Proof{}, policy.Anonymous, "")
	expect(t, open, Proof{Token: "a"}, "billing", "")
	expect(t, open, Proof{Token: "wrong"}, "", "no caller has this API key")
	expect(t, open, Proof{Token: "a.b.c"}, "", "no caller has this API key")
	stranger := testpeer.NewCA(t).Issue(testpeer.CertOpts{CommonName: "stranger", Client: true})
	expect(t, open, chain(stranger), "", "no caller has one of its names")
}

func chain(c tls.Certificate) Proof { return Proof{Chain: []*x509.Certificate{c.Leaf}} }

// TestKeyRotation changes a caller's key as an operator would: the next one beside
// it, then in its place.
func TestKeyRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secrets := &vault{values: map[string]string{"env:A": hashed("old"), "env:B": hashed("old"), "env:C": strings.ToUpper(hashed("reports"))}}
		v := newVerifier(t, keyPolicy, secrets, nil)
		check := func(key, caller, words string) {
			t.Helper()
			time.Sleep(rereadEvery)
			if id := expect(t, v, Proof{Token: key}, caller, words); words == "" && (id.How != ByAPIKey || !id.Expires.IsZero() || id.Claims != nil) {
				t.Errorf("Verify gives %v", id)
			}
		}
		check("old", "billing", "")
		check("reports", "reports", "")
		check("new", "", "those of some callers cannot be read") // env:D is not there
		secrets.set("env:D", hashed("d"))
		check("new", "", "no caller has this API key")
		secrets.set("env:B", hashed("new"))
		check("old", "billing", "")
		check("new", "billing", "")
		secrets.set("env:A", hashed("new"))
		check("new", "billing", "")
		check("old", "", "no caller has")
		secrets.set("env:A", "no digest")
		secrets.set("env:B", "new") // the key instead of its digest
		check("new", "", "cannot be read")
		check(hashed("reports"), "", "cannot be read") // the digest is no key
		secrets.set("env:A", hashed("new"))
		secrets.set("env:B", hashed("next"))
		secrets.set("env:D", hashed("reports"))
		check("reports", "", "that of several callers")
		check("next", "billing", "")
	})
}

func TestCheckKeyHash(t *testing.T) {
	secrets := &vault{values: map[string]string{
		"env:GOOD": hashed("x"), "env:KEY": "sk_live_hunter2", "env:SHORT": hashed("x")[1:], "env:LONG": hashed("x") + "  -", "env:ODD": "g" + hashed("x")[1:],
	}}
	check := CheckKeyHash(secrets)
	if err := check("env:GOOD"); err != nil {
		t.Errorf("a digest is refused: %v", err)
	}
	for _, ref := range []string{"env:KEY", "env:SHORT", "env:LONG", "env:ODD", "env:NONE"} {
		text := fmt.Sprintf("callers: [{name: a, api_key: {secret: %s}}]", ref)
		_, err := policy.Parse("p.yaml", []byte(text), policy.Options{CheckKeyHash: check})
		switch {
		case err == nil:
			t.Errorf("%s is accepted", ref)
		case !strings.Contains(err.Error(), "callers[0].api_key.secret"):
			t.Errorf("%s: the error does not name the field: %v", ref, err)
		case len(secrets.values[ref]) > 0 && strings.Contains(err.Error(), secrets.values[ref]):
			t.Errorf("%s: the error shows the value", ref)
		}
	}
}

const certPolicy = `
callers:
  - {name: billing, spiffe_ids: [spiffe://example.org/ns/prod/sa/billing], dns_names: [Billing.example.com.]}
  - {name: prod, spiffe_ids: [spiffe://example.org/ns/prod/*]}
  - {name: org, spiffe_ids: ["spiffe://example.org/*"]}
  - {name: legacy, common_names: [Legacy Service], api_key: {secret: env:L}}
  - {name: reports, dns_names: [reports.example.com], api_key: {secret: env:R}}
`

func TestCertificates(t *testing.T) {
	ca := testpeer.NewCA(t)
	v := newVerifier(t, certPolicy, &vault{values: map[string]string{"env:L": hashed("l"), "env:R": hashed("r")}}, nil)
	uri := func(ids ...string) testpeer.CertOpts { return testpeer.CertOpts{URIs: ids, Client: true} }
	dns := func(names ...string) testpeer.CertOpts { return testpeer.CertOpts{Names: names, Client: true} }
	tests := []struct {
		name          string
		opts          testpeer.CertOpts
		caller, words string
	}{
		{"exact ID", uri("spiffe://example.org/ns/prod/sa/billing"), "billing", ""},
		{"beneath", uri("spiffe://example.org/ns/prod/sa/other"), "prod", ""},
		{"further up", uri("spiffe://example.org/ns/test/sa/billing"), "org", ""},
		{"beneath the exact one", uri("spiffe://example.org/ns/prod/sa/billing/x"), "prod", ""},
		{"DNS name", dns("billing.example.com"), "billing", ""},
		{"DNS name in capitals, among others", dns("x.example.com", "BILLING.example.COM"), "billing", ""},
		{"common name", testpeer.CertOpts{CommonName: "Legacy Service", Names: []string{}, Client: true}, "legacy", ""},

		{"the trust domain itself", uri("spiffe://example.org"), "", "no caller has"},
		{"the trust domain with a slash", uri("spiffe://example.org/"), "", "no caller has"},
		{"the end of the pattern's text", uri("spiffe://example.org/ns/prod"), "org", ""},
		{"a longer segment", uri("spiffe://example.org/ns/production/x"), "org", ""},
		{"another domain", uri("spiffe://example.org.evil.com/ns/prod/sa/billing"), "", "no caller has"},
		{"a domain with a port", uri("spiffe://example.org:443/ns/prod/sa/billing"), "", "no caller has"},
		{"a user name", uri("spiffe://x@example.org/ns/prod/sa/billing"), "", "no caller has"},
		{"capitals", uri("spiffe://EXAMPLE.org/ns/prod/sa/billing"), "", "no caller has"},
		{"another scheme", uri("https://example.org/ns/prod/sa/billing"), "", "no caller has"},
		{"dots", uri("spiffe://example.org/ns/prod/../prod/sa/billing"), "", "no caller has"},
		{"an escape", uri("spiffe://example.org/ns/prod/sa/b%69lling"), "", "no caller has"},
		{"an escaped slash", uri("spiffe://example.org/ns/prod%2fsa/billing"), "", "no caller has"},
		{"an empty segment", uri("spiffe://example.org//ns/prod/sa/billing"), "", "no caller has"},
		{"a query", uri("spiffe://example.org/ns/prod/sa/billing?x"), "", "no caller has"},
		{"a fragment", uri("spiffe://example.org/ns/prod/sa/billing#x"), "", "no caller has"},
		{"a star", uri("spiffe://example.org/ns/prod/*"), "", "no caller has"},
		{"two IDs", uri("spiffe://example.org/ns/prod/sa/billing", "spiffe://example.org/ns/prod/sa/billing2"), "", "no caller has"},
		{"a star of DNS", dns("*.example.com"), "", "no caller has"},
		{"a name beneath", dns("x.billing.example.com"), "", "no caller has"},
		{"a name as a common name", testpeer.CertOpts{CommonName: "billing.example.com", Names: []string{}, Client: true}, "", "no caller has"},
		{"a common name as a DNS name", dns("legacy.service"), "", "no caller has"},
		{"names of two callers", dns("billing.example.com", "reports.example.com"), "", "names of 2 callers"},
		{"an ID and a name of two callers", testpeer.CertOpts{URIs: []string{"spiffe://example.org/ns/prod/x"}, Names: []string{"reports.example.com"}, Client: true}, "", "names of 2 callers"},
		{"expired meanwhile", dns("billing.example.com").Expired(), "", "expired at"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cert := ca.Issue(tt.opts)
			id := expect(t, v, chain(cert), tt.caller, tt.words)
			if tt.words == "" && (id.How != ByMTLS || !id.Expires.Equal(cert.Leaf.NotAfter) || id.Claims != nil) {
				t.Errorf("Verify gives %v", id)
			}
		})
	}
}

// TestCommonNameTwice has subjects that readers would take different names from.
func TestCommonNameTwice(t *testing.T) {
	v := newVerifier(t, certPolicy, &vault{}, nil)
	cn := func(names ...string) *x509.Certificate {
		leaf := &x509.Certificate{NotAfter: time.Now().Add(time.Hour)}
		for _, n := range names {
			leaf.Subject.Names = append(leaf.Subject.Names, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: n})
		}
		return leaf
	}
	expect(t, v, Proof{Chain: []*x509.Certificate{cn("Legacy Service")}}, "legacy", "")
	expect(t, v, Proof{Chain: []*x509.Certificate{cn("x", "Legacy Service")}}, "", "no caller has")
	expect(t, v, Proof{Chain: []*x509.Certificate{cn("Legacy Service", "x")}}, "", "no caller has")
	opaque := &x509.Certificate{NotAfter: time.Now().Add(time.Hour), URIs: []*url.URL{{Scheme: "spiffe", Opaque: "//example.org/ns/prod/sa/billing"}}}
	expect(t, v, Proof{Chain: []*x509.Certificate{opaque}}, "", "no caller has")
}

func TestTokenAndCertificate(t *testing.T) {
	ca, r := testpeer.NewCA(t), signer{"r", rsaKey()}
	text := certPolicy + `  - {name: ci, jwt: [{issuer: corp, claims: {sub: billing}}], dns_names: [ci.example.com]}
` + corp
	v := newVerifier(t, text, &vault{values: map[string]string{"env:L": hashed("l"), "env:R": hashed("r")}}, &server{body: jwks(r)})
	cert := func(name string) Proof {
		return chain(ca.Issue(testpeer.CertOpts{Names: []string{name}, Client: true}))
	}
	with := func(p Proof, token string) Proof { p.Token = token; return p }

	reports, ci, nobody := cert("reports.example.com"), cert("ci.example.com"), cert("mesh.example.com")
	if id := expect(t, v, with(reports, "r"), "reports", ""); id.How != ByAPIKey {
		t.Errorf("Verify gives %v", id)
	}
	if id := expect(t, v, with(ci, r.token("RS256")), "ci", ""); id.How != ByJWT || id.Claims["sub"] != "billing" {
		t.Errorf("Verify gives %v", id)
	}
	expect(t, v, with(nobody, "r"), "reports", "")
	expect(t, v, with(reports, "l"), "", "different callers")
	expect(t, v, with(reports, r.token("RS256")), "", "different callers")
	expect(t, v, with(reports, "wrong"), "", "no caller has this API key")

	sum := sha256.Sum256(ci.Chain[0].Raw)
	bound := r.token("RS256", "cnf", map[string]any{"x5t#S256": b64(sum[:])})
	expect(t, v, with(ci, bound), "ci", "")
	expect(t, v, Proof{Token: bound}, "", "bound to a client certificate")
	expect(t, v, with(cert("ci.example.com"), bound), "", "bound to another")
	expect(t, v, with(ci, r.token("RS256", "cnf", map[string]any{"x5t#S256": b64(sum[:]), "jkt": "x"})), "", "cannot be checked")
	expect(t, v, with(ci, r.token("RS256", "cnf", "x")), "", "cannot be checked")
}

// TestAtOnce verifies while policies change; the race detector watches.
func TestAtOnce(t *testing.T) {
	r := signer{"r", rsaKey()}
	v := newVerifier(t, jwtPolicy, &vault{}, &server{body: jwks(r)})
	good, policies := r.token("RS256"), []*policy.Snapshot{snapshot(t, jwtPolicy), snapshot(t, jwtPolicy)}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 100 {
				switch (i + j) % 3 {
				case 0:
					v.Use(policies[j%2])
				case 1:
					expect(t, v, Proof{Token: good}, "billing", "")
				default:
					expect(t, v, Proof{Token: signer{"x", r.key}.token("RS256", "jti", j)}, "", "no key")
				}
			}
		})
	}
	all.Wait()
}
