package identity

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// maxToken is the longest token that is taken, in bytes.
const maxToken = 16 << 10

// methods are the algorithms that policy may name. `none` and those of a shared key
// are none of them, whatever the library knows: a public key is no shared key.
var methods = map[string]jwt.SigningMethod{
	"RS256": jwt.SigningMethodRS256, "RS384": jwt.SigningMethodRS384, "RS512": jwt.SigningMethodRS512,
	"PS256": jwt.SigningMethodPS256, "PS384": jwt.SigningMethodPS384, "PS512": jwt.SigningMethodPS512,
	"ES256": jwt.SigningMethodES256, "ES384": jwt.SigningMethodES384, "ES512": jwt.SigningMethodES512,
	"EdDSA": jwt.SigningMethodEdDSA,
}

// token is a JWT (RFC 7519) as it came; nothing of it is proved.
type token struct {
	alg, kid, iss string
	claims        map[string]any
	// signed is what signature is of.
	signed    string
	signature []byte
}

// verify says whose a JWT is; sum is its digest.
func (s *state) verify(ctx context.Context, raw string, sum digest, now time.Time) (Identity, error) {
	if known := s.verified.get(sum, now); known != nil {
		// A key that was taken back takes its tokens along.
		if _, version, err := known.issuer.keys.get(ctx, now); err != nil || version == known.version {
			return known.identity, err
		}
	}
	t, err := parseToken(raw)
	if err != nil {
		return Identity{}, err
	}
	from := s.issuers[t.iss]
	switch {
	case from == nil:
		return Identity{}, refused("the token is of issuer %q, which the policy does not list", clip(t.iss))
	case !slices.Contains(from.Algorithms, t.alg) || methods[t.alg] == nil:
		return Identity{}, refused("the token is signed by algorithm %q, and issuer %q is to use [%s]", clip(t.alg), from.Name, strings.Join(from.Algorithms, ", "))
	}
	version, err := from.judgeSignature(ctx, t, now)
	if err != nil {
		return Identity{}, err
	}
	expires, err := from.judgeClaims(t.claims, now)
	if err != nil {
		return Identity{}, err
	}
	caller, err := from.callerOf(t.claims)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{Caller: caller, Claims: t.claims, How: ByJWT, Expires: expires}
	s.verified.put(&verified{sum: sum, identity: id, size: len(raw), issuer: from, version: version})
	return id, nil
}

// parseToken takes a JWT apart.
func parseToken(raw string) (*token, error) {
	header, rest, _ := strings.Cut(raw, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	t := &token{signed: raw[:len(header)+1+len(payload)]}
	head, err := readSegment(header)
	if err != nil {
		return nil, refused("the token's header cannot be read: %v", err)
	}
	if t.claims, err = readSegment(payload); err != nil {
		return nil, refused("the token's claims cannot be read: %v", err)
	}
	if t.signature, err = decode(signature); err != nil {
		return nil, refused("the token's signature cannot be read: %v", err)
	}
	t.alg, _ = head["alg"].(string)
	t.iss, _ = t.claims["iss"].(string)
	kid, hasID := head["kid"]
	kind, hasKind := head["typ"]
	t.kid, _ = kid.(string)
	_, critical := head["crit"]
	switch {
	case t.alg == "":
		return nil, refused("the token's header has no alg")
	case critical:
		return nil, refused("the token's header has crit, an extension that must be understood, and none is")
	case hasID && t.kid == "":
		return nil, refused("the token's kid is no text")
	case hasKind && !isTokenType(kind):
		return nil, refused("the token's typ is not JWT or at+jwt, so it was made for something else")
	case t.iss == "":
		return nil, refused("the token has no iss")
	}
	return t, nil
}

func readSegment(text string) (map[string]any, error) {
	data, err := decode(text)
	if err != nil {
		return nil, err
	}
	return readObject(data)
}

// isTokenType takes what RFC 7519 section 5.1 and RFC 9068 section 2.1 call it.
func isTokenType(kind any) bool {
	text, _ := kind.(string)
	switch strings.TrimPrefix(strings.ToLower(text), "application/") {
	case "jwt", "at+jwt":
		return true
	}
	return false
}

// judgeSignature says whether one of the issuer's keys made the signature; it gives
// the number of their set. If none did, there may be newer keys.
func (i *issuer) judgeSignature(ctx context.Context, t *token, now time.Time) (uint64, error) {
	keys, version, err := i.keys.get(ctx, now)
	if err != nil {
		return 0, err
	}
	wrong := i.signed(t, keys)
	if wrong == nil {
		return version, nil
	}
	keys, newer, err := i.keys.refresh(ctx, now)
	if err == nil && newer != version {
		err = i.signed(t, keys)
	} else if err == nil {
		err = wrong
	}
	return newer, err
}

// signed says why none of keys made t's signature.
func (i *issuer) signed(t *token, keys []key) error {
	fitting := t.keysOf(keys)
	switch {
	case len(fitting) == 0 && t.kid == "":
		return refused("the token has no kid, and issuer %q has no key for %s", i.Name, t.alg)
	case len(fitting) == 0:
		return refused("issuer %q has no key %q for %s", i.Name, clip(t.kid), t.alg)
	case len(fitting) > 1 && t.kid == "":
		return refused("the token has no kid, and issuer %q has %d keys for %s", i.Name, len(fitting), t.alg)
	}
	for _, k := range fitting {
		if methods[t.alg].Verify(t.signed, t.signature, k.public) == nil {
			return nil
		}
	}
	return refused("the token's signature is not that of issuer %q", i.Name)
}

// keysOf are those that could have signed it.
func (t *token) keysOf(keys []key) (out []key) {
	for _, k := range keys {
		if k.fits(t.alg) && (t.kid == "" || t.kid == k.id) {
			out = append(out, k)
		}
	}
	return out
}

// judgeClaims holds a token to its times and its audience, and says when it ends.
func (i *issuer) judgeClaims(claims map[string]any, now time.Time) (expires time.Time, err error) {
	times := map[string]time.Time{}
	for _, name := range []string{"exp", "nbf", "iat"} {
		value, has := claims[name]
		at, ok := numericDate(value)
		if has && !ok {
			return expires, refused("the token's %s is no time", name)
		}
		times[name] = at
	}
	validator := jwt.NewValidator(
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(i.Skew), jwt.WithIssuer(i.ID),
		jwt.WithAudience(i.Audiences...), jwt.WithTimeFunc(func() time.Time { return now }),
	)
	stamp := func(name string) string { return times[name].UTC().Format(time.RFC3339) }
	switch err := validator.Validate(jwt.MapClaims(claims)); {
	case err == nil:
		return times["exp"].Add(i.Skew), nil
	case claims["exp"] == nil:
		return expires, refused("the token has no exp, so it would be good for ever")
	case errors.Is(err, jwt.ErrTokenExpired):
		return expires, refused("the token expired at %s, %s ago: get a new one", stamp("exp"), now.Sub(times["exp"]).Round(time.Second))
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return expires, refused("the token is not good before %s (nbf), in %s", stamp("nbf"), times["nbf"].Sub(now).Round(time.Second))
	case errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return expires, refused("the token was made at %s (iat), which is in the future: the clocks differ", stamp("iat"))
	case errors.Is(err, jwt.ErrTokenInvalidAudience), errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return expires, refused("the token is for another service: its aud must be one of [%s]", clip(strings.Join(i.Audiences, ", ")))
	default:
		return expires, refused("the token's claims are not as they should be (iss, aud, exp, nbf, iat)")
	}
}

// numericDate reads RFC 7519 section 2, up to the year 9999.
func numericDate(value any) (time.Time, bool) {
	number, ok := value.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := number.Float64()
	if err != nil || seconds < 0 || seconds > 253402300799 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(seconds * 1000)), true
}

// callerOf says whose a token with these claims is: of several callers that it fits,
// the one that asks for more than each of the others.
func (i *issuer) callerOf(claims map[string]any) (string, error) {
	var fitting []*policy.Token
	for _, t := range i.Tokens {
		if t.Matches(claims) {
			fitting = append(fitting, t)
		}
	}
	for _, t := range fitting {
		if !slices.ContainsFunc(fitting, func(o *policy.Token) bool { return o.Caller != t.Caller && !t.Narrower(o) }) {
			return t.Caller.Name, nil
		}
	}
	if len(fitting) > 0 {
		return "", refused("the token fits several callers, and none of them more closely: the policy has to tell them apart by `claims`")
	}
	subject, _ := claims["sub"].(string)
	return "", refused("the token is good, and no caller has tokens of issuer %q with its claims (sub %q)", i.Name, clip(subject))
}
