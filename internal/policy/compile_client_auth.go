package policy

import (
	"cmp"
	"slices"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// clientProofs are what a client may prove itself by, in the order in which it
// settles client_auth, and which of those go with it.
var clientProofs = []struct {
	key   string
	auth  []string // the first is the default
	given func(*policyv1.OAuth2) bool
}{
	{"client_secret", []string{ClientSecretBasic, ClientSecretPost}, func(in *policyv1.OAuth2) bool { return in.GetClientSecret() != nil }},
	{"client_key", []string{PrivateKeyJWT}, func(in *policyv1.OAuth2) bool { return in.GetClientKey() != nil }},
	{"client_certificate", []string{TLSClientAuth}, func(in *policyv1.OAuth2) bool { return in.GetClientCertificate() != nil }},
}

// clientAuth reads how the client proves itself. Trying out which way a server
// takes would cost a refused request each time, so it is settled here.
func (c *compiler) clientAuth(path string, out *OAuth2, in *policyv1.OAuth2) {
	if in.GetClientKey() != nil {
		out.ClientKey = c.signingKey(path+".client_key", in.GetClientKey())
	}
	out.ClientAuth = in.GetClientAuth()
	if out.Grant == GrantGoogle {
		out.ClientAuth = ClientAuthNone // its key file is the proof
		return
	}
	first := ""
	for _, proof := range clientProofs {
		switch {
		case !proof.given(in):
			if slices.Contains(proof.auth, in.GetClientAuth()) {
				c.failf(path+"."+proof.key, "is missing, and client_auth is %s: give it, or another client_auth", in.GetClientAuth())
			}
			continue
		case first != "":
			c.failf(path+"."+proof.key, "there is a `%s` too: a client proves itself in one way", first)
			continue
		case in.GetClientAuth() != "" && !slices.Contains(proof.auth, in.GetClientAuth()):
			c.failf(path+"."+proof.key, "it does not go with client_auth %s: leave one of the two out", in.GetClientAuth())
		}
		first = proof.key
		out.ClientAuth = cmp.Or(out.ClientAuth, proof.auth[0])
	}
	out.ClientAuth = cmp.Or(out.ClientAuth, ClientAuthNone)
	c.clientFits(path, out, in)
}

// clientFits checks what goes with the way.
func (c *compiler) clientFits(path string, out *OAuth2, in *policyv1.OAuth2) {
	needsID := out.Grant != GrantAssertion || out.ClientAuth != ClientAuthNone
	switch {
	case out.ClientID == "" && needsID:
		c.failf(path+".client_id", "is missing: write client_id: NAME, as the authorization server knows us")
	case out.Grant == GrantClientCredentials && out.ClientAuth == ClientAuthNone:
		c.failf(path, "no server gives a token to who proves nothing: give a client_secret, client_key or client_certificate, or another grant")
	}
	if in.GetClientAssertionAudience() != "" && out.ClientAuth != PrivateKeyJWT {
		c.failf(path+".client_assertion_audience", "there is no client's assertion with client_auth %s: leave it out", out.ClientAuth)
	}
	c.plainText(path+".client_assertion_audience", in.GetClientAssertionAudience())
	out.ClientAssertion = cmp.Or(in.GetClientAssertionAudience(), out.TokenURL.String())
	if out.ClientAuth == TLSClientAuth && out.TokenURL.Scheme == "http" {
		c.failf(path+".token_url", "a certificate is presented in a TLS handshake, which http has not: write https")
	}
}
