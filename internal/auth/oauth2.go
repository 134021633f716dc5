package auth

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// oauth2 sends a token that an authorization server issued (RFC 6749), as RFC 6750
// section 2.1 has it.
//
// The token request is our own and not golang.org/x/oauth2's: that one wants an
// http.Client, shows the server's whole answer in its errors, and has neither
// private_key_jwt nor a bound on what an answer may say.
type oauth2 struct {
	source
	server tokenServer
	// one is the token of all calls; bySubject are those of calls that are made on
	// the caller's behalf. One of them is set.
	one       *tokenLife
	bySubject *subjects

	// ctx is of all token requests.
	ctx  context.Context
	stop context.CancelFunc
	told tokenLog
	// tally is of all token requests, and youngest of the token that came last, for
	// whichever subject.
	tally    fetchTally
	youngest atomic.Pointer[validity]
	// late is the turn of calls that fetch a token for themselves after close.
	late chan struct{}

	mu      sync.Mutex
	closed  bool
	flights sync.WaitGroup
}

func newOAuth2(from source, upstream string, scheme *policy.OAuth2) *oauth2 {
	a := &oauth2{source: from, server: newTokenServer(from, upstream, scheme), late: make(chan struct{}, 1)}
	a.ctx, a.stop = context.WithCancel(context.Background())
	if scheme.Grant == policy.GrantExchange && scheme.Exchange.Subject == "" {
		a.bySubject = newSubjects(a)
	} else {
		a.one = &tokenLife{of: a, ahead: true}
	}
	return a
}

func (a *oauth2) Needs() Needs { return Needs{Subject: a.bySubject != nil} }

func (a *oauth2) Sign(ctx context.Context, o *Outgoing) error {
	life, subject := a.one, secret.Value{}
	if a.bySubject != nil {
		if subject = o.Subject; subject.IsZero() {
			return fault.Newf(fault.CredentialUnavailable, "credential %q is exchanged for the caller's own token (JWT), and this caller proved who it is by another way: call with a token", a.name)
		}
		life = a.bySubject.lifeOf(subject)
	}
	t, err := life.get(ctx, o, subject)
	if err != nil {
		return err
	}
	o.proof = t
	o.reveal(t.value)
	o.set("Authorization", t.header.Reveal())
	return nil
}

// Answered takes a token that was refused out of use, so that the next request has
// another.
func (a *oauth2) Answered(_ context.Context, o *Outgoing, res *http.Response) Verdict {
	t, ours := o.proof.(*accessToken)
	if !ours || !refusesToken(res) || !t.life.refuse(t) {
		return Verdict{}
	}
	return Verdict{Again: true, Why: "the token was refused: a new one is fetched"}
}

// begin counts a request in that runs in the background, unless all is over.
func (a *oauth2) begin() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}
	a.flights.Add(1)
	return true
}

// close ends what runs in the background, and waits for it. Calls of an older policy
// may still come; they fetch for themselves.
func (a *oauth2) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	if !a.server.spends() {
		a.stop()
	}
	if a.one != nil {
		a.one.rest()
	}
	a.flights.Wait()
	a.stop()
}
