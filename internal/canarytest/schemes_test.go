package canarytest

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// openVaults starts one that works and one that does not.
func (w *world) openVaults() {
	v, url := testpeer.StartVault(w.t)
	v.AppRole("approle", "role", w.birds.hatch("vault-secret-id"), &testpeer.VaultLease{TTL: time.Hour, Renewable: true})
	v.Put("secret/app", map[string]string{"token": w.birds.hatch("vaulted")})
	w.vault = url
	broken, url := testpeer.StartVault(w.t)
	broken.Answer(func(r *http.Request) *testpeer.VaultAnswer {
		text := asked(r)
		status := 500
		if strings.Contains(r.URL.Path, "forbidden") {
			status = 403
		}
		return &testpeer.VaultAnswer{Status: status, Header: http.Header{"X-Debug": {text}}, Body: jsonText(text, true)}
	})
	w.wrong = url
}

// simple are the schemes whose secret is in the policy's reach.
func (w *world) simple() {
	w.with("bearer", "bearer: {token: "+w.secret("bearer")+"}", resumes)
	w.with("filed", "bearer: {token: {secret: file:"+w.file("filed", w.birds.hatch("filed"))+"}}")
	w.with("vaulted", `bearer: {token: {secret: "vault:app#token"}}`)
	w.with("basic", "basic: {username: user, password: "+w.put("basic", w.birds.add("basic", "cnry-", core(), `/+"&<\é`))+"}", resumes)
	w.with("username", "basic: {secret_username: "+w.secret("username")+"}")
	w.with("header-key", "api_key: {header: X-Api-Key, prefix: 'Token ', key: "+w.secret("header-key")+"}")
	w.with("odd-header-key", "api_key: {header: X-Custom, key: "+w.put("odd-header-key", w.birds.add("odd-header-key", "", core(), ` "quoted" & \ more`))+"}")
	w.with("query-key", "api_key: {query: key, key: "+w.secret("query-key")+"}", resumes)
	w.with("cookie-key", "api_key: {cookie: session, key: "+w.secret("cookie-key")+"}")
	w.with("template", "headers: {set: {X-Signed: 'key=${key};tenant=acme', X-Id: '${id}'}, secrets: [{name: key, secret: env:CANARY_TEMPLATE_KEY}, {name: id, secret: env:CANARY_TEMPLATE_ID}]}")
	w.secret("template-key")
	w.secret("template-id")
	w.with("digest", "digest: {username: user, password: "+w.secret("digest")+"}")
	w.with("aws", "aws: {region: eu-central-1, service: s3, access_key_id: "+w.secret("aws-id")+", secret_access_key: "+w.secret("aws-key")+", session_token: "+w.secret("aws-session")+"}")
	w.with("hmac", "hmac: {key: "+w.secret("hmac")+", text: '${method}${path}${timestamp}', headers: {X-Signature: '${signature}', X-Date: '${timestamp}'}}")
	w.credentials = append(w.credentials, "  - name: one\n    bind: [\"http://127.0.0.1:*\"]\n    bearer: {token: "+w.secret("pool-one")+"}",
		"  - name: two\n    bind: [\"http://127.0.0.1:*\"]\n    bearer: {token: "+w.secret("pool-two")+"}")
	w.with("pool", "pool: {members: [one, two], rest: 1s}")
	cert := w.ca.Issue(testpeer.CertOpts{CommonName: "us", Client: true})
	certificate, key := testpeer.PEM(w.t, cert)
	pair := "{cert_file: " + w.file("client.pem", string(certificate)) + ", key: {secret: file:" + w.file("client.key", w.keyed("client-key", key)) + "}}"
	server := testpeer.EchoTLS(w.t, w.ca.Issue(testpeer.CertOpts{}), testpeer.TLSOpts{ClientCA: w.ca.Pool()})
	w.at("certificate", "client_certificate: "+pair, server)
	w.with("oauth-mtls", w.oauth(w.idpTLS+"/token", "client_certificate: "+pair))
}

// oauth is the scheme, with what its client or grant has of its own.
func (w *world) oauth(tokenURL, own string) string {
	return "oauth2: {token_url: \"" + tokenURL + "\", unsafe_plain_http: " + fmt.Sprint(strings.HasPrefix(tokenURL, "http:")) + ", unsafe_allow_addresses: [127.0.0.1], client_id: us, " + own + "}"
}

// tokens are those that a server issues.
func (w *world) tokens() {
	token := w.idp + "/token"
	w.with("oauth-basic", w.oauth(token, "client_secret: "+w.secret("oauth-basic")))
	w.with("oauth-post", w.oauth(token, "client_auth: client_secret_post, client_secret: "+w.secret("oauth-post")))
	w.with("oauth-jwt", w.oauth(token, "client_key: {key: "+w.keyFile("oauth-jwt", newECKey(w.t))+"}"))
	w.with("refresh", w.oauth(token, "refresh: {token: "+w.secret("refresh")+", state_file: "+filepath.Join(w.dir, "state")+"}"))
	w.with("assertion", w.oauth(token, "jwt_bearer: {key: {key: "+w.keyFile("assertion", newECKey(w.t))+"}}"))
	w.with("exchange", w.oauth(token, "client_secret: "+w.secret("exchange-client")+", token_exchange: {subject_token: "+w.secret("subject")+", actor_token: "+w.secret("actor")+"}"))
	w.with("on-behalf", w.oauth(token, "token_exchange: {}"))
	google, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		w.t.Fatal(err)
	}
	account, _ := json.Marshal(map[string]string{"type": "service_account", "client_email": "a@example.com", "private_key_id": "k", "private_key": w.key("google", google), "token_uri": "https://oauth2.googleapis.com/token"})
	w.with("google", strings.Replace(w.oauth(token, "scopes: [a], google_service_account: {key: {secret: file:"+w.file("google.json", string(account))+"}}"), "client_id: us, ", "", 1))
	w.with("role", "aws: {region: eu-central-1, service: execute-api, access_key_id: "+w.secret("role-id")+", secret_access_key: "+w.secret("role-key")+", session_token: "+w.secret("role-session")+
		", assume_role: {role_arn: 'arn:aws:iam::123456789012:role/us', sts_url: \""+w.idp+"/sts\", unsafe_plain_http: true, unsafe_allow_addresses: [127.0.0.1]}}")
}
