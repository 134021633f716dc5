package auth

import (
	"context"
	"net/http"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// settled is what schemes have in common whose proof an answer changes nothing
// about.
type settled struct{}

func (settled) Needs() Needs { return Needs{} }

func (settled) Answered(context.Context, *Outgoing, *http.Response) Verdict { return Verdict{} }

// bearer is RFC 6750 section 2.1.
type bearer struct {
	source
	settled
	scheme *policy.Bearer
}

func (b *bearer) Sign(ctx context.Context, o *Outgoing) error {
	token, err := b.get(ctx, b.scheme.Token)
	if err != nil {
		return err
	}
	o.reveal(token)
	o.set("Authorization", "Bearer "+token.Reveal())
	return nil
}

// presented is the Signer of a client certificate, which the connection presents.
type presented struct{ settled }

func (presented) Sign(context.Context, *Outgoing) error { return nil }

// unknown is the Signer of what this package has no scheme for.
type unknown struct {
	source
	settled
}

func (u unknown) Sign(context.Context, *Outgoing) error {
	return fault.Newf(fault.CredentialUnavailable, "credential %q: this version has no such scheme", u.name)
}
