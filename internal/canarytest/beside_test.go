package canarytest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// refusals are credentials that those who are asked for them refuse, at length.
func (w *world) refusals() {
	for way, base := range map[string]string{
		"description": w.idp, "described-only": w.idp, "odd-token": w.idp, "html": w.idp, "coding": w.idp, "redirect": w.idp, "redirect-badly": w.idp, "missing": w.idp, "rude": w.rude,
	} {
		for _, how := range []string{"client_secret_basic", "client_secret_post"} {
			name := "no-" + way + strings.TrimPrefix(strings.ReplaceAll(how, "_", "-"), "client-secret")
			w.with(name, w.oauth(base+"/"+way, "client_auth: "+how+", client_secret: "+w.secret(name)))
			w.broken = append(w.broken, name)
		}
	}
	for name, base := range map[string]string{"no-role": w.idp + "/sts-error", "no-role-rude": w.rude + "/"} {
		w.with(name, "aws: {region: eu-central-1, service: s3, access_key_id: "+w.secret(name+"-id")+", secret_access_key: "+w.secret(name+"-key")+", session_token: "+w.secret(name+"-session")+
			", assume_role: {role_arn: 'arn:aws:iam::123456789012:role/us', sts_url: \""+base+"\", unsafe_plain_http: true, unsafe_allow_addresses: [127.0.0.1]}}")
		w.broken = append(w.broken, name)
	}
	for name, ref := range map[string]string{"no-vault": "wrong:app#a", "no-vault-forbidden": "wrong:forbidden#a", "no-vault-login": "login:app#a", "no-vault-rude": "rude:app#a", "no-key": "vault:app#nothing"} {
		w.with(name, "bearer: {token: {secret: \""+ref+"\"}}")
		w.broken = append(w.broken, name)
	}
	w.with("no-jwt", w.oauth(w.idp+"/token", "client_key: {key: {secret: file:"+w.file("not.pem", "-----BEGIN PRIVATE KEY-----\n"+w.birds.hatch("not-a-key")+"\n-----END PRIVATE KEY-----\n")+"}}"))
	w.broken = append(w.broken, "no-jwt")
	slices.Sort(w.broken)
}

// callers prove who they are by a key and by a token.
func (w *world) callers() {
	w.apiKey = w.birds.hatch("api-key")
	sum := sha256.Sum256([]byte(w.apiKey))
	w.put("key-hash", hex.EncodeToString(sum[:]))
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	coded := base64.RawURLEncoding.EncodeToString
	keys := testpeer.HTTP(w.t, http.HandlerFunc(func(res http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(res, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","alg":"EdDSA","x":%q}]}`, coded(public))
	}))
	claims := fmt.Sprintf(`{"iss":"https://corp.example","aud":"fetchsvc","sub":"us","exp":%d}`, time.Now().Add(time.Hour).Unix())
	signed := coded([]byte(`{"alg":"EdDSA","kid":"k"}`)) + "." + coded([]byte(claims))
	signature := coded(ed25519.Sign(private, []byte(signed)))
	w.jwt = w.birds.add("jwt", signed+".", signature, "")
	w.upstreams = append([]string{"issuers:\n  - {name: corp, issuer: https://corp.example, audiences: [fetchsvc], jwks_url: \"" + keys + "\", unsafe_plain_http: true, unsafe_allow_addresses: [127.0.0.1]}\n" +
		"callers:\n  - {name: machine, api_key: {secret: env:CANARY_KEY_HASH}}\n  - {name: human, jwt: [{issuer: corp, claims: {sub: us}}]}\noperators: [machine]\nupstreams:"}, w.upstreams...)
}

// beside are the upstreams without a credential, one behind a proxy, and one whose
// answers are not scrubbed.
func (w *world) beside() {
	w.away = &echo{birds: w.birds}
	w.upstream("away", testpeer.Raw(w.t, w.away.script).URL)
	w.with("off", "bearer: {token: "+w.secret("off")+"}", "scrub: off")
	w.with("strict", "bearer: {token: "+w.secret("strict")+"}", "scrub: refuse")
	w.with("kept", "bearer: {token: "+w.secret("kept")+"}", "caller_credentials: keep")
	w.with("denied", "bearer: {token: "+w.secret("denied")+"}", "caller_credentials: deny")
	w.forward = testpeer.NewForward(w.t, nil, "us", w.birds.hatch("proxy"))
	w.put("proxy", w.birds.list()["proxy"].value)
	w.with("proxied", "bearer: {token: "+w.secret("proxied")+"}", "proxy: {url: \"http://"+w.forward.Addr+"\", username: us, password: {secret: env:CANARY_PROXY}}")
	deny := &echo{birds: w.birds}
	server := testpeer.Raw(w.t, deny.script)
	w.with("misproxied", "bearer: {token: "+w.secret("misproxied")+"}", "proxy: {url: \""+strings.Replace(testpeer.Raw(w.t, rudeProxy).URL, "https", "http", 1)+"\", username: us, password: "+w.secret("proxy-2")+"}")
	w.at("stale", "api_key: {header: X-Custom, key: "+w.secret("stale")+"}", testpeer.Raw(w.t, testpeer.StaleAfter(1)).URL)
	w.upstream("own", server.URL, "grants: [request_proxy, request_client_cert, unsafe_skip_verify]")
	w.echoes["own"] = deny
	w.upstream("refused", "http://"+testpeer.ClosedPort(w.t))
	w.upstream("garbage", testpeer.TLSGarbage(w.t).URL)
}

// rudeProxy refuses with all that it was sent.
func rudeProxy(c *testpeer.RawConn) {
	text := received(c.ReadRequest())
	switch c.Index() % 3 {
	case 0:
		c.Write(testpeer.Lines("HTTP/1.1 502 "+text, "Proxy-Status: p; error=connection_refused; details=\""+text+"\"", "Content-Length: 0"))
	case 1:
		c.Write(testpeer.Lines("HTTP/1.1 407 "+text, "Proxy-Authenticate: Basic realm=\""+text+"\"", "Content-Length: 0"))
	default:
		c.Write(text + "\r\n\r\n")
	}
	c.Linger()
}
