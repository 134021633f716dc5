package docs_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
)

// guarded are credentials whose makings lie where no call may go, or lead there.
// INSIDE and REDIRECT are servers on loopback, which only the latter's are opened.
const guarded = `secrets:
  vaults:
    - {name: vault, address: INSIDE, token: {secret: env:KEY}, unsafe_plain_http: true}
credentials:
  - {name: metadata, bind: ["http://metadata.example"], oauth2: {token_url: "https://169.254.169.254/latest/token", client_id: us, client_secret: {secret: env:KEY}, unsafe_allow_addresses: [169.254.0.0/16]}}
  - {name: inside, bind: ["http://inside.example"], oauth2: {token_url: INSIDE/token, client_id: us, client_secret: {secret: env:KEY}, unsafe_plain_http: true}}
  - {name: redirect, bind: ["http://redirect.example"], oauth2: {token_url: REDIRECT/token, client_id: us, client_secret: {secret: env:KEY}, unsafe_plain_http: true, unsafe_allow_addresses: [127.0.0.1]}}
  - {name: role, bind: ["http://role.example"], aws: {region: eu-central-1, service: s3, access_key_id: {secret: env:KEY}, secret_access_key: {secret: env:KEY}, assume_role: {role_arn: "arn:aws:iam::1:role/a", sts_url: INSIDE/, unsafe_plain_http: true}}}
  - {name: vaulted, bind: ["http://vaulted.example"], bearer: {token: {secret: "vault:a#b"}}}
upstreams:
  - {name: metadata, hosts: [metadata.example], schemes: [http], credential: metadata}
  - {name: inside, hosts: [inside.example], schemes: [http], credential: inside}
  - {name: redirect, hosts: [redirect.example], schemes: [http], credential: redirect}
  - {name: role, hosts: [role.example], schemes: [http], credential: role}
  - {name: vaulted, hosts: [vaulted.example], schemes: [http], credential: vaulted}
`

// TestCredentialSourcesAreGuarded: what fetches tokens, keys and secrets goes by the
// guard of all calls, and follows no redirect. What cannot be signed is not sent.
func TestCredentialSourcesAreGuarded(t *testing.T) {
	if testing.Short() && os.Getenv("CI") != "true" {
		t.Skip("starts the service")
	}
	t.Parallel()
	dependOnSources(t)
	var reached, redirected atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer inside.Close()
	redirect := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		redirected.Add(1)
		w.Header().Set("Location", inside.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}))
	defer redirect.Close()
	policy := strings.NewReplacer("INSIDE", inside.URL, "REDIRECT", redirect.URL).Replace(guarded)
	service := startServe(t, build(t), policy, "KEY=a-key-of-the-test")
	for _, name := range []string{"metadata", "inside", "redirect", "role", "vaulted"} {
		body := fmt.Sprintf(`{"url":"http://%s.example/"}`, name)
		res, err := http.Post("http://127.0.0.1:"+service.rest+"/v1/fetch", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || !strings.Contains(string(text), `"CREDENTIAL_UNAVAILABLE"`) || !strings.Contains(string(text), `\"`+name+`\"`) {
			t.Errorf("%s: %v, want CREDENTIAL_UNAVAILABLE with its name:\n%s", name, err, text)
		}
		if strings.Contains(string(text), "a-key-of-the-test") {
			t.Errorf("%s: the error has the secret:\n%s", name, text)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("a server inside was called %d times", n)
	}
	if redirected.Load() == 0 {
		t.Error("the token endpoint that redirects was not called: the test shows nothing")
	}
}
