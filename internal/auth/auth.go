// Package auth applies one credential to one attempt. A [Signer] is made from a
// credential of the policy by a [Keep], which holds what outlives a policy: tokens,
// nonces, the rests of pools.
//
// Secrets are read anew for each attempt, so that one that was rotated takes effect
// at once. What a Signer puts into a request it says in [Outgoing], so that an
// answer that has it can be scrubbed.
package auth

import (
	"context"
	"io"
	"net/http"

	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// Signer proves who we are. Safe for concurrent use.
type Signer interface {
	// Needs says what Sign must have.
	Needs() Needs
	// Sign changes a request that is about to be sent. Its error is a *fault.Error.
	Sign(ctx context.Context, o *Outgoing) error
	// Answered hears of the answer's head, for every request that was signed. It does
	// not read the body.
	Answered(ctx context.Context, o *Outgoing, res *http.Response) Verdict
}

// Needs are what Sign must have.
type Needs struct {
	// Body: it reads the body, so that must be there as a whole.
	Body bool
	// Subject: it needs the token by which the caller proved who it is.
	Subject bool
}

// Outgoing is a request that is about to be sent.
type Outgoing struct {
	// Request is the attempt's own. Its header and URL may be changed; the header's
	// values are shared, so they are replaced as a whole.
	Request *http.Request
	// URL is where it goes, as policy has it.
	URL target.URL
	// Body opens the body anew; nil: there is none, or Needs does not ask for it.
	Body func() io.ReadCloser
	// Subject is the token by which the caller proved who it is; zero: by another way.
	Subject secret.Value
	// Before is the hop's request whose answer asked for this one (Verdict.Again);
	// nil: none did.
	Before *Outgoing

	// What Sign leaves behind.

	// Name is what the ledger shows: the credential's, with a pool's member behind
	// a slash.
	Name string
	// Revealed are the secrets that the request now has in it, as they were before
	// they were coded.
	Revealed []secret.Value
	// Headers are the canonical names of those that hold them.
	Headers []string
	// Waited is set, also where Sign fails, if it had to wait for a token or for the
	// keys of a role; nil: it did not.
	Waited *Waited

	// proof is the Signer's own: what Answered must know of what was sent.
	proof any
}

// set puts a header in the place of the caller's, and notes that it holds a secret.
func (o *Outgoing) set(name, value string) {
	o.Request.Header[name] = []string{value}
	o.Headers = append(o.Headers, name)
}

// reveal notes secrets that the request has in it.
func (o *Outgoing) reveal(values ...secret.Value) { o.Revealed = append(o.Revealed, values...) }

// Verdict is what a Signer makes of an answer.
type Verdict struct {
	// Again: the request, signed anew, may do better.
	Again bool
	// Why says so in the ledger: "the token was refused, a new one was fetched".
	Why string
	// Stale: the proof was right and only out of date; it may be tried once more than
	// others.
	Stale bool
}
