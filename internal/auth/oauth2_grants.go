package auth

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

const (
	grantJWTBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"     // RFC 7523 section 2.1
	grantExchange  = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693 section 2.1

	// googleAssertionLife is the longest that Google takes.
	googleAssertionLife = time.Hour
)

// grant is what the request of the credential's grant has in it. subject is what is
// exchanged if policy names nothing.
func (s *tokenServer) grant(ctx context.Context, subject secret.Value) (url.Values, error) {
	switch s.scheme.Grant {
	case policy.GrantClientCredentials:
		return s.form("client_credentials"), nil
	case policy.GrantAssertion:
		return s.byAssertion(ctx)
	case policy.GrantExchange:
		return s.byExchange(ctx, subject)
	case policy.GrantGoogle:
		return s.byGoogleKey(ctx)
	default:
		return nil, s.cannot("this version has no grant %q", s.scheme.Grant)
	}
}

// byAssertion is RFC 7523 section 2.1. The claims that policy adds take the place of
// none of ours.
func (s *tokenServer) byAssertion(ctx context.Context) (url.Values, error) {
	g := s.scheme.Assertion
	claims := map[string]any{}
	for name, value := range g.Claims {
		claims[name] = value
	}
	claims["iss"], claims["sub"], claims["aud"] = g.Issuer, g.Subject, g.Audience
	assertion, err := s.assertion(ctx, g.Key, g.Lifetime, claims)
	if err != nil {
		return nil, err
	}
	form := s.form(grantJWTBearer)
	form.Set("assertion", assertion)
	return form, nil
}

// byExchange is RFC 8693 section 2.1.
func (s *tokenServer) byExchange(ctx context.Context, subject secret.Value) (url.Values, error) {
	g := s.scheme.Exchange
	if g.Subject != "" {
		var err error
		if subject, err = s.get(ctx, g.Subject); err != nil {
			return nil, err
		}
	}
	actor, err := s.optional(ctx, g.Actor)
	if err != nil {
		return nil, err
	}
	form := s.form(grantExchange)
	form.Set("subject_token", subject.Reveal())
	form.Set("subject_token_type", g.SubjectType)
	if !actor.IsZero() {
		form.Set("actor_token", actor.Reveal())
		form.Set("actor_token_type", g.ActorType)
	}
	if g.RequestedType != "" {
		form.Set("requested_token_type", g.RequestedType)
	}
	return form, nil
}

// googleKey is the key file of a service account, as far as it says who we are. Its
// token_uri is left out: it would say where the proof of that goes.
type googleKey struct {
	Type  string `json:"type"`
	Email string `json:"client_email"`
	Key   string `json:"private_key"`
	KeyID string `json:"private_key_id"`
}

// byGoogleKey is Google's use of RFC 7523, in which the scopes are a claim:
// https://developers.google.com/identity/protocols/oauth2/service-account.
func (s *tokenServer) byGoogleKey(ctx context.Context) (url.Values, error) {
	g := s.scheme.Google
	file, err := s.pem(ctx, g.Key)
	if err != nil {
		return nil, err
	}
	var key googleKey
	if err := json.Unmarshal([]byte(file.Reveal()), &key); err != nil {
		return nil, s.cannot("its key file is no JSON")
	}
	if key.Type != "service_account" || key.Email == "" || key.Key == "" {
		return nil, s.cannot("its key file is not that of a service account: type must be service_account, and client_email and private_key be there")
	}
	claims := map[string]any{"iss": key.Email, "aud": s.scheme.TokenURL.String()}
	if len(s.scheme.Scopes) > 0 {
		claims["scope"] = strings.Join(s.scheme.Scopes, " ")
	}
	if g.Subject != "" {
		claims["sub"] = g.Subject
	}
	assertion, err := signJWT([]byte(key.Key), "RS256", key.KeyID, s.stamped(googleAssertionLife, claims))
	if err != nil {
		return nil, s.cannot("the private_key of its key file signs nothing: %s", err.Error())
	}
	form := s.form(grantJWTBearer)
	form.Del("scope")
	form.Set("assertion", assertion)
	return form, nil
}
