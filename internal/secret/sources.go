package secret

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Sources are where secrets are beside the environment and files.
type Sources struct {
	// Keep is how long the last good value is used after its source has failed, files
	// included; zero: not at all.
	Keep time.Duration
	// Vaults are told apart by their names.
	Vaults []Vault
}

// Vault is a server of HashiCorp Vault or OpenBao, with its secrets in a KV engine of
// version 2. One of Token, RoleID and Role is set.
type Vault struct {
	Name string
	// ID changes when anything of it changes.
	ID string
	// Address is scheme, host and port: https://vault.example.com:8200.
	Address string
	// Transport reaches it. It follows no redirect and heeds the request's context.
	Transport http.RoundTripper
	// Namespace is where the engine and the login are; empty: there are none.
	Namespace string
	// Mount is the engine's. Default: secret.
	Mount string
	// Refresh is how often secrets are read again. Default: a minute.
	Refresh time.Duration

	// Token is the reference, to the environment or a file, of a token.
	Token string
	// RoleID logs in by AppRole. SecretID is a reference as Token.
	RoleID, SecretID string
	// Role logs in by Kubernetes, with the token that TokenFile has then.
	Role, TokenFile string
	// AuthMount is where the login is. Default: approle or kubernetes.
	AuthMount string
}

// Use takes the place of what was used before. A vault whose ID stays keeps its
// tokens and what was read from it; one that is gone is closed, and what is under way
// for it is waited for.
func (s *Store) Use(from Sources) {
	s.using.Lock()
	defer s.using.Unlock()
	next := make(map[string]*vault, len(from.Vaults))
	var gone []*vault
	s.mu.Lock()
	for _, cfg := range from.Vaults {
		old := s.vaults[cfg.Name]
		if old != nil && old.cfg.ID == cfg.ID {
			old.reach(cfg.Transport)
			next[cfg.Name] = old
			continue
		}
		v := openVault(cfg, s.local, s.cfg.Log)
		if old != nil {
			v.tally = old.tally
		}
		next[cfg.Name] = v
	}
	for name, old := range s.vaults {
		if next[name] != old {
			gone = append(gone, old)
		}
	}
	s.keep, s.vaults = from.Keep, next
	s.mu.Unlock()
	for _, v := range gone {
		v.close()
	}
}

// Close ends what runs for vaults, and waits for it. Their secrets are errors from
// then on; others can still be read.
func (s *Store) Close() {
	s.mu.Lock()
	keep := s.keep
	s.mu.Unlock()
	s.Use(Sources{Keep: keep})
}

// vault is the one of that name, if any, and how long values are kept.
func (s *Store) vault(name string) (*vault, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.vaults[name], s.keep
}

// vaultValue waits for the vault where there is neither a value nor an error yet. A
// vault that is replaced meanwhile hands over to its successor.
func (s *Store) vaultValue(ctx context.Context, r reference, pem bool) (Value, error) {
	var late context.Context
	for {
		v, keep := s.vault(r.source)
		if v == nil {
			return Value{}, errors.New("a secret's reference is to a source that the policy does not have (it is not shown: it may be a secret); write env:NAME or file:/absolute/path, or add the vault to `secrets`")
		}
		value, flight, err := v.value(ctx, time.Now(), r.name, slotKey{r.key, pem}, keep)
		if err != nil {
			return Value{}, fmt.Errorf("secret %s: %w", r, err)
		}
		if flight == nil {
			return value, nil
		}
		if late == nil {
			var cancel context.CancelFunc
			late, cancel = context.WithTimeoutCause(ctx, patience, fmt.Errorf("vault %q has not answered within %s", r.source, patience))
			defer cancel()
		}
		select {
		case <-flight:
		case <-late.Done():
			return Value{}, fmt.Errorf("secret %s: %w", r, context.Cause(late))
		}
	}
}
