package policy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/target"
)

const pooled = `
credentials:
  - {name: pool, bind: [https://api.example.com], pool: {members: [one, two]}}
  - {name: one, bind: [https://api.example.com], bearer: {token: {secret: file:one}}}
  - {name: two, bind: [https://api.example.com], oauth2: {token_url: https://idp.example.com/token, client_id: a, client_secret: {secret: env:A}}}
  - {name: unused, bind: [https://api.example.com], bearer: {token: {secret: env:A}}}
upstreams: [{name: api, hosts: [api.example.com], credential: pool}]
secrets: {vaults: [{name: vault, address: https://vault.example.com, token: {secret: file:token}}]}
`

// credentialIDs loads text from a folder, and gives the IDs by name, vaults' too.
func credentialIDs(t *testing.T, dir, text string) map[string]string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(filepath.Join(dir, "policy.yaml"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, c := range s.Credentials() {
		ids[c.Name] = c.ID
	}
	for _, v := range s.Secrets.Vaults {
		ids[v.Name] = v.ID
	}
	return ids
}

// TestCredentialIDs: what is kept for a credential is kept as long as nothing of it
// changes, wherever it stands in the file; and is not another's.
func TestCredentialIDs(t *testing.T) {
	dir := t.TempDir()
	before := credentialIDs(t, dir, pooled)
	if names := len(before); names != 4 || slices.Contains([]string{before["pool"], before["one"], before["two"], before["vault"]}, "") {
		t.Fatalf("the IDs are %v, want those of what is used", before)
	}
	for _, c := range []struct {
		name, old, new string
		changed        []string
	}{
		{"nothing", "", "", nil},
		{"a comment, and another upstream", "upstreams: [", "# now\nupstreams: [{name: x, hosts: [x.example.com]}, ", nil},
		{"the order", "credentials:\n", "credentials:\n  - {name: new, bind: [https://a.example.com], bearer: {token: {secret: env:NEW}}}\n", nil},
		{"a secret of a member", "file:one", "file:other", []string{"one", "pool"}},
		{"an origin of a member", "{name: one, bind: [https://api.example.com]", "{name: one, bind: [https://*.example.com]", []string{"one", "pool"}},
		{"the scopes", "client_id: a,", "client_id: a, scopes: [read],", []string{"two", "pool"}},
		{"the pool", "members: [one, two]", "members: [two, one]", []string{"pool"}},
		{"the vault", "token: {secret: file:token}", "token: {secret: file:token}, refresh: 2m", []string{"vault"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(pooled, c.old) {
				t.Fatalf("the policy has no %q", c.old)
			}
			after := credentialIDs(t, dir, strings.Replace(pooled, c.old, c.new, 1))
			for name, id := range before {
				if changed := after[name] != id; changed != slices.Contains(c.changed, name) {
					t.Errorf("the ID of %s changed: %v", name, changed)
				}
			}
		})
	}
	t.Run("the folder", func(t *testing.T) {
		for name, id := range credentialIDs(t, t.TempDir(), pooled) {
			if id == before[name] {
				t.Errorf("the ID of %s is the same, and its files are others", name)
			}
		}
	})
}

// TestSystemUpstreamsTakeTheirMethods: nothing but the token endpoint's POST goes to
// it by fetchsvc's own calls, and to a vault nothing is deleted.
func TestSystemUpstreamsTakeTheirMethods(t *testing.T) {
	s := mustParse(t, pooled)
	for _, c := range []struct {
		upstream, method, url string
		denied                bool
	}{
		{"system.token/two", "POST", "https://idp.example.com/token", false},
		{"system.token/two", "GET", "https://idp.example.com/token", true},
		{"system.token/two", "POST", "https://api.example.com/token", true},
		{"system.token/two", "POST", "http://idp.example.com/token", true},
		{"system.vault/vault", "GET", "https://vault.example.com/v1/secret/data/a", false},
		{"system.vault/vault", "PUT", "https://vault.example.com/v1/auth/token/renew-self", false},
		{"system.vault/vault", "DELETE", "https://vault.example.com/v1/secret/data/a", true},
		{"system.token/one", "POST", "https://idp.example.com/token", true},
	} {
		u, err := target.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.DecideSystem(c.upstream, Query{Caller: System, Method: c.method, URL: u})
		if (err != nil) != c.denied {
			t.Errorf("%s %s to %s: %v", c.method, c.url, c.upstream, err)
		}
		if err == nil && (!d.Route.Retry.Repeats(c.method) || d.Route.Credential != nil) {
			t.Errorf("%s to %s is not sent again, or carries a credential", c.method, c.upstream)
		}
		if _, err := s.Decide(Query{Caller: Anonymous, Method: c.method, URL: u}); err == nil && u.Host.Name != "api.example.com" {
			t.Errorf("a caller may %s %s", c.method, c.url)
		}
	}
}

// TestWordsHaveNoReference: what is shown of a credential does not say where its
// secrets are.
func TestWordsHaveNoReference(t *testing.T) {
	shown := 0
	for _, g := range goldens(t) {
		s, err := g.load(t)
		if err != nil {
			continue
		}
		for _, c := range s.Credentials() {
			shown++
			if words := c.Words(); strings.Contains(words, "env:") || strings.Contains(words, "file:") || strings.Contains(words, "#") {
				t.Errorf("%s: %s", g.name, words)
			}
		}
	}
	if shown < 40 {
		t.Errorf("the files have %d credentials only", shown)
	}
}

// TestRefreshTokensAreSpentOnce: a request that may have been heard is not sent again
// by itself.
func TestRefreshTokensAreSpentOnce(t *testing.T) {
	up := &Upstream{Base: &Route{}}
	up.repeats("POST")
	up.spends()
	s := up.Base.Settings
	if s.Timeouts.Attempt != s.Timeouts.Total || s.Retry.Read != 0 || s.Retry.Other != 0 || slices.Contains(s.Retry.Statuses, 502) || s.Retry.Connect == 0 {
		t.Errorf("got %+v", s)
	}
}
