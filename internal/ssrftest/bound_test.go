package ssrftest

import (
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/auth"
	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// boundPolicy has one credential, bound to some origins of an upstream that takes
// any host, port and scheme.
const boundPolicy = `
credentials:
  - name: key
    bind: ["https://door.test:SECURE", "https://*.under.test:SECURE", "https://door.test:PLAIN"]
    bearer: {token: {secret: "file:TOKEN"}}
upstreams:
  - name: all
    hosts: ["*:*"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.99.0.1]
    credential: key
`

// TestCredentialsAreBound: a credential goes to the scheme, host and port that it is
// bound to. Another port of the same host, or the same port without TLS, is another
// origin, although the upstream is the same.
func TestCredentialsAreBound(t *testing.T) {
	const canary = "canary-token"
	seen := make(chan string, 1) // what the upstream was shown
	ca := testpeer.NewCA(t)
	cert := ca.Issue(testpeer.CertOpts{Names: []string{
		"door.test", "a.under.test", "a.b.under.test", "under.test", "aunder.test", "a.door.test", "xdoor.test", "door.test.evil.test", "evil.test",
	}})
	port := func(tls bool) string {
		t.Helper()
		with := &cert
		if !tls {
			with = nil
		}
		_, port, _ := net.SplitHostPort(serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			seen <- r.Header.Get("Authorization")
		}), with))
		return port
	}
	secure, other, plain := port(true), port(true), port(false)
	token := t.TempDir() + "/token"
	if err := os.WriteFile(token, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("SECURE", secure, "PLAIN", plain, "TOKEN", token).Replace(boundPolicy)
	snapshot, err := policy.Parse("bound.yaml", []byte(text), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	names, secrets := &resolver{table: map[string][][]string{}}, secret.New(secret.Config{})
	pools := egress.NewPools(egress.Config{Resolver: names, RootCAs: ca.Pool(), Secrets: secrets})
	t.Cleanup(pools.Close)
	engine := fetch.New(fetch.Config{Pools: pools, UserAgent: "fetchsvc/ssrftest", Keep: auth.NewKeep(auth.Config{Secrets: secrets})})
	engine.Use(snapshot)
	for url, want := range map[string]bool{
		"https://door.test:" + secure:           true,
		"https://DOOR.test.:" + secure:          true,
		"https://a.under.test:" + secure:        true,
		"https://a.b.under.test:" + secure:      true,
		"https://door.test:" + other:            false, // another port
		"https://a.under.test:" + other:         false,
		"http://door.test:" + plain:             false, // bound to https
		"http://a.under.test:" + plain:          false,
		"https://under.test:" + secure:          false, // another host
		"https://aunder.test:" + secure:         false,
		"https://a.door.test:" + secure:         false,
		"https://xdoor.test:" + secure:          false,
		"https://door.test.evil.test:" + secure: false,
		"https://evil.test:" + secure:           false,
	} {
		req, err := request(url + "/")
		if err != nil {
			t.Fatal(err)
		}
		names.set(req.URL.Host.Name, []string{openAddress})
		if _, err := engine.Do(t.Context(), req); err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		wanted := ""
		if want {
			wanted = "Bearer " + canary
		}
		if got := <-seen; got != wanted {
			t.Errorf("%s is shown %q, want %q", url, got, wanted)
		}
	}
}
