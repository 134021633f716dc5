package canarytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// world is everything around the service: secrets, what they are for, and who
// listens.
type world struct {
	t     *testing.T
	birds *aviary
	said  *evidence
	dir   string
	env   []string

	issuer       *issuer
	idp, idpTLS  string
	rude         string
	vault, wrong string
	forward      *testpeer.Forward
	ca           *testpeer.CA

	credentials, upstreams []string
	// echoes are the upstreams by name, and their URLs.
	echoes  map[string]*echo
	servers map[string]*testpeer.RawServer
	urls    map[string]string
	away    *echo
	// broken are the credentials that cannot be had.
	broken []string

	apiKey, jwt string
}

// secret puts a new canary into the environment and gives its reference.
func (w *world) secret(name string) string { return w.put(name, w.birds.hatch(name)) }

func (w *world) put(name, value string) string {
	variable := "CANARY_" + strings.ToUpper(strings.NewReplacer("-", "_").Replace(name))
	w.env = append(w.env, variable+"="+value)
	return "{secret: env:" + variable + "}"
}

func (w *world) file(name, text string) string {
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// key makes a private key a canary: one line in its middle.
func (w *world) key(name string, key any) (pemText string) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.keyed(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func (w *world) keyed(name string, text []byte) string {
	line := strings.Split(string(text), "\n")[1]
	before, behind, _ := strings.Cut(string(text), line)
	return w.birds.add(name, before, line, behind)
}

func (w *world) keyFile(name string, key any) string {
	return "{secret: file:" + w.file(name+".pem", w.key(name, key)) + "}"
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// with adds a credential, and an echo that it is for.
func (w *world) with(name, scheme string, more ...string) {
	e := &echo{birds: w.birds}
	server := testpeer.Raw(w.t, e.script)
	w.at(name, scheme, server.URL, more...)
	w.echoes[name], w.servers[name] = e, server
}

// at adds a credential for a base URL.
func (w *world) at(name, scheme, base string, more ...string) {
	w.credentials = append(w.credentials, fmt.Sprintf("  - name: %s\n    bind: [%q]\n    %s", name, base, scheme))
	w.upstream(name, base, append(more, "credential: "+name)...)
}

func (w *world) upstream(name, base string, more ...string) {
	scheme, host, _ := strings.Cut(base, "://")
	w.upstreams = append(w.upstreams, fmt.Sprintf("  - name: %s\n    hosts: [%q]\n    schemes: [%s]\n    unsafe_allow_addresses: [127.0.0.1]\n    %s", name, host, scheme, strings.Join(more, "\n    ")))
	w.urls[name] = base
}

const resumes = "resume: {downloads: 3}"

// newWorld plants a canary in every place there is.
func newWorld(t *testing.T) *world {
	w := &world{t: t, birds: newAviary(), said: newEvidence(), dir: t.TempDir(), echoes: map[string]*echo{}, servers: map[string]*testpeer.RawServer{}, urls: map[string]string{}, ca: testpeer.NewCA(t)}
	w.issuer = &issuer{birds: w.birds}
	w.idp = testpeer.HTTP(t, w.issuer)
	w.idpTLS = testpeer.TLS(t, w.issuer, w.ca.Issue(testpeer.CertOpts{}), testpeer.TLSOpts{ClientCA: w.ca.Pool()})
	w.rude = testpeer.Raw(t, rude).URL
	w.env = append(w.env, "SSL_CERT_FILE="+w.file("ca.pem", string(w.ca.PEM())))
	w.openVaults()
	w.simple()
	w.tokens()
	w.refusals()
	w.callers()
	w.beside()
	for _, e := range w.echoes {
		e.away, e.other = w.urls["away"], w.away
	}
	return w
}

// policy writes the file.
func (w *world) policy() string {
	text := "telemetry: {log_level: debug}\nsecrets:\n  vaults:\n" +
		"    - {name: vault, address: \"" + w.vault + "\", app_role: {role_id: role, secret_id: " + w.put("vault-secret-id", w.birds.list()["vault-secret-id"].value) + "}, unsafe_plain_http: true, unsafe_allow_addresses: [127.0.0.1]}\n" +
		"    - {name: wrong, address: \"" + w.wrong + "\", token: " + w.secret("vault-token") + ", unsafe_plain_http: true, unsafe_allow_addresses: [127.0.0.1]}\n" +
		"    - {name: login, address: \"" + w.wrong + "\", app_role: {role_id: role, secret_id: " + w.secret("vault-secret-id-2") + "}, unsafe_plain_http: true, unsafe_allow_addresses: [127.0.0.1]}\n" +
		"    - {name: rude, address: \"" + w.rude + "\", token: " + w.secret("vault-token-2") + ", unsafe_plain_http: true, unsafe_allow_addresses: [127.0.0.1]}\n" +
		"defaults:\n  timeouts: {total: 20s, first_byte: 10s}\n" +
		"credentials:\n" + strings.Join(w.credentials, "\n") + "\n" + strings.Join(w.upstreams, "\n") + "\n"
	return w.file("policy.yaml", text)
}
