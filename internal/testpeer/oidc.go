package testpeer

import (
	"crypto/tls"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// OIDCOpts set an authorization server up.
type OIDCOpts struct {
	// Cert is the server's own.
	Cert tls.Certificate
	// ClientCA is whose client certificates it takes.
	ClientCA *CA
	// Clients are its clients, as RFC 7591 has them; a Basic client, say:
	// `{"client_id": …, "client_secret": …, "token_endpoint_auth_method": "client_secret_basic"}`.
	// One with no grant types has client_credentials.
	Clients []map[string]any
	// Lifetime is that of access tokens. Default: a minute.
	Lifetime time.Duration
}

// OIDC runs npm's oidc-provider (tools/oidc) until the test ends: /token,
// /token/introspection, /token/revocation, and /mint?client_id=… for a refresh
// token. Refresh tokens rotate, and one that comes again ends the whole line. It is
// installed by `make test`; where it is not, the test is skipped, or fails if
// CI=true.
func OIDC(t testing.TB, opts OIDCOpts) (issuer string) {
	t.Helper()
	node := Binary(t, "node", "nodejs")
	script := installed(t, "oidc/provider.mjs", "oidc/node_modules/oidc-provider/package.json")
	if opts.Lifetime == 0 {
		opts.Lifetime = time.Minute
	}
	for _, c := range opts.Clients {
		if c["grant_types"] == nil {
			c["grant_types"] = []string{"client_credentials"}
		}
		c["redirect_uris"], c["response_types"] = []string{}, []string{}
	}
	certificate, key := PEM(t, opts.Cert)
	addr := startProcess(t, func(host, port string) *exec.Cmd {
		config, err := json.Marshal(map[string]any{
			"host": host, "port": port, "cert": string(certificate), "key": string(key), "ca": string(opts.ClientCA.PEM()),
			"clients": opts.Clients, "lifetime": int(opts.Lifetime.Seconds()),
		})
		if err != nil {
			t.Fatalf("testpeer: clients of oidc-provider: %v", err)
		}
		return exec.Command(node, script, string(config))
	})
	return (&url.URL{Scheme: "https", Host: addr}).String()
}

// installed finds what `make test` puts into .build, and gives the first of the
// files.
func installed(t testing.TB, files ...string) string {
	t.Helper()
	root, err := os.Getwd()
	for err == nil {
		if _, found := os.Stat(filepath.Join(root, "go.mod")); found == nil {
			break
		}
		if filepath.Dir(root) == root {
			t.Fatal("testpeer: the test runs outside of the module")
		}
		root = filepath.Dir(root)
	}
	for _, f := range files {
		if _, err := os.Stat(filepath.Join(root, ".build", f)); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("testpeer: no .build/%s; run make test", f)
		}
		t.Skipf("testpeer: no .build/%s; run make test, which installs it where it can", f)
	}
	return filepath.Join(root, ".build", files[0])
}
