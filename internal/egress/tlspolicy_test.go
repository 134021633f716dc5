package egress

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// securely sends a GET to target.example at base under t's policy.
func securely(t *testing.T, roots *x509.CertPool, want policy.TLS, base string) (got, error) {
	t.Helper()
	p := NewPools(Config{Resolver: &names{table: map[string][]string{"target.example": {"127.0.0.1"}}}, RootCAs: roots})
	defer p.Close()
	up := upstream("127.0.0.0/8")
	up.TLS = want
	return fetch(t, p.For(up), plainURL(base))
}

func TestTLSFaults(t *testing.T) {
	ca, stranger := testpeer.NewCA(t), testpeer.NewCA(t)
	opts := testpeer.CertOpts{Names: []string{"target.example"}}
	good := ca.Issue(opts)
	sha1, sha1Pool := testpeer.IssueSHA1(t, opts)
	serve := func(cert tls.Certificate, o testpeer.TLSOpts) string { return testpeer.TLS(t, hello, cert, o) }
	tests := []struct {
		name  string
		base  string
		roots *x509.CertPool
		tls   policy.TLS
		want  fault.Kind // empty: it works
		says  string
	}{
		{name: "good", base: serve(good, testpeer.TLSOpts{})},
		{name: "expired", base: serve(ca.Issue(opts.Expired()), testpeer.TLSOpts{}), want: fault.TLSCertExpired},
		{name: "not yet valid", base: serve(ca.Issue(opts.NotYetValid()), testpeer.TLSOpts{}), want: fault.TLSCertExpired},
		{name: "other host", base: serve(ca.Issue(testpeer.CertOpts{Names: []string{"other.example"}}), testpeer.TLSOpts{}), want: fault.TLSCertName},
		{name: "self-signed", base: serve(testpeer.SelfSigned(t, opts), testpeer.TLSOpts{}), want: fault.TLSCertUntrusted},
		{name: "untrusted root", base: serve(stranger.Issue(opts), testpeer.TLSOpts{}), want: fault.TLSCertUntrusted},
		{name: "a client's certificate", base: serve(ca.Issue(testpeer.CertOpts{Names: []string{"target.example"}, Client: true}), testpeer.TLSOpts{}), want: fault.TLSCertUntrusted, says: "usage"},
		{name: "SHA-1", base: serve(sha1, testpeer.TLSOpts{}), roots: sha1Pool, want: fault.TLSCertUntrusted},
		{name: "TLS 1.0", base: serve(good, testpeer.TLSOpts{MaxVersion: tls.VersionTLS10}), want: fault.TLSHandshake, says: "protocol version"},
		{name: "TLS 1.1", base: serve(good, testpeer.TLSOpts{MaxVersion: tls.VersionTLS11}), want: fault.TLSHandshake, says: "protocol version"},
		{name: "TLS 1.2 where 1.3 is wanted", base: serve(good, testpeer.TLSOpts{MaxVersion: tls.VersionTLS12}), tls: policy.TLS{MinVersion: tls.VersionTLS13}, want: fault.TLSHandshake, says: "protocol version"},
		{name: "TLS 1.3 where 1.3 is wanted", base: serve(good, testpeer.TLSOpts{}), tls: policy.TLS{MinVersion: tls.VersionTLS13}},
		{name: "no client certificate", base: serve(good, testpeer.TLSOpts{ClientCA: ca.Pool()}), want: fault.TLSHandshake, says: "client_certificate"},
		{name: "no client certificate, TLS 1.2", base: serve(good, testpeer.TLSOpts{ClientCA: ca.Pool(), MaxVersion: tls.VersionTLS12}), want: fault.TLSHandshake, says: "refused the TLS handshake"},
		{name: "another name asked for", base: serve(ca.Issue(testpeer.CertOpts{Names: []string{"other.example"}}), testpeer.TLSOpts{}), tls: policy.TLS{ServerName: "other.example"}},
		{name: "another name asked for in vain", base: serve(good, testpeer.TLSOpts{}), tls: policy.TLS{ServerName: "other.example"}, want: fault.TLSCertName},
		{name: "pin of the leaf", base: serve(good, testpeer.TLSOpts{}), tls: policy.TLS{Pins: [][32]byte{{1}, testpeer.Pin(good)}}},
		{name: "pin of the authority", base: serve(good, testpeer.TLSOpts{}), tls: policy.TLS{Pins: [][32]byte{ca.Pin()}}},
		{name: "wrong pin", base: serve(good, testpeer.TLSOpts{}), tls: policy.TLS{Pins: [][32]byte{stranger.Pin()}}, want: fault.TLSCertUntrusted, says: "pin"},
		{name: "right pin, wrong host", base: serve(ca.Issue(testpeer.CertOpts{Names: []string{"other.example"}}), testpeer.TLSOpts{}), tls: policy.TLS{Pins: [][32]byte{ca.Pin()}}, want: fault.TLSCertName},
		{name: "anything goes", base: serve(testpeer.SelfSigned(t, opts.Expired()), testpeer.TLSOpts{}), tls: policy.TLS{SkipVerify: true}},
		{name: "anything goes but the pin", base: serve(good, testpeer.TLSOpts{}), tls: policy.TLS{SkipVerify: true, Pins: [][32]byte{stranger.Pin()}}, want: fault.TLSCertUntrusted, says: "pin"},
		{name: "anything goes with the leaf's pin", base: serve(good, testpeer.TLSOpts{}), tls: policy.TLS{SkipVerify: true, Pins: [][32]byte{testpeer.Pin(good)}}},
		{name: "an unverified chain that shows off a pinned authority", base: serve(showingOff(stranger.Issue(opts), good), testpeer.TLSOpts{}),
			tls: policy.TLS{SkipVerify: true, Pins: [][32]byte{testpeer.Pin(good)}}, want: fault.TLSCertUntrusted, says: "pin"},
		{name: "no bundle", base: serve(good, testpeer.TLSOpts{}), tls: policy.TLS{CAFile: "/nonexistent/ca.pem"}, want: fault.TLSCertUntrusted, says: "ca_file"},
		{name: "no certificate to present", base: serve(good, testpeer.TLSOpts{}), tls: policy.TLS{CertFile: "/nonexistent/c.pem", Key: "env:K"}, want: fault.TLSHandshake, says: "cert_file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.roots == nil {
				tt.roots = ca.Pool()
			}
			_, err := securely(t, tt.roots, tt.tls, tt.base)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want success", err)
			case tt.want != "" && (!errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("got %v, want %s with %q", err, tt.want, tt.says)
			}
		})
	}
}

// showingOff sends a foreign certificate behind its own.
func showingOff(cert, foreign tls.Certificate) tls.Certificate {
	cert.Certificate = append(cert.Certificate, foreign.Certificate...)
	return cert
}

// impatient has the files of an upstream looked at on each handshake.
func impatient(p *Pools, up *policy.Upstream) http.RoundTripper {
	rt := p.For(up)
	m := p.pools[specOf(up).key()].tls
	if m.bundle != nil {
		m.bundle.Every = time.Nanosecond
	}
	if m.chain != nil {
		m.chain.Every = time.Nanosecond
	}
	return rt
}

// replace writes a file as a rotation does: whole, and at once.
func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestRotatedAuthorities: also what TLS would resume is judged by the new ones.
func TestRotatedAuthorities(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			one, two := testpeer.NewCA(t), testpeer.NewCA(t)
			cert := one.Issue(testpeer.CertOpts{Names: []string{"target.example"}})
			base := testpeer.TLS(t, hello, cert, testpeer.TLSOpts{HTTP1Only: true, MaxVersion: version})
			path := filepath.Join(t.TempDir(), "ca.pem")
			replace(t, path, one.PEM())
			var log bytes.Buffer
			p := NewPools(Config{
				Resolver: &names{table: map[string][]string{"target.example": {"127.0.0.1"}}},
				Log:      slog.New(slog.NewTextHandler(&log, nil)),
			})
			defer p.Close()
			up := upstream("127.0.0.0/8")
			up.TLS = policy.TLS{CAFile: path}
			rt := impatient(p, up)
			anew := func() (got, error) {
				p.Close() // no idle connection is left
				return fetch(t, rt, plainURL(base))
			}
			if _, err := anew(); err != nil {
				t.Fatal(err)
			}
			if g, err := anew(); err != nil || !g.resumed {
				t.Fatalf("the session was not resumed (%v): the test shows nothing", err)
			}
			replace(t, path, two.PEM())
			if _, err := anew(); !errors.Is(err, fault.TLSCertUntrusted) {
				t.Errorf("after the rotation: got %v, want TLS_CERT_UNTRUSTED", err)
			}
			replace(t, path, append(two.PEM(), one.PEM()...))
			if g, err := anew(); err != nil || g.resumed {
				t.Errorf("with both authorities: %v, resumed %v", err, g.resumed)
			}
			for _, bad := range [][]byte{nil, []byte("no PEM"), one.PEM()[:100], append(two.PEM(), one.PEM()[:100]...)} {
				replace(t, path, bad)
				if _, err := anew(); err != nil {
					t.Errorf("a bad bundle took effect: %v", err)
				}
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if _, err := anew(); err != nil {
				t.Errorf("a removed bundle took effect: %v", err)
			}
			if got := strings.Count(log.String(), "level=ERROR"); got != 3 {
				t.Errorf("%d errors are logged, want one for each kind of complaint:\n%s", got, log.String())
			}
		})
	}
}

// TestPinsHoldOnResumedSessions: the session comes from a pool without the pin.
func TestPinsHoldOnResumedSessions(t *testing.T) {
	ca := testpeer.NewCA(t)
	cert := ca.Issue(testpeer.CertOpts{Names: []string{"target.example"}})
	base := testpeer.TLS(t, hello, cert, testpeer.TLSOpts{HTTP1Only: true})
	p := NewPools(Config{Resolver: &names{table: map[string][]string{"target.example": {"127.0.0.1"}}}, RootCAs: ca.Pool()})
	defer p.Close()
	up := upstream("127.0.0.0/8")
	up.TLS.Pins = [][32]byte{ca.Pin()}
	rt := p.For(up)
	for range 2 {
		if _, err := fetch(t, rt, plainURL(base)); err != nil {
			t.Fatal(err)
		}
		p.Close()
	}
	g, err := fetch(t, rt, plainURL(base))
	if err != nil || !g.resumed {
		t.Fatalf("the session was not resumed (%v): the test shows nothing", err)
	}
	p.Close()
	p.pools[specOf(up).key()].tls.base.VerifyConnection = pinned([][32]byte{{1}}, false)
	if _, err := fetch(t, rt, plainURL(base)); !errors.Is(err, fault.TLSCertUntrusted) {
		t.Errorf("got %v, want the pin to hold for a resumed session", err)
	}
}

func TestRotatedClientCertificate(t *testing.T) {
	ca := testpeer.NewCA(t)
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.TLS.PeerCertificates[0].Subject.CommonName))
	})
	for name, opts := range map[string]testpeer.TLSOpts{
		"TLS 1.2": {HTTP1Only: true, ClientCA: ca.Pool(), MaxVersion: tls.VersionTLS12},
		"TLS 1.3": {HTTP1Only: true, ClientCA: ca.Pool()},
	} {
		t.Run(name, func(t *testing.T) {
			base := testpeer.TLS(t, who, ca.Issue(testpeer.CertOpts{Names: []string{"target.example"}}), opts)
			issue := func(name string) (cert, key []byte) {
				return testpeer.PEM(t, ca.Issue(testpeer.CertOpts{CommonName: name, Client: true}))
			}
			path, v := filepath.Join(t.TempDir(), "client.pem"), &vault{}
			cert, key := issue("one")
			replace(t, path, cert)
			v.set("env:KEY", string(key))
			var log bytes.Buffer
			p := NewPools(Config{
				Resolver: &names{table: map[string][]string{"target.example": {"127.0.0.1"}}}, RootCAs: ca.Pool(),
				Secrets: v, Log: slog.New(slog.NewTextHandler(&log, nil)),
			})
			defer p.Close()
			up := upstream("127.0.0.0/8")
			up.TLS = policy.TLS{CertFile: path, Key: "env:KEY"}
			rt := impatient(p, up)
			expect := func(when, want string) {
				t.Helper()
				p.Close()
				if g, err := fetch(t, rt, plainURL(base)); err != nil || g.body != want {
					t.Errorf("%s: the upstream sees %q (%v), want %q", when, g.body, err, want)
				}
			}
			expect("first", "one")
			expect("again", "one")
			cert, key = issue("two")
			replace(t, path, cert)
			expect("half rotated", "one")
			v.set("env:KEY", string(key))
			expect("rotated", "two")
			replace(t, path, []byte("no PEM"))
			expect("a bad chain", "two")
			if log.Len() == 0 || strings.Contains(log.String(), "PRIVATE KEY-") {
				t.Errorf("the log has %q", log.String())
			}
			v.set("env:KEY", "no key")
			expect("a bad key", "two")
			v.mu.Lock()
			delete(v.table, "env:KEY")
			v.mu.Unlock()
			p.Close()
			if _, err := fetch(t, rt, plainURL(base)); !errors.Is(err, fault.TLSHandshake) || !strings.Contains(err.Error(), "env:KEY") {
				t.Errorf("a withdrawn key: got %v, want TLS_HANDSHAKE_FAILED that names it", err)
			}
		})
	}
}
