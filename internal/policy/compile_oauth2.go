package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

const (
	defaultTokenLifetime     = 5 * time.Minute
	defaultAssertionLifetime = 5 * time.Minute
	googleTokenURL           = "https://oauth2.googleapis.com/token"
	tokenTypeJWT             = "urn:ietf:params:oauth:token-type:jwt"
	tokenTypeAccess          = "urn:ietf:params:oauth:token-type:access_token"
)

func (c *compiler) oauth2(path string, s *Snapshot, base inherited, cred *Credential, in *policyv1.OAuth2) *OAuth2 {
	out := &OAuth2{
		ClientID: in.GetClientId(), ClientSecret: c.secretIfAny(path+".client_secret.secret", in.GetClientSecret()),
		Scopes: in.GetScopes(), Audience: in.GetAudience(), Resource: in.GetResource(), Params: in.GetParams(),
		Lifetime: override(defaultTokenLifetime, duration(in.GetLifetime())),
	}
	own := ownURL{
		path: path + ".token_url", text: in.GetTokenUrl(), plain: in.GetUnsafePlainHttp(),
		example: "https://idp.example.com/token", shows: "the client's secret and the tokens",
	}
	if in.GetGoogleServiceAccount() != nil {
		own.text = cmp.Or(own.text, googleTokenURL)
	}
	u, found := c.ownURL(own)
	out.TokenURL = u
	c.grant(path, out, in)
	c.clientAuth(path, out, in)
	c.tokenRequest(path, out, in)
	allow := c.prefixes(path+".unsafe_allow_addresses", in.GetUnsafeAllowAddresses())
	if !found {
		return out
	}
	cred.Upstream = systemPrefix + "token/" + cred.Name
	up := systemUpstream(cred.Upstream, base, u, []string{"POST"}, maxToken, allow)
	up.repeats("POST")
	if out.Grant == GrantRefresh {
		up.spends()
	}
	if in.GetClientCertificate() != nil {
		up.TLS.CertFile, up.TLS.Key = c.clientCertificate(path+".client_certificate", in.GetClientCertificate())
	}
	s.system = append(s.system, up)
	return out
}

// identifier refuses what cannot be a URI.
func (c *compiler) identifier(path, text, example string) {
	if text != "" && (!strings.Contains(text, ":") || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f })) {
		c.failf(path, "it is no URI: write one such as %s", example)
	}
}

// ofTokenRequests are the parameters that have a key of their own, or that belong
// to the grant.
var ofTokenRequests = []string{
	"actor_token", "actor_token_type", "assertion", "audience", "client_assertion", "client_assertion_type", "client_id", "client_secret",
	"grant_type", "refresh_token", "requested_token_type", "resource", "scope", "subject_token", "subject_token_type",
}

// tokenRequest checks what is asked for.
func (c *compiler) tokenRequest(path string, out *OAuth2, in *policyv1.OAuth2) {
	c.plainText(path+".client_id", out.ClientID)
	for i, scope := range out.Scopes {
		if strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r >= 0x7f }) { // RFC 6749 section 3.3
			c.failf(fmt.Sprintf("%s.scopes[%d]", path, i), "a scope is one word without blanks, quotes and backslashes: list several one by one")
		}
	}
	for i, audience := range out.Audience {
		c.plainText(fmt.Sprintf("%s.audience[%d]", path, i), audience)
	}
	for i, resource := range out.Resource {
		at := fmt.Sprintf("%s.resource[%d]", path, i)
		c.identifier(at, resource, "https://api.example.com")
		if strings.Contains(resource, "#") {
			c.failf(at, "a resource has no fragment (RFC 8707): leave out `#` and what follows")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(out.Params)) {
		at := joinPath(path+".params", name)
		if slices.Contains(ofTokenRequests, name) {
			c.failf(at, "%q is set by the grant and the other keys of `oauth2`: leave it out here", name)
		}
		c.plainText(at, name+out.Params[name])
	}
}
