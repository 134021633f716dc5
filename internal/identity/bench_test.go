package identity

import (
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

func BenchmarkVerify(b *testing.B) {
	r := signer{"r", rsaKey()}
	text := jwtPolicy + `  - {name: key, api_key: {secret: env:K}}
  - {name: cert, spiffe_ids: ["spiffe://example.org/ns/prod/*"]}
`
	v := newVerifier(b, text, &vault{values: map[string]string{"env:K": hashed("k")}}, &server{body: jwks(r)})
	cert := testpeer.NewCA(b).Issue(testpeer.CertOpts{URIs: []string{"spiffe://example.org/ns/prod/sa/x"}, Client: true})
	for name, p := range map[string]Proof{"api_key": {Token: "k"}, "jwt": {Token: r.token("RS256")}, "mtls": chain(cert)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("jwt, new", func(b *testing.B) {
		b.ReportAllocs()
		token := r.token("RS256")
		for b.Loop() {
			v.current.Load().verified = newCache()
			if _, err := v.Verify(b.Context(), Proof{Token: token}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
