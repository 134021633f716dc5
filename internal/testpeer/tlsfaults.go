package testpeer

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"testing"
)

// Pin is the SHA-256 of the certificate's public key (RFC 7469 section 2.4).
func Pin(cert tls.Certificate) [32]byte { return sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo) }

// Pin is the authority's own.
func (ca *CA) Pin() [32]byte { return sha256.Sum256(ca.cert.RawSubjectPublicKeyInfo) }

// IssueSHA1 signs a certificate with SHA-1, which nobody should trust any more.
// The authority that signs is an RSA one of its own, which pool trusts.
func IssueSHA1(t testing.TB, opts CertOpts) (cert tls.Certificate, pool *x509.CertPool) {
	t.Helper()
	caKey := newRSA(t)
	authority := CertOpts{CommonName: "testpeer SHA-1 CA", URIs: []string{}}.template(t)
	authority.IsCA = true
	authority.KeyUsage = x509.KeyUsageCertSign
	authority.ExtKeyUsage = nil
	caCert := sign(t, authority, authority, caKey.Public(), caKey)
	template := opts.template(t)
	template.SignatureAlgorithm = x509.SHA1WithRSA
	key := newKey(t)
	leaf := sign(t, template, caCert, key.Public(), caKey)
	pool = x509.NewCertPool()
	pool.AddCert(caCert)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, pool
}

func newRSA(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatalf("testpeer: generate RSA key: %v", err)
	}
	return key
}
