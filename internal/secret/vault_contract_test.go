package secret

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// keeper is who runs a vault: what the contract below needs done to one.
type keeper interface {
	put(path string, data map[string]any)
	remove(path string, destroyed bool)
	token(lease testpeer.VaultLease) string
	appRole(lease testpeer.VaultLease) (roleID, secretID string)
	kubernetes(lease testpeer.VaultLease) (role, jwt string)
	revoke(token string)
	seal(sealed bool)
}

// TestVaultContract holds the client, and the stand-in by which the other tests judge
// it, against the same facts as a true server. Such a one (of Vault or OpenBao, in
// memory, for nothing else: it is sealed and unsealed) is had by
//
//	FETCHSVC_TEST_VAULT=http://127.0.0.1:8200 FETCHSVC_TEST_VAULT_TOKEN=root
//	FETCHSVC_TEST_VAULT_KEY=hexadecimal unseal key
func TestVaultContract(t *testing.T) {
	t.Run("stand-in", func(t *testing.T) {
		peer, address := testpeer.StartVault(t)
		contract(t, address, standIn{peer})
	})
	address := os.Getenv("FETCHSVC_TEST_VAULT")
	if address == "" {
		return
	}
	t.Run("server", func(t *testing.T) {
		s := server{t, address, os.Getenv("FETCHSVC_TEST_VAULT_TOKEN"), os.Getenv("FETCHSVC_TEST_VAULT_KEY")}
		s.prepare()
		contract(t, address, s)
	})
}

func contract(t *testing.T, address string, by keeper) {
	hour := testpeer.VaultLease{TTL: time.Hour, Max: 90 * time.Minute, Renewable: true}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	dir := t.TempDir()
	file := func(name, text string) string {
		write(t, filepath.Join(dir, name), text)
		return filepath.Join(dir, name)
	}
	roleID, secretID := by.appRole(hour)
	role, jwt := by.kubernetes(hour)
	ways := map[string]Vault{
		"token":            {Token: "file:" + file("token", by.token(hour))},
		"approle":          {RoleID: roleID, SecretID: "file:" + file("id", secretID)},
		"kubernetes":       {Role: role, TokenFile: file("jwt", jwt)},
		"no-such-token":    {Token: "file:" + file("bad", "hvs.none")},
		"no-such-secret":   {RoleID: roleID, SecretID: "file:" + file("bad", "hvs.none")},
		"no-such-role":     {RoleID: "none", SecretID: "file:" + file("id", secretID)},
		"no-such-account":  {Role: role, TokenFile: file("worse", jwt[:len(jwt)-8])},
		"no-such-mount":    {Token: "file:" + file("token2", by.token(hour)), Mount: "none"},
		"no-such-login-at": {RoleID: roleID, SecretID: "file:" + file("id", secretID), AuthMount: "none"},
	}
	from := Sources{}
	for name, v := range ways {
		v.Name, v.ID, v.Address, v.Transport = name, name, address, transport
		from.Vaults = append(from.Vaults, v)
	}
	s := New(Config{})
	s.Use(from)
	defer s.Close()
	is := func(ref, text string) {
		t.Helper()
		if got, err := s.Get(ref); err != nil || got.Reveal() != text {
			t.Errorf("%s: got %q, %v; want %q", ref, got.Reveal(), err, text)
		}
	}
	fails := func(ref, text string) {
		t.Helper()
		if _, err := s.Get(ref); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %v, want %q", ref, err, text)
		}
	}

	by.put("app/a b/ü", map[string]any{"k": "one", "#": "two", "n": 12, "b": true, "pem": "x\ny\n", "o": map[string]any{}})
	for _, way := range []string{"token", "approle", "kubernetes"} {
		is(way+":app/a b/ü#k", "one")
		is(way+":app/a b/ü##", "two")
		is(way+":app/a b/ü#n", "12")
		is(way+":app/a b/ü#b", "true")
		fails(way+":app/a b/ü#o", "not text")
		fails(way+":app/a b/ü#none", "version 1 of the secret has no such key")
		fails(way+":app/none#k", "has no such secret (404)")
		fails(way+":forbidden/a#k", "forbids reading secret/data/forbidden/a (403)")
	}
	fails("no-such-token:app/a b/ü#k", "(403)")
	fails("no-such-secret:app/a b/ü#k", "refuses the login at auth/approle (4")
	fails("no-such-role:app/a b/ü#k", "refuses the login at auth/approle (4")
	fails("no-such-account:app/a b/ü#k", "refuses the login at auth/kubernetes (4")
	fails("no-such-mount:app/a b/ü#k", "(40")
	fails("no-such-login-at:app/a b/ü#k", "the login at auth/none")

	by.put("app/deleted", map[string]any{"k": "one"})
	by.put("app/deleted", map[string]any{"k": "two"})
	by.remove("app/deleted", false)
	fails("token:app/deleted#k", "version 2 of the secret was deleted")
	by.put("app/destroyed", map[string]any{"k": "one"})
	by.remove("app/destroyed", true)
	fails("token:app/destroyed#k", "version 1 of the secret was destroyed")

	leases(t, s, by)

	// A refused token is replaced within the one Get.
	v, _ := s.vault("approle")
	before := v.held()
	by.revoke(before.token.Reveal())
	by.put("app/later", map[string]any{"k": "one"})
	is("approle:app/later#k", "one")
	if n := v.held().id - before.id; n != 1 {
		t.Errorf("%d logins in place of a revoked token, want 1", n)
	}

	by.seal(true)
	fails("token:app/sealed#k", "503: it is sealed")
	fails("kubernetes:app/sealed#k", "503: it is sealed")
	is("approle:app/later#k", "one") // it was read before
	by.seal(false)
}

// held is the session there is.
func (v *vault) held() *session {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.session
}

// leases: what a vault says of how long tokens are good is understood.
func leases(t *testing.T, s *Store, by keeper) {
	about := func(what string, got, want time.Duration) {
		t.Helper()
		if got > want || got < want-5*time.Minute {
			t.Errorf("%s: got %s, want about %s", what, got, want)
		}
	}
	for _, way := range []string{"approle", "kubernetes"} {
		v, _ := s.vault(way)
		first := v.held()
		if first == nil {
			t.Fatalf("%s: there was no login", way)
		}
		about(way+" lease", first.lease, time.Hour)
		next, err := v.prolonged(t.Context(), first)
		if err != nil || next.id != first.id || !next.renewable {
			t.Fatalf("%s: renewal: %v, want the same session for longer", way, err)
		}
		about(way+" renewed", time.Until(next.until), time.Hour)
	}
	v, _ := s.vault("token")
	for name, tt := range map[string]struct {
		lease testpeer.VaultLease
		ttl   time.Duration
	}{
		"renewable":   {testpeer.VaultLease{TTL: time.Hour, Renewable: true}, time.Hour},
		"short":       {testpeer.VaultLease{TTL: time.Hour, Max: 20 * time.Minute, Renewable: true}, 20 * time.Minute},
		"once":        {testpeer.VaultLease{TTL: time.Hour}, time.Hour},
		"without end": {testpeer.VaultLease{}, 0},
	} {
		given := &session{token: NewValue(by.token(tt.lease)), unknown: true}
		s, err := v.prolonged(context.Background(), given)
		if err != nil {
			t.Errorf("%s: lookup-self: %v", name, err)
			continue
		}
		about(name+" ttl", s.lease, tt.ttl)
		if s.renewable != tt.lease.Renewable || s.next.IsZero() != (tt.ttl == 0) {
			t.Errorf("%s: renewable %v, next %v", name, s.renewable, s.next)
		}
		if !s.renewable {
			continue
		}
		s, err = v.prolonged(context.Background(), s)
		if err != nil {
			t.Errorf("%s: renew-self: %v", name, err)
			continue
		}
		about(name+" renewed", time.Until(s.until), tt.ttl)
	}
}

// standIn is the keeper of a testpeer.Vault.
type standIn struct{ *testpeer.Vault }

func (s standIn) put(path string, data map[string]any) { s.Put("secret/"+path, data) }
func (s standIn) remove(path string, destroyed bool)   { s.Delete("secret/"+path, destroyed) }
func (s standIn) token(lease testpeer.VaultLease) string {
	return s.Token(lease)
}
func (s standIn) appRole(lease testpeer.VaultLease) (string, string) {
	s.Deny("secret/forbidden/a", true)
	s.AppRole("approle", "role", "secret", &lease)
	return "role", "secret"
}
func (s standIn) kubernetes(lease testpeer.VaultLease) (string, string) {
	s.Kubernetes("kubernetes", "app", "header.payload.signature", &lease)
	return "app", "header.payload.signature"
}
func (s standIn) revoke(string)    { s.Revoke() }
func (s standIn) seal(sealed bool) { s.Seal(sealed) }

// server is the keeper of a true server.
type server struct {
	*testing.T
	address, root, key string
}

// do asks the server, and fails unless it agrees.
func (s server) do(method, path string, body any) map[string]any {
	s.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.Fatal(err)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, s.address+"/v1/"+path, bytes.NewReader(text))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", s.root)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode/100 != 2 {
		s.Fatalf("%s %s: %d %s, %v", method, path, res.StatusCode, answer, err)
	}
	out := map[string]any{}
	_ = json.Unmarshal(answer, &out)
	return out
}

func (s server) prepare() {
	if s.do("GET", "sys/mounts", nil)["secret/"] == nil {
		s.do("POST", "sys/mounts/secret", map[string]any{"type": "kv", "options": map[string]string{"version": "2"}})
	}
	s.do("PUT", "sys/policies/acl/app", map[string]any{"policy": `path "secret/data/app/*" { capabilities = ["read"] }`})
	for _, method := range []string{"approle", "kubernetes"} {
		s.do("POST", "sys/auth/"+method, map[string]any{"type": method})
		s.Cleanup(func() { s.do("DELETE", "sys/auth/"+method, nil) })
	}
}

func (s server) put(path string, data map[string]any) {
	s.do("POST", "secret/data/"+strings.ReplaceAll(path, " ", "%20"), map[string]any{"data": data})
	s.Cleanup(func() { s.do("DELETE", "secret/metadata/"+strings.ReplaceAll(path, " ", "%20"), nil) })
}

func (s server) remove(path string, destroyed bool) {
	if destroyed {
		s.do("PUT", "secret/destroy/"+path, map[string]any{"versions": []int{1}})
		return
	}
	s.do("DELETE", "secret/data/"+path, nil)
}

func seconds(d time.Duration) string { return fmt.Sprint(int(d.Seconds())) }

func (s server) token(lease testpeer.VaultLease) string {
	body := map[string]any{"policies": []string{"app"}, "renewable": lease.Renewable}
	switch {
	case lease.TTL == 0:
		return s.root
	case lease.Max > 0:
		body["explicit_max_ttl"] = seconds(lease.Max)
	}
	body["ttl"] = seconds(lease.TTL)
	return s.do("POST", "auth/token/create", body)["auth"].(map[string]any)["client_token"].(string)
}

func (s server) appRole(lease testpeer.VaultLease) (string, string) {
	s.do("POST", "auth/approle/role/app", map[string]any{"token_policies": "app", "token_ttl": seconds(lease.TTL), "token_max_ttl": seconds(lease.Max)})
	data := func(answer map[string]any, name string) string { return answer["data"].(map[string]any)[name].(string) }
	return data(s.do("GET", "auth/approle/role/app/role-id", nil), "role_id"),
		data(s.do("POST", "auth/approle/role/app/secret-id", struct{}{}), "secret_id")
}

// kubernetes stands in for the cluster, which the server asks about service accounts.
func (s server) kubernetes(lease testpeer.VaultLease) (string, string) {
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			s.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	jwt := part(map[string]string{"alg": "RS256", "typ": "JWT"}) + "." + part(map[string]any{
		"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:ns:app",
		"nbf": time.Now().Add(-time.Hour).Unix(), "iat": time.Now().Add(-time.Hour).Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": "ns", "serviceaccount": map[string]string{"name": "app", "uid": "uid"}},
	}) + "." + base64.RawURLEncoding.EncodeToString([]byte("not judged by the server"))
	cluster := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		known := bytes.Contains(body, []byte(`"`+jwt+`"`))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
			"status": map[string]any{"authenticated": known, "user": map[string]any{
				"username": "system:serviceaccount:ns:app", "uid": "uid", "groups": []string{"system:serviceaccounts"},
			}},
		})
	}))
	s.Cleanup(cluster.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cluster.Certificate().Raw})
	s.do("POST", "auth/kubernetes/config", map[string]any{
		"kubernetes_host": cluster.URL, "kubernetes_ca_cert": string(ca), "disable_local_ca_jwt": true, "disable_iss_validation": true,
	})
	s.do("POST", "auth/kubernetes/role/app", map[string]any{
		"bound_service_account_names": "app", "bound_service_account_namespaces": "ns",
		"token_policies": "app", "token_ttl": seconds(lease.TTL), "token_max_ttl": seconds(lease.Max),
	})
	return "app", jwt
}

func (s server) revoke(token string) {
	s.do("POST", "auth/token/revoke", map[string]string{"token": token})
}

func (s server) seal(sealed bool) {
	if sealed {
		s.do("PUT", "sys/seal", nil)
		return
	}
	s.do("PUT", "sys/unseal", map[string]string{"key": s.key})
}
