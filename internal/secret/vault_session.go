package secret

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// again is how long a secret that a new token did not help with is believed to be
// forbidden to any; and how long until the vault is asked once more about a token that
// it said nothing about.
const again = time.Minute

// session is a token of the vault. It does not change.
type session struct {
	id    uint64 // of the login; a renewal keeps it
	token Value
	// unknown: how long it is good was not asked yet.
	unknown bool
	// lease is how long it is good, until is when that ends; zero: there is no end.
	lease     time.Duration
	until     time.Time
	renewable bool
	// next is when to look after it; zero: never.
	next time.Time
}

// lasting is s with what the vault says about it.
func (s session) lasting(now time.Time, lease time.Duration, renewable bool) *session {
	s.unknown, s.lease, s.renewable = false, lease, renewable
	s.until, s.next = time.Time{}, time.Time{}
	if lease > 0 {
		s.until, s.next = now.Add(lease), now.Add(max(lease*2/3, time.Second))
	}
	return &s
}

func (s *session) good(now time.Time) bool { return s.until.IsZero() || now.Before(s.until) }

// enter gives a session that is good, as far as is known.
func (v *vault) enter(ctx context.Context) (*session, error) {
	if v.cfg.Token != "" {
		return v.given()
	}
	v.mu.Lock()
	s := v.session
	v.mu.Unlock()
	if s != nil && s.good(time.Now()) {
		return s, nil
	}
	return v.login(ctx, s)
}

// given is the session of the token that Token refers to, as it is now.
func (v *vault) given() (*session, error) {
	token, err := v.proof(v.cfg.Token)
	if err != nil {
		return nil, fmt.Errorf("the token for vault %q: %w", v.cfg.Name, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.session == nil || v.session.token.Reveal() != token.Reveal() {
		now := time.Now()
		v.logins++
		v.session = &session{id: v.logins, token: token, unknown: true, next: now}
		v.soon()
	}
	return v.session, nil
}

// proof reads what we prove ourselves to the vault by, which cannot lie in a vault.
func (v *vault) proof(ref string) (Value, error) {
	r, err := parse(ref)
	if err != nil {
		return Value{}, err
	}
	if r.isVault() {
		return Value{}, errors.New("it cannot itself be read from a vault; write env:NAME or file:/absolute/path")
	}
	return v.local(r, false)
}

// another is a session in place of s, which was refused for e; nil: there is none that
// would do better.
func (v *vault) another(ctx context.Context, s *session, e *entry) (*session, error) {
	if v.cfg.Token != "" {
		now, err := v.given()
		if err != nil || now.id == s.id {
			return nil, err
		}
		return now, nil
	}
	now := time.Now()
	if now.Sub(e.forced) < again {
		return nil, nil
	}
	e.forced = now
	return v.login(ctx, s)
}

// login gives a session in place of old, by one login for all who ask at once.
func (v *vault) login(ctx context.Context, old *session) (*session, error) {
	select {
	case v.gate <- struct{}{}:
		defer func() { <-v.gate }()
	case <-ctx.Done():
		return nil, v.unreached(ctx, ctx.Err())
	}
	begun := time.Now()
	v.mu.Lock()
	s, err := v.session, v.refused.holds(begun)
	v.mu.Unlock()
	if s != nil && (old == nil || s.id != old.id) && s.good(begun) {
		return s, nil // somebody else did it
	}
	if err != nil {
		return nil, err
	}
	s, err = v.knock(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.refused.failed(begun, time.Now(), err)
		return nil, err
	}
	v.logins++
	s.id = v.logins
	v.session, v.refused = s, pause{}
	v.soon()
	return s, nil
}

// knock logs in.
func (v *vault) knock(ctx context.Context) (*session, error) {
	method, proof := "approle", map[string]string{"role_id": v.cfg.RoleID}
	if v.cfg.Role != "" {
		method, proof = "kubernetes", map[string]string{"role": v.cfg.Role}
		// A new one each time: what it once held may be out of date, for it rotates.
		file := File{Path: v.cfg.TokenFile, Limit: maxSize, Check: func(data []byte) error { return usable(trim(data), false) }}
		r := file.Read()
		if r.Bad != nil {
			return nil, fmt.Errorf("the login to vault %q: the service account's token: %w", v.cfg.Name, r.Bad)
		}
		proof["jwt"] = string(trim(r.Data))
	} else {
		id, err := v.proof(v.cfg.SecretID)
		if err != nil {
			return nil, fmt.Errorf("the login to vault %q: %w", v.cfg.Name, err)
		}
		proof["secret_id"] = id.Reveal()
	}
	if v.cfg.AuthMount != "" {
		method = v.cfg.AuthMount
	}
	a, err := v.call(ctx, http.MethodPost, "auth/"+method+"/login", Value{}, proof)
	if err != nil {
		return nil, err
	}
	switch a.status {
	case http.StatusOK:
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("vault %q refuses the login at auth/%s (%d): the role or its proof is wrong, has expired or is not allowed from here", v.cfg.Name, method, a.status)
	default:
		return nil, fmt.Errorf("the login at auth/%s: %w", method, v.refusal(a))
	}
	token, lease, renewable, err := a.grant()
	if err == nil && token.IsZero() {
		err = errors.New("it has no token")
	}
	if err != nil {
		return nil, fmt.Errorf("vault %q answered the login at auth/%s in an unknown form: %w", v.cfg.Name, method, err)
	}
	return session{token: token}.lasting(time.Now(), lease, renewable), nil
}

// lookAfter prolongs s, or replaces it.
func (v *vault) lookAfter(ctx context.Context, s *session) {
	next, err := v.prolonged(ctx, s)
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	defer v.soon()
	v.tended = false
	if err == nil {
		v.grief = ""
	} else if grief := err.Error(); !v.closed && grief != v.grief {
		v.grief = grief
		v.log.WarnContext(ctx, "the token of a vault could not be renewed; it stays in use", "error", grief)
	}
	if v.session != s {
		return // a login was faster
	}
	if err != nil {
		later := *s
		later.next = time.Time{}
		if s.unknown {
			later.next = now.Add(again)
		} else if s.good(now) {
			later.next = now.Add(max(s.until.Sub(now)/4, firstPause))
		}
		next = &later
	}
	v.session = next
}

// prolonged is s for longer. A token that we were given is renewed as long as that
// can be; one that we logged in for is replaced when renewals come to their end.
func (v *vault) prolonged(ctx context.Context, s *session) (*session, error) {
	given := v.cfg.Token != ""
	if s.unknown {
		return v.asked(ctx, s)
	}
	if s.renewable {
		a, err := v.call(ctx, http.MethodPost, "auth/token/renew-self", s.token, struct{}{})
		if err == nil && a.status != http.StatusOK {
			err = v.refusal(a)
		}
		if err == nil {
			_, lease, renewable, bad := a.grant()
			if err = bad; bad == nil && (given || lease == 0 || lease >= s.lease/2) {
				return s.renewed(lease, renewable), nil
			}
		}
		if given {
			return nil, fmt.Errorf("renew-self: %w", err)
		}
	}
	if given {
		later := *s
		later.next = time.Time{}
		return &later, nil
	}
	return v.login(ctx, s)
}

// renewed is s after a renewal. It is measured by the lease that it had first, so that
// ever shorter ones are seen for what they are.
func (s *session) renewed(lease time.Duration, renewable bool) *session {
	next := s.lasting(time.Now(), lease, renewable)
	next.lease = max(s.lease, lease)
	return next
}

// asked is s with what lookup-self says.
func (v *vault) asked(ctx context.Context, s *session) (*session, error) {
	a, err := v.call(ctx, http.MethodGet, "auth/token/lookup-self", s.token, nil)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("lookup-self: %w", v.refusal(a))
	}
	ttl, renewable, err := a.token()
	if err != nil {
		return nil, fmt.Errorf("lookup-self: %w", err)
	}
	next := s.lasting(time.Now(), ttl, renewable)
	if ttl > 0 && !renewable {
		v.log.WarnContext(ctx, "the token of a vault has an end and cannot be renewed; replace it before", "end", next.until)
	}
	return next, nil
}
