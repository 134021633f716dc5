package testpeer

import (
	"encoding/json"
	"net"
	"os/exec"
	"testing"
	"time"
)

// FositeOpts set an authorization server up. Keys are public JWKs.
type FositeOpts struct {
	Clients []FositeClient `json:"clients"`
	// Issuer signs assertions about Subject by JWK (RFC 7523).
	Issuer  string         `json:"issuer"`
	Subject string         `json:"subject"`
	JWK     map[string]any `json:"jwk,omitempty"`
	// Lifetime is that of access tokens. Default: a minute.
	Lifetime time.Duration `json:"-"`
}

// FositeClient proves itself by Auth, as in token_endpoint_auth_method of RFC 7591,
// with Secret or JWK.
type FositeClient struct {
	ID     string         `json:"id"`
	Secret string         `json:"secret"`
	Auth   string         `json:"auth"`
	JWK    map[string]any `json:"jwk,omitempty"`
}

// Fosite runs ory/fosite (tools/fosite) without TLS until the test ends: /token,
// /introspect, /revoke, and /mint?client_id=… for a refresh token. Refresh tokens
// rotate, and one that comes again ends the whole line. `make test` builds it.
func Fosite(t testing.TB, opts FositeOpts) (baseURL string) {
	t.Helper()
	program := installed(t, "bin/fosite")
	if opts.Lifetime == 0 {
		opts.Lifetime = time.Minute
	}
	return "http://" + startProcess(t, func(host, port string) *exec.Cmd {
		config, err := json.Marshal(struct {
			FositeOpts
			Addr     string `json:"addr"`
			Lifetime int    `json:"lifetime"`
		}{opts, net.JoinHostPort(host, port), int(opts.Lifetime.Seconds())})
		if err != nil {
			t.Fatalf("testpeer: set up fosite: %v", err)
		}
		return exec.Command(program, string(config))
	})
}
