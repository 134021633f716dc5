package policy

import (
	"strings"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// presentCertificate gives the connections of up the certificate that is its
// credential. A connection is with it or without it, whatever is asked on it: so all
// that up calls must be within its bind, and no call may have another.
func (c *compiler) presentCertificate(path string, up *Upstream, in *policyv1.Upstream) {
	cred := up.Base.Credential
	if !cred.isPresented() {
		return
	}
	switch {
	case in.GetTls().GetClientCertificate() != nil:
		c.failf(path+".tls.client_certificate", "credential %q is a client certificate too: keep one of the two", cred.Name)
	case len(cred.bind) > 0 && cred.meets(up) && !cred.holds(up):
		c.failf(path+".credential", "credential %q is a client certificate, which all calls of an upstream present, and its `bind` does not have all of [%s] by [%s]: add them, or give the others an upstream of their own",
			cred.Name, clipList(up.Hosts), strings.Join(up.Schemes, ", "))
	}
	cert := cred.Scheme.(*ClientCert)
	up.TLS.CertFile, up.TLS.Key = cert.file, cert.key
}

// perCall refuses a credential of some calls, where connections have theirs.
func (c *compiler) perCall(path string, up *Upstream, cred *Credential) {
	switch base := up.Base.Credential; {
	case cred.isPresented():
		c.failf(path, "%q is a client certificate, which is presented for all calls of a connection: make it the upstream's `credential`", cred.Name)
	case base.isPresented():
		c.failf(path, "credential %q of the upstream is in every connection, so no other can stand in its place: give it as tls.client_certificate, and this one beside it", base.Name)
	}
}

// isPresented says that cred is a connection's, not a request's.
func (cred *Credential) isPresented() bool {
	if cred == nil {
		return false
	}
	_, ok := cred.Scheme.(*ClientCert)
	return ok
}

// proofHandling reads what becomes of callers' own proofs, and of answers.
func (c *compiler) proofHandling(path string, up *Upstream, in *policyv1.Upstream) {
	switch in.GetCallerCredentials() {
	case "deny":
		up.CallerCredentials = DenyCredentials
	case "keep":
		up.CallerCredentials = KeepCredentials
	}
	switch in.GetScrub() {
	case "refuse":
		up.Scrub = ScrubRefuse
	case "off":
		up.Scrub = ScrubOff
	}
	for _, r := range append([]*Route{up.Base}, up.Routes...) {
		if len(r.Choices) > 0 || r.Credential != nil && !r.Credential.isPresented() {
			return
		}
	}
	for _, key := range []struct{ name, given string }{{"caller_credentials", in.GetCallerCredentials()}, {"scrub", in.GetScrub()}} {
		if key.given != "" {
			c.warn(path+"."+key.name, "no call of upstream %q carries a credential, so it says nothing: leave it out", up.Name)
		}
	}
}
