package docs_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// get is a call of a URL.
func get(url string) string { return fmt.Sprintf(`{"url":%q}`, url) }

// carries says that what arrived at host had this header, each time.
func (r *credentialRun) carries(host, header string, want ...string) {
	r.Helper()
	var got []string
	for _, a := range r.net.to(host) {
		got = append(got, strings.Join(a.Header.Values(header), "|"))
	}
	if !slices.Equal(got, want) {
		r.Errorf("%s got %s %q, want %q", host, header, got, want)
	}
}

// bearers says it of Authorization.
func (r *credentialRun) bearers(host string, want ...string) {
	r.Helper()
	for i, token := range want {
		want[i] = "Bearer " + token
	}
	r.carries(host, "Authorization", want...)
}

func basicOf(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// vaultCase is a policy with a vault, which is opened so.
func vaultCase(nth int, mount string, values map[string]string, open func(*testpeer.Vault) (token string), edit func(string) string) credentialCase {
	vault := testpeer.NewVault()
	vault.Put(mount+"/payments/live", map[string]string{"api_key": "the-key-in-the-vault"})
	if token := open(vault); token != "" {
		values["file:secrets/vault-token"] = token
	}
	return credentialCase{
		heading: "A vault", nth: nth, values: values, edit: edit,
		answers: map[string]http.HandlerFunc{"vault.example.com:8200": vault.ServeHTTP},
		calls:   []string{get("https://api.payments.example/v1")},
		look: func(r *credentialRun) {
			r.bearers("api.payments.example", "the-key-in-the-vault")
			if s := vault.Strange(); len(s) > 0 {
				r.Errorf("the vault got %q", s)
			}
		},
	}
}

func credentialCases() []credentialCase {
	const roleID = "3f2a9c1e-5d7b-4c55-9a2e-0e8f6b1c7d42"
	cases := []credentialCase{
		vaultCase(0, "secret", map[string]string{"env:VAULT_SECRET_ID": "the-secret-id"}, func(v *testpeer.Vault) string {
			v.AppRole("approle", roleID, "the-secret-id", &testpeer.VaultLease{})
			return ""
		}, nil),
		vaultCase(1, "kv/team-a", map[string]string{"file:account": "the-token-of-the-account"}, func(v *testpeer.Vault) string {
			v.Kubernetes("kubernetes", "fetchsvc", "the-token-of-the-account", &testpeer.VaultLease{})
			return ""
		}, func(policy string) string { // the account's token lies where only pods have it
			return strings.Replace(policy, "{role: fetchsvc}", "{role: fetchsvc, token_file: account}", 1)
		}),
		vaultCase(2, "secret", map[string]string{}, func(v *testpeer.Vault) string {
			return v.Token(testpeer.VaultLease{})
		}, nil),
		{
			heading: "GitHub",
			calls:   []string{get("https://api.github.com/user"), get("https://raw.githubusercontent.com/a/b/main/c")},
			look: func(r *credentialRun) {
				r.bearers("api.github.com", r.values["env:GITHUB_TOKEN"])
				r.carries("raw.githubusercontent.com", "Authorization", "")
			},
		},
		{
			heading: "Stripe",
			calls:   []string{`{"method":"POST","url":"https://api.stripe.com/v1/charges","form":{"fields":[{"name":"amount","value":"1"}]}}`, get("https://reports.example.com/")},
			look: func(r *credentialRun) {
				r.carries("api.stripe.com", "Authorization", basicOf(r.values["file:secrets/stripe"], ""))
				r.carries("reports.example.com", "Authorization", basicOf("fetchsvc", r.values["env:REPORTS_PASSWORD"]))
			},
		},
		{
			heading: "A key",
			calls:   []string{get("https://search.example.com/"), get("https://maps.example.com/at?q=a%20b&k%65y=mine&z"), get("https://legacy.example.com/")},
			look: func(r *credentialRun) {
				r.carries("search.example.com", "X-Api-Key", r.values["file:secrets/search"])
				r.carries("legacy.example.com", "Cookie", "session="+r.values["env:LEGACY_SESSION"])
				if got, want := r.net.to("maps.example.com")[0].RequestURI, "/at?q=a%20b&z&key="+r.values["env:MAPS_KEY"]; got != want {
					r.Errorf("the target is %s, want %s", got, want)
				}
			},
		},
		{
			heading: "Headers of your own",
			calls:   []string{get("https://api.partner.example/")},
			look: func(r *credentialRun) {
				r.carries("api.partner.example", "X-Auth", "key="+r.values["env:PARTNER_KEY"]+";tenant=acme")
				r.carries("api.partner.example", "X-Client-Id", r.values["env:PARTNER_ID"])
			},
		},
		keyedCase(),
		{
			heading: "A client certificate",
			calls:   []string{get("https://api.bank.example/")},
			look: func(r *credentialRun) {
				if got := r.net.to("api.bank.example")[0].presented; got != "fetchsvc" {
					r.Errorf("the certificate of %q was presented, want fetchsvc's", got)
				}
			},
		},
		poolCase(),
	}
	cases = append(cases, awsCases()...)
	return append(cases, oauthCases()...)
}

// keyedCase checks each signature as its receiver does.
func keyedCase() credentialCase {
	const key, coded = "a-key-that-is-shared", "YS1rZXktdGhhdC1pcy1zaGFyZWQ="
	sum := func(h func() hash.Hash, text string) []byte {
		mac := hmac.New(h, []byte(key))
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	post := func(url string) string {
		return fmt.Sprintf(`{"method":"POST","url":%q,"text":"the body","headers":[{"name":"Webhook-Id","value":"msg_1"}]}`, url)
	}
	return credentialCase{
		heading: "A signature by a shared key",
		values:  map[string]string{"env:HOOK_KEY": key, "env:HOOK_KEY_BASE64": coded, "env:OWN_KEY": key},
		calls: []string{post("https://hooks.one.example/"), post("https://hooks.two.example/"),
			post("https://hooks.three.example/"), post("https://api.four.example/a%20b?c=d")},
		look: func(r *credentialRun) {
			r.carries("hooks.one.example", "X-Hub-Signature-256", "sha256="+hex.EncodeToString(sum(sha256.New, "the body")))
			at := r.net.to("hooks.two.example")[0].Header.Get("X-Slack-Request-Timestamp")
			r.carries("hooks.two.example", "X-Slack-Signature", "v0="+hex.EncodeToString(sum(sha256.New, "v0:"+at+":the body")))
			at = r.net.to("hooks.three.example")[0].Header.Get("Webhook-Timestamp")
			r.carries("hooks.three.example", "Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(sum(sha256.New, "msg_1."+at+".the body")))
			four := r.net.to("api.four.example")[0].Header
			_, rest, _ := strings.Cut(four.Get("Authorization"), `nonce="`)
			nonce, _, _ := strings.Cut(rest, `"`)
			digest := sha256.Sum256([]byte("the body"))
			text := strings.Join([]string{"POST", "/a%20b?c=d", four.Get("X-Date"), nonce, hex.EncodeToString(digest[:])}, "\n")
			r.carries("api.four.example", "Authorization",
				fmt.Sprintf(`HMAC keyId="fetchsvc-1", nonce="%s", signature="%x"`, nonce, sum(sha512.New, text)))
		},
	}
}

// poolCase refuses one key.
func poolCase() credentialCase {
	return credentialCase{
		heading: "OpenAI, with several keys",
		answers: map[string]http.HandlerFunc{"api.openai.com": func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.Header.Get("Authorization"), "1") {
				w.WriteHeader(http.StatusUnauthorized)
			}
		}},
		calls: []string{get("https://api.openai.com/v1/models"), get("https://api.openai.com/v1/models")},
		look: func(r *credentialRun) {
			one, two := r.values["env:OPENAI_KEY_1"], r.values["env:OPENAI_KEY_2"]
			r.bearers("api.openai.com", one, two, two)
			first := r.answers[0].Attempts
			if len(first) != 2 || first[0].Credential != "openai/openai-1" || first[1].Credential != "openai/openai-2" || first[1].Reason != "CHALLENGE" {
				r.Errorf("the ledger has %+v, want a challenge from openai-1 to openai-2", first)
			}
		},
	}
}
