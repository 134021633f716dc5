package policy

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// grant reads how the token is asked for.
func (c *compiler) grant(path string, out *OAuth2, in *policyv1.OAuth2) {
	switch grant := in.GetGrant().(type) {
	case nil:
		out.Grant = GrantClientCredentials
	case *policyv1.OAuth2_Refresh:
		out.Grant = GrantRefresh
		out.Refresh = c.refreshGrant(path+".refresh", grant.Refresh)
	case *policyv1.OAuth2_JwtBearer:
		out.Grant = GrantAssertion
		out.Assertion = c.assertionGrant(path+".jwt_bearer", out, grant.JwtBearer)
	case *policyv1.OAuth2_TokenExchange:
		out.Grant = GrantExchange
		out.Exchange = c.exchangeGrant(path+".token_exchange", grant.TokenExchange)
	case *policyv1.OAuth2_GoogleServiceAccount:
		out.Grant = GrantGoogle
		out.Google = GoogleGrant{
			Key:     c.secret(path+".google_service_account.key.secret", grant.GoogleServiceAccount.GetKey(), c.opts.CheckPEM),
			Subject: grant.GoogleServiceAccount.GetSubject(),
		}
		c.plainText(path+".google_service_account.subject", out.Google.Subject)
		c.google(path, in)
	}
}

// google refuses what the key file says already, and what Google does not take.
func (c *compiler) google(path string, in *policyv1.OAuth2) {
	for _, other := range []struct {
		key   string
		given bool
	}{
		{"client_id", in.GetClientId() != ""}, {"client_secret", in.GetClientSecret() != nil}, {"client_auth", in.GetClientAuth() != ""},
		{"client_key", in.GetClientKey() != nil}, {"client_certificate", in.GetClientCertificate() != nil},
	} {
		if other.given {
			c.failf(path+"."+other.key, "the account's key file says who we are: leave it out")
		}
	}
	if len(in.GetScopes()) == 0 {
		c.failf(path+".scopes", "is missing, and Google issues no token without: write scopes: [https://www.googleapis.com/auth/cloud-platform]")
	}
	for _, other := range []struct {
		key   string
		given bool
	}{{"audience", len(in.GetAudience()) > 0}, {"resource", len(in.GetResource()) > 0}} {
		if other.given {
			c.failf(path+"."+other.key, "Google's tokens are for scopes: leave it out")
		}
	}
}

func (c *compiler) refreshGrant(path string, in *policyv1.RefreshGrant) RefreshGrant {
	out := RefreshGrant{Token: c.secret(path+".token.secret", in.GetToken(), c.opts.CheckSecret)}
	if in.GetStateFile() == "" {
		return out
	}
	out.StateFile = filepath.Clean(c.file(in.GetStateFile()))
	at := path + ".state_file"
	folder := filepath.Dir(out.StateFile)
	switch info, err := os.Stat(folder); {
	case err != nil:
		c.failf(at, "its folder %s cannot be used: %w", folder, underlying(err))
	case !info.IsDir():
		c.failf(at, "%s is no folder", folder)
	case out.Token == SecretRef("file:"+out.StateFile):
		c.failf(at, "it is the file of `token`, which is never written: name another")
	case c.stateFiles[out.StateFile]:
		c.failf(at, "another credential keeps its token there: each needs its own file")
	}
	c.stateFiles[out.StateFile] = true
	return out
}

// ofAssertions are the claims that have a key of their own, or that each assertion
// gets anew.
var ofAssertions = []string{"iss", "sub", "aud", "exp", "iat", "nbf", "jti"}

func (c *compiler) assertionGrant(path string, oauth *OAuth2, in *policyv1.AssertionGrant) AssertionGrant {
	out := AssertionGrant{
		Key: c.signingKey(path+".key", in.GetKey()), Issuer: cmp.Or(in.GetIssuer(), oauth.ClientID), Claims: in.GetClaims(),
		Audience: cmp.Or(in.GetAudience(), oauth.TokenURL.String()), Lifetime: override(defaultAssertionLifetime, duration(in.GetLifetime())),
	}
	out.Subject = cmp.Or(in.GetSubject(), out.Issuer)
	if out.Issuer == "" {
		c.failf(path+".issuer", "is missing: write who issues the assertion, or give a `client_id`")
	}
	for _, member := range []struct{ key, text string }{{"issuer", in.GetIssuer()}, {"subject", in.GetSubject()}, {"audience", in.GetAudience()}} {
		c.plainText(path+"."+member.key, member.text)
	}
	for _, name := range slices.Sorted(maps.Keys(in.GetClaims())) {
		if slices.Contains(ofAssertions, name) {
			c.failf(joinPath(path+".claims", name), "the assertion has %q by itself: set issuer, subject, audience or lifetime", name)
		}
	}
	return out
}

func (c *compiler) signingKey(path string, in *policyv1.SigningKey) SigningKey {
	c.plainText(path+".key_id", in.GetKeyId())
	return SigningKey{
		Key:       c.secret(path+".key.secret", in.GetKey(), c.opts.CheckPEM),
		Algorithm: in.GetAlgorithm(), KeyID: in.GetKeyId(),
	}
}

func (c *compiler) exchangeGrant(path string, in *policyv1.ExchangeGrant) ExchangeGrant {
	out := ExchangeGrant{
		Subject:     c.secretIfAny(path+".subject_token.secret", in.GetSubjectToken()),
		Actor:       c.secretIfAny(path+".actor_token.secret", in.GetActorToken()),
		SubjectType: cmp.Or(in.GetSubjectTokenType(), tokenTypeJWT), RequestedType: in.GetRequestedTokenType(),
	}
	if in.GetSubjectToken() != nil {
		out.SubjectType = cmp.Or(in.GetSubjectTokenType(), tokenTypeAccess)
	} else if !c.issues {
		c.failf(path, "no caller brings a token that could be exchanged, because there are no `issuers` of tokens: list who signs them, or give a `subject_token`")
	}
	switch {
	case in.GetActorToken() != nil:
		out.ActorType = cmp.Or(in.GetActorTokenType(), tokenTypeAccess)
	case in.GetActorTokenType() != "":
		c.failf(path+".actor_token_type", "there is no `actor_token` of that type: give one, or leave it out")
	}
	for _, member := range []struct{ key, text string }{
		{"subject_token_type", in.GetSubjectTokenType()}, {"actor_token_type", in.GetActorTokenType()}, {"requested_token_type", in.GetRequestedTokenType()},
	} {
		c.identifier(path+"."+member.key, member.text, tokenTypeAccess)
	}
	return out
}
