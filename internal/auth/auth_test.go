package auth

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

func store(t *testing.T, env map[string]string) Secrets {
	t.Helper()
	return secret.New(secret.Config{LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
}

func signer(name string, scheme policy.Scheme, secrets Secrets) Signer {
	return NewKeep(Config{Secrets: secrets}).Signer(&policy.Credential{Name: name, Scheme: scheme})
}

// TestBearer: the token goes in the place of what the caller sent, and is read
// anew each time.
func TestBearer(t *testing.T) {
	env := map[string]string{"TOKEN": "one"}
	s := signer("bot", &policy.Bearer{Token: "env:TOKEN"}, store(t, env))
	for _, token := range []string{"one", "two"} {
		env["TOKEN"] = token
		r := &http.Request{Header: http.Header{"Authorization": {"Basic of the caller"}}}
		if err := s.Sign(t.Context(), &Outgoing{Request: r}); err != nil {
			t.Fatal(err)
		}
		if got := r.Header["Authorization"]; len(got) != 1 || got[0] != "Bearer "+token {
			t.Errorf("Authorization is %q, want the token %q alone", got, token)
		}
	}
}

// TestUnreadableSecret: the call fails and says which credential, not where its
// secret lies.
func TestUnreadableSecret(t *testing.T) {
	for name, secrets := range map[string]Secrets{"no secrets": nil, "no such secret": store(t, nil)} {
		r := &http.Request{Header: http.Header{}}
		err := signer("bot", &policy.Bearer{Token: "env:TOKEN_CANARY"}, secrets).Sign(t.Context(), &Outgoing{Request: r})
		if !errors.Is(err, fault.CredentialUnavailable) || !strings.Contains(fault.From(err).Message, `"bot"`) {
			t.Errorf("%s: got %v, want CREDENTIAL_UNAVAILABLE of bot", name, err)
		}
		if strings.Contains(fault.From(err).Message, "TOKEN_CANARY") || len(r.Header) > 0 {
			t.Errorf("%s: the caller learns %q, and the request has %v", name, fault.From(err).Message, r.Header)
		}
	}
}
