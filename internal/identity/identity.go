// Package identity says who calls: it judges the API keys, client certificates and
// tokens (JWT) that calls bring along, by what the policy says of callers.
//
// It opens no connection: TLS has verified a certificate before, and the keys of
// issuers come through a [Fetcher]. What a caller may do is not its business, but
// policy's.
package identity

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// The ways to prove who one is.
const (
	ByAPIKey    = "api_key"
	ByMTLS      = "mtls"
	ByJWT       = "jwt"
	ByAnonymous = "anonymous"
)

// Proof is what a call brought along to prove who makes it.
type Proof struct {
	// Chain is the client's certificate and its issuers, verified by the listener's
	// TLS, leaf first; nil: there is none.
	Chain []*x509.Certificate
	// Token is an API key or a JWT; empty: there is none.
	Token string
}

// Identity is who makes a call.
type Identity struct {
	// Caller is the policy's name, or policy.Anonymous.
	Caller string
	// Claims are those of a JWT, numbers as json.Number; else nil. They are shared:
	// do not change them.
	Claims map[string]any
	// How is ByAPIKey, ByMTLS, ByJWT or ByAnonymous.
	How string
	// Expires is when the proof stops being good; zero: it does not by itself.
	Expires time.Time
}

// Secrets gives what policy refers to.
type Secrets interface {
	Get(ref string) (secret.Value, error)
}

// Fetcher gets the keys of an issuer: the body of what its JWKS has, and how long
// that may be kept (0: it does not say).
type Fetcher interface {
	Get(ctx context.Context, issuer *policy.Issuer) (body []byte, maxAge time.Duration, err error)
}

// FetcherFunc is a Fetcher.
type FetcherFunc func(ctx context.Context, issuer *policy.Issuer) ([]byte, time.Duration, error)

// Get calls f.
func (f FetcherFunc) Get(ctx context.Context, issuer *policy.Issuer) ([]byte, time.Duration, error) {
	return f(ctx, issuer)
}

// Config is what a Verifier is made of.
type Config struct {
	// Secrets reads the digests of API keys. Default: nobody, and no key is good.
	Secrets Secrets
	// Fetcher gets the keys of issuers. Default: nobody, and no JWT is good.
	Fetcher Fetcher
	// Log hears of keys that cannot be used. Default: nobody does.
	Log *slog.Logger
}

// Verifier judges proofs. Safe for concurrent use; Close when done.
type Verifier struct {
	cfg     Config
	current atomic.Pointer[state]
	sources *sources
}

// state is what follows from one snapshot.
type state struct {
	proofs       policy.Proofs
	keys         *keyTable
	certificates certificates
	issuers      map[string]*issuer // by what tokens have as `iss`
	verified     *cache
}

// New makes a Verifier that knows no callers until Use gives it a policy.
func New(cfg Config) *Verifier {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	v := &Verifier{cfg: cfg, sources: newSources(cfg)}
	v.Use(policy.DenyAll())
	return v
}

// Use puts a snapshot in force. What was verified under the one before is
// forgotten; the keys of issuers that stay are not.
func (v *Verifier) Use(s *policy.Snapshot) {
	v.current.Store(&state{
		proofs:       s.Proofs,
		keys:         newKeyTable(s.Proofs.Callers, v.cfg),
		certificates: newCertificates(s.Proofs.Callers),
		issuers:      v.sources.use(s.Proofs.Issuers),
		verified:     newCache(),
	})
}

// Close ends the fetching of keys, and waits for it.
func (v *Verifier) Close() { v.sources.close() }

// Verify says who makes a call. Without callers in the policy it is
// policy.Anonymous; a proof that is wrong is fault.Unauthenticated, and so is none,
// unless the policy lets those call. Of a token and a certificate the token says
// who it is, and the certificate must not say another. It is fault.Overloaded if
// the keys of a token's issuer cannot be had.
func (v *Verifier) Verify(ctx context.Context, p Proof) (Identity, error) {
	s := v.current.Load()
	switch {
	case len(s.proofs.Callers) == 0, p.Token == "" && len(p.Chain) == 0 && s.proofs.AllowAnonymous:
		return Identity{Caller: policy.Anonymous, How: ByAnonymous}, nil
	case p.Token == "" && len(p.Chain) == 0:
		return Identity{}, refused("the call does not say who makes it: send `Authorization: Bearer TOKEN` with an API key or a JWT, or use a client certificate")
	case p.Token == "":
		return s.certificates.identify(p.Chain[0], time.Now())
	}
	id, err := s.identify(ctx, p.Token)
	if err == nil {
		err = s.agrees(id, p.Chain)
	}
	if err != nil {
		return Identity{}, err
	}
	return id, nil
}

// identify says whose token is: an API key first, since that is told at once.
func (s *state) identify(ctx context.Context, token string) (Identity, error) {
	now := time.Now()
	if len(token) > maxToken {
		return Identity{}, refused("the token is %d bytes long: at most %d are taken", len(token), maxToken)
	}
	sum := sha256.Sum256([]byte(token))
	keys := s.keys.read(now)
	if owner := keys.owner(sum); owner != nil || len(s.issuers) == 0 || strings.Count(token, ".") != 2 {
		return keys.identify(owner)
	}
	return s.verify(ctx, token, sum, now)
}

// agrees holds what a token says to the certificate beside it.
func (s *state) agrees(id Identity, chain []*x509.Certificate) error {
	var leaf *x509.Certificate
	if len(chain) > 0 {
		leaf = chain[0]
		for _, other := range s.certificates.callers(leaf) {
			if other != id.Caller {
				return refused("the token and the client certificate are those of different callers: send one of them, or both of one")
			}
		}
	}
	return confirmed(id.Claims, leaf)
}

// refused is an Unauthenticated fault.
func refused(format string, args ...any) error {
	return fault.Newf(fault.Unauthenticated, format, args...)
}
