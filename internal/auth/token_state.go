package auth

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// TokenState is how a credential stands that fetches what it sends: an access token,
// or the keys of an AWS role.
type TokenState struct {
	// Credential is its name in the policy.
	Credential string
	// Held says that it has what it can send: Age is how long ago that was asked for,
	// Remaining how long it can still be sent. Both are 0 where it has none. Of a
	// credential that is exchanged for callers' own tokens, it is the one that came
	// last, for whichever caller.
	Held           bool
	Age, Remaining time.Duration
	// Fetches are those that have ended, Failures those of them that brought nothing. A
	// fetch that was given up counts as none. Both begin anew when policy changes the
	// credential.
	Fetches, Failures int64
}

// Tokens are the credentials that fetch what they send, by name. It waits for no
// fetch.
func (k *Keep) Tokens() []TokenState {
	var all []TokenState
	now := k.cfg.Now()
	k.mu.Lock()
	for _, s := range k.signers {
		if f, ok := s.(interface {
			state(now time.Time) (_ TokenState, fetches bool)
		}); ok {
			if state, fetches := f.state(now); fetches {
				all = append(all, state)
			}
		}
	}
	k.mu.Unlock()
	// The younger first, of two that have one name.
	slices.SortFunc(all, func(a, b TokenState) int {
		return cmp.Or(cmp.Compare(a.Credential, b.Credential), cmp.Compare(b.Remaining, a.Remaining))
	})
	return merged(all)
}

// merged makes one of those that have one name: while policies change, a credential
// is there as it was and as it is.
func merged(all []TokenState) []TokenState {
	var out []TokenState
	for _, s := range all {
		if n := len(out); n > 0 && out[n-1].Credential == s.Credential {
			out[n-1].Fetches += s.Fetches
			out[n-1].Failures += s.Failures
			continue
		}
		out = append(out, s)
	}
	return out
}

// validity is from when to when something can be sent.
type validity struct{ got, expires time.Time }

// fetchTally counts fetches by what came of them. Safe for concurrent use.
type fetchTally struct{ brought, failed atomic.Int64 }

// state is what is said of a credential that has what v says.
func (t *fetchTally) state(name string, v validity, now time.Time) TokenState {
	brought, failed := t.brought.Load(), t.failed.Load()
	s := TokenState{Credential: name, Fetches: brought + failed, Failures: failed}
	if now.Before(v.expires) {
		s.Held, s.Age, s.Remaining = true, now.Sub(v.got), v.expires.Sub(now)
	}
	return s
}

func (a *oauth2) state(now time.Time) (TokenState, bool) {
	var v validity
	if a.bySubject != nil {
		if last := a.youngest.Load(); last != nil {
			v = *last
		}
	} else if t := a.one.current.Load(); t != nil {
		v = validity{t.got, t.expires}
	}
	return a.tally.state(a.name, v, now), true
}

func (a *aws) state(now time.Time) (TokenState, bool) {
	if a.role == nil {
		return TokenState{}, false
	}
	a.role.mu.Lock()
	defer a.role.mu.Unlock()
	return a.role.tally.state(a.name, validity{a.role.now.got, a.role.now.expires}, now), true
}
