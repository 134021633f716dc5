// Package auth applies one credential to one attempt. A [Signer] is made from a
// credential of the policy; it reads the secret anew for each attempt, so that
// one that was rotated takes effect at once.
package auth

import (
	"net/http"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// Secrets reads secrets by reference. *secret.Store is one.
type Secrets interface {
	Get(ref string) (secret.Value, error)
}

// Signer proves who we are. Safe for concurrent use.
type Signer interface {
	// Sign changes a request that is about to be sent. Its error is a
	// *fault.Error.
	Sign(r *http.Request) error
}

// New makes the Signer of a credential.
func New(cred *policy.Credential, secrets Secrets) Signer {
	return &bearer{cred.Name, string(cred.Bearer), secrets}
}

// bearer is RFC 6750 section 2.1.
type bearer struct {
	name    string
	ref     string
	secrets Secrets
}

// Sign sets Authorization, in place of what the caller sent.
func (b *bearer) Sign(r *http.Request) error {
	if b.secrets == nil {
		return fault.Newf(fault.CredentialUnavailable, "credential %q: this process reads no secrets", b.name)
	}
	token, err := b.secrets.Get(b.ref)
	if err != nil {
		return fault.Wrap(fault.CredentialUnavailable, err, "credential \""+b.name+"\" cannot be used: its secret cannot be read; the log of fetchsvc says why")
	}
	r.Header["Authorization"] = []string{"Bearer " + token.Reveal()}
	return nil
}
