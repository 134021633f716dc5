package auth

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// Secrets reads secrets by reference. *secret.Store is one.
type Secrets interface {
	GetContext(ctx context.Context, ref string) (secret.Value, error)
	GetPEMContext(ctx context.Context, ref string) (secret.Value, error)
}

// Config is what a Keep is made of.
type Config struct {
	// Secrets reads what credentials are made of; nil: there are none.
	Secrets Secrets
	// Transport makes our own calls to a system upstream of the policy, such as to a
	// token endpoint: guarded, retried and written down as any other. Nil: there are
	// none.
	Transport func(upstream string) http.RoundTripper
	// Log hears of tokens that cannot be had. Default: nobody does.
	Log *slog.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Keep makes Signers, and keeps each as long as its credential stays as it is, over
// any number of policies. Safe for concurrent use.
type Keep struct {
	cfg Config

	mu      sync.Mutex
	signers map[string]Signer // by the credential's ID
}

// NewKeep makes a Keep.
func NewKeep(cfg Config) *Keep {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Keep{cfg: cfg, signers: map[string]Signer{}}
}

// Signer gives the one of cred.
func (k *Keep) Signer(cred *policy.Credential) Signer {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.signer(cred)
}

func (k *Keep) signer(cred *policy.Credential) Signer {
	s := k.signers[cred.ID]
	if s == nil {
		s = k.make(cred)
		k.signers[cred.ID] = s
	}
	return s
}

// make is where schemes become Signers.
func (k *Keep) make(cred *policy.Credential) Signer {
	from := source{cred.Name, &k.cfg}
	switch scheme := cred.Scheme.(type) {
	case *policy.Bearer:
		return &bearer{source: from, scheme: scheme}
	case *policy.Basic:
		return &basic{source: from, scheme: scheme}
	case *policy.APIKey:
		return &apiKey{source: from, scheme: scheme}
	case *policy.Headers:
		return &headers{source: from, scheme: scheme}
	case *policy.OAuth2:
		return newOAuth2(from, cred.Upstream, scheme)
	case *policy.Digest:
		return newDigest(from, scheme)
	case *policy.AWS:
		return newAWS(from, scheme, cred.Upstream)
	case *policy.HMAC:
		return newKeyed(from, scheme)
	case *policy.Pool:
		return newPool(from, scheme, k.signer)
	case *policy.ClientCert:
		return presented{}
	default:
		return unknown{source: from}
	}
}

// Prune forgets what belongs to no credential of live, and waits for what is under
// way for it.
func (k *Keep) Prune(live []*policy.Credential) {
	keep := make(map[string]bool, len(live))
	for _, cred := range live {
		keep[cred.ID] = true
	}
	var gone []Signer
	k.mu.Lock()
	for id, s := range k.signers {
		if !keep[id] {
			delete(k.signers, id)
			gone = append(gone, s)
		}
	}
	k.mu.Unlock()
	for _, s := range gone {
		end(s)
	}
}

// Close ends what runs in the background. No call may be under way.
func (k *Keep) Close() { k.Prune(nil) }

// end stops what s has running, and waits for it.
func end(s Signer) {
	if c, ok := s.(interface{ close() }); ok {
		c.close()
	}
}

// source reads the secrets of one credential.
type source struct {
	name string
	*Config
}

// get reads a secret of one line. The caller learns which credential failed, not
// where its secret lies.
func (s source) get(ctx context.Context, ref policy.SecretRef) (secret.Value, error) {
	if s.Secrets == nil {
		return secret.Value{}, fault.Newf(fault.CredentialUnavailable, "credential %q: this process reads no secrets", s.name)
	}
	v, err := s.Secrets.GetContext(ctx, string(ref))
	return v, s.unreadable(ctx, err)
}

// pem reads a secret of several lines.
func (s source) pem(ctx context.Context, ref policy.SecretRef) (secret.Value, error) {
	if s.Secrets == nil {
		return secret.Value{}, fault.Newf(fault.CredentialUnavailable, "credential %q: this process reads no secrets", s.name)
	}
	v, err := s.Secrets.GetPEMContext(ctx, string(ref))
	return v, s.unreadable(ctx, err)
}

func (s source) unreadable(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return endedWaiting(ctx, s.name)
	}
	return fault.Wrap(fault.CredentialUnavailable, err, "credential \""+s.name+"\" cannot be used: its secret cannot be read; the log of fetchsvc says why")
}
