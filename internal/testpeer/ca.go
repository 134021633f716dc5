package testpeer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"
)

// CA is a certificate authority of one test. Another NewCA is the stranger
// that nobody trusts.
type CA struct {
	t    testing.TB
	cert *x509.Certificate
	key  crypto.Signer
}

// NewCA makes an authority with an ECDSA P-256 key.
func NewCA(t testing.TB) *CA {
	t.Helper()
	template := CertOpts{CommonName: "testpeer CA", URIs: []string{}}.template(t)
	template.IsCA = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	template.ExtKeyUsage = nil
	key := newKey(t)
	return &CA{t: t, key: key, cert: sign(t, template, template, key.Public(), key)}
}

// PEM is the authority's certificate, for files and options of the ca_pem kind.
func (ca *CA) PEM() []byte { return certPEM(ca.cert.Raw) }

// Pool holds the authority alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// CertOpts describe one certificate. The zero value is a valid server
// certificate for localhost, 127.0.0.1 and ::1.
type CertOpts struct {
	// CommonName is the subject; it names no host.
	CommonName string
	// Names, IPs and URIs are the subject's alternative names. If all are nil they
	// are the loopback ones.
	Names []string
	IPs   []net.IP
	URIs  []string
	// NotBefore is an hour ago by default, or a day before a NotAfter that is past.
	NotBefore time.Time
	// NotAfter is a day after NotBefore by default.
	NotAfter time.Time
	// Client makes it a client's certificate; a server's otherwise.
	Client bool
}

// Expired is o for a certificate that ran out an hour ago.
func (o CertOpts) Expired() CertOpts {
	o.NotAfter = time.Now().Add(-time.Hour)
	return o
}

// NotYetValid is o for a certificate that begins in an hour.
func (o CertOpts) NotYetValid() CertOpts {
	o.NotBefore = time.Now().Add(time.Hour)
	return o
}

// Issue signs a certificate with a new ECDSA P-256 key.
func (ca *CA) Issue(opts CertOpts) tls.Certificate {
	ca.t.Helper()
	key := newKey(ca.t)
	leaf := sign(ca.t, opts.template(ca.t), ca.cert, key.Public(), ca.key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// SelfSigned makes a certificate that vouches for itself alone.
func SelfSigned(t testing.TB, opts CertOpts) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := opts.template(t)
	leaf := sign(t, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// PEM gives a certificate and its private key as tls.X509KeyPair reads them.
func PEM(t testing.TB, cert tls.Certificate) (certificate, key []byte) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatalf("testpeer: marshal private key: %v", err)
	}
	for _, c := range cert.Certificate {
		certificate = append(certificate, certPEM(c)...)
	}
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (o CertOpts) template(t testing.TB) *x509.Certificate {
	t.Helper()
	if o.Names == nil && o.IPs == nil && o.URIs == nil {
		o.Names = []string{"localhost"}
		o.IPs = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	if o.NotBefore.IsZero() {
		o.NotBefore = time.Now().Add(-time.Hour)
		if past := o.NotAfter.Add(-24 * time.Hour); !o.NotAfter.IsZero() && past.Before(o.NotBefore) {
			o.NotBefore = past
		}
	}
	if o.NotAfter.IsZero() {
		o.NotAfter = o.NotBefore.Add(24 * time.Hour)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatalf("testpeer: serial number: %v", err)
	}
	cert := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: o.CommonName},
		DNSNames: o.Names, IPAddresses: o.IPs,
		NotBefore: o.NotBefore, NotAfter: o.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if o.Client {
		cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	for _, text := range o.URIs {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatalf("testpeer: CertOpts.URIs: %v", err)
		}
		cert.URIs = append(cert.URIs, u)
	}
	return cert
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("testpeer: generate key: %v", err)
	}
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, public any, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatalf("testpeer: sign certificate: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("testpeer: parse own certificate: %v", err)
	}
	return cert
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
