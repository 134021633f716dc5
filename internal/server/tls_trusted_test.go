package server

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestTrusted: a certificate that was good when its connection began counts only as
// long as it, and those above it, have not run out.
func TestTrusted(t *testing.T) {
	dir, ca := t.TempDir(), testpeer.NewCA(t)
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key := testpeer.PEM(t, ca.Issue(testpeer.CertOpts{}))
	doors, err := NewTLS(TLSFiles{Cert: file("crt", cert), Key: file("key", key), ClientCA: file("ca", ca.PEM()), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	all, err := authorities(ca.PEM())
	if err != nil {
		t.Fatal(err)
	}
	root := all[0]
	chain := func(opts testpeer.CertOpts) []*x509.Certificate {
		opts.Client = true
		return []*x509.Certificate{ca.Issue(opts).Leaf, root}
	}
	now := time.Now()
	good, over := chain(testpeer.CertOpts{}), chain(testpeer.CertOpts{NotAfter: now.Add(-time.Minute)})
	stale := *root
	stale.NotAfter = now.Add(-time.Minute)
	for name, c := range map[string]struct {
		chains [][]*x509.Certificate
		want   []*x509.Certificate
		err    bool
	}{
		"none":                       {nil, nil, false},
		"good":                       {[][]*x509.Certificate{good}, good, false},
		"over":                       {[][]*x509.Certificate{over}, nil, true},
		"over, and another is good":  {[][]*x509.Certificate{over, good}, good, false},
		"not yet":                    {[][]*x509.Certificate{chain(testpeer.CertOpts{NotBefore: now.Add(time.Hour)})}, nil, true},
		"its authority is over":      {[][]*x509.Certificate{{good[0], &stale}}, nil, true},
		"an authority that is other": {[][]*x509.Certificate{{good[0], good[0]}}, nil, true},
	} {
		got, err := doors.trusted(c.chains)
		if c.err != errors.Is(err, fault.Unauthenticated) || c.err != (err != nil) || len(got) != len(c.want) || len(got) > 0 && got[0] != c.want[0] {
			t.Errorf("%s: got %d certificates and %v, want %d and an error: %v", name, len(got), err, len(c.want), c.err)
		}
	}
}
