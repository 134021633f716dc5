package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

const defaultSkew = time.Minute

// callerProofs reads how callers prove who they are; issuers come before.
func (c *compiler) callerProofs(file *policyv1.Policy, s *Snapshot) {
	s.Proofs.AllowAnonymous = file.GetUnsafeAllowAnonymous()
	owners := proofOwners{}
	for i, in := range file.GetCallers() {
		at := fmt.Sprintf("callers[%d]", i)
		caller := c.callerProof(at, in, owners)
		for j, t := range in.GetJwt() {
			c.callerToken(fmt.Sprintf("%s.jwt[%d]", at, j), s, caller, t)
		}
		if !caller.provable() && len(in.GetJwt()) == 0 {
			c.warn(at, "nobody can prove to be %q, so rules about it hold for nobody: give it an api_key, a name of its certificate, or jwt", caller.Name)
		}
		s.Proofs.Callers = append(s.Proofs.Callers, caller)
	}
	for i, issuer := range s.Proofs.Issuers {
		if len(issuer.Tokens) == 0 && !anyNames(file, issuer.Name) {
			c.warn(fmt.Sprintf("issuers[%d].name", i), "no caller has tokens of issuer %q", issuer.Name)
		}
	}
	if s.Proofs.AllowAnonymous && len(s.Proofs.Callers) == 0 {
		c.warn("unsafe_allow_anonymous", "without `callers` all are anonymous anyway: leave it out")
	}
}

// anyNames: a caller names the issuer, whatever else is wrong with it.
func anyNames(file *policyv1.Policy, issuer string) bool {
	return slices.ContainsFunc(file.GetCallers(), func(in *policyv1.Caller) bool {
		return slices.ContainsFunc(in.GetJwt(), func(t *policyv1.CallerToken) bool { return t.GetIssuer() == issuer })
	})
}

// proofOwners says who has a proof already.
type proofOwners map[string]string

// take says whose what is already, or enters it.
func (o proofOwners) take(c *compiler, path, kind, what, caller string) {
	switch key := kind + " " + what; {
	case o[key] == caller:
		c.failf(path, "%s %q stands here twice: leave one out", kind, what)
	case o[key] != "":
		c.failf(path, "%s %q is what caller %q proves who it is by: each needs its own", kind, what, o[key])
	default:
		o[key] = caller
	}
}

func (c *compiler) callerProof(at string, in *policyv1.Caller, owners proofOwners) *Caller {
	out := &Caller{Name: in.GetName(), CommonNames: in.GetCommonNames()}
	if in.GetNextApiKey() != nil && in.GetApiKey() == nil {
		c.failf(at+".next_api_key", "there is no `api_key` that it could follow: name it so")
	}
	check := c.opts.CheckKeyHash
	if check == nil {
		check = c.opts.CheckSecret
	}
	for _, key := range []struct {
		name   string
		secret *policyv1.Secret
	}{{"api_key", in.GetApiKey()}, {"next_api_key", in.GetNextApiKey()}} {
		if key.secret == nil {
			continue
		}
		path := at + "." + key.name + ".secret"
		ref := c.secret(path, key.secret, check)
		if c.inVault(ref) {
			c.failf(path, "a caller is known before anything is called, so its key cannot be in a vault: write env:NAME or file:PATH, of a digest that is no secret")
		}
		if ref != "" {
			owners.take(c, path, "secret", key.secret.GetSecret(), out.Name)
			out.Keys = append(out.Keys, ref)
		}
	}
	for i, id := range in.GetSpiffeIds() {
		path := fmt.Sprintf("%s.spiffe_ids[%d]", at, i)
		if err := CheckSPIFFE(strings.TrimSuffix(id, "/*")); err != nil {
			c.failf(path, "%q: %w", id, err)
			continue
		}
		owners.take(c, path, "SPIFFE ID", id, out.Name)
		out.SPIFFE = append(out.SPIFFE, id)
	}
	for i, name := range in.GetDnsNames() {
		path := fmt.Sprintf("%s.dns_names[%d]", at, i)
		host, err := target.ParseHost(name)
		if err == nil && (host.IsAddr() || strings.ContainsAny(name, "*:/@")) {
			err = fmt.Errorf("%q is no DNS name: write billing.internal.example.com", name)
		}
		if err != nil {
			c.fail(path, err)
			continue
		}
		owners.take(c, path, "DNS name", host.Name, out.Name)
		out.DNS = append(out.DNS, host.Name)
	}
	for i, name := range in.GetCommonNames() {
		owners.take(c, fmt.Sprintf("%s.common_names[%d]", at, i), "common name", name, out.Name)
	}
	return out
}

// callerToken reads one of a caller's `jwt`.
func (c *compiler) callerToken(path string, s *Snapshot, caller *Caller, in *policyv1.CallerToken) {
	i := slices.IndexFunc(s.Proofs.Issuers, func(i *Issuer) bool { return i.Name == in.GetIssuer() })
	if i < 0 {
		var known []string
		for _, other := range s.Proofs.Issuers {
			known = append(known, other.Name)
		}
		c.failf(path+".issuer", "there is no issuer %q: list it under `issuers`%s", in.GetIssuer(), didYouMean(in.GetIssuer(), known))
		return
	}
	issuer := s.Proofs.Issuers[i]
	t := &Token{Caller: caller, Issuer: issuer, claims: c.claims(path+".claims", in.GetClaims())}
	if len(t.claims) < len(in.GetClaims()) {
		return // said
	}
	switch {
	case issuer.nameClaim != "" && in.GetClaims()[issuer.nameClaim] != "":
		c.failf(path+".claims", "the issuer's name_claim %q is the caller's name already: leave the claim out", issuer.nameClaim)
	case issuer.nameClaim != "":
		t.claims = append(t.claims, claimGlob{issuer.nameClaim, caller.Name})
	case len(t.claims) == 0:
		c.failf(path, "every token of issuer %q would be caller %q: say by `claims` which are, such as {sub: %s}, or {sub: \"*\"} if all are meant", issuer.Name, caller.Name, caller.Name)
		return
	}
	for _, other := range issuer.Tokens {
		if other.claims.covers(t.claims) && t.claims.covers(other.claims) {
			c.failf(path, "tokens of issuer %q with these claims are caller %q already: each needs its own", issuer.Name, other.Caller.Name)
			return
		}
	}
	caller.Tokens, issuer.Tokens = append(caller.Tokens, t), append(issuer.Tokens, t)
}

// issuers reads who signs tokens.
func (c *compiler) issuers(file *policyv1.Policy, s *Snapshot, base inherited) {
	names, ids := map[string]bool{}, map[string]string{}
	for i, in := range file.GetIssuers() {
		at := fmt.Sprintf("issuers[%d]", i)
		if names[in.GetName()] {
			c.failf(at+".name", "issuer %q is defined twice", in.GetName())
		}
		if other := ids[in.GetIssuer()]; other != "" {
			c.failf(at+".issuer", "%q is issuer %q already: put the two together", in.GetIssuer(), other)
		}
		names[in.GetName()], ids[in.GetIssuer()] = true, cmp.Or(in.GetName(), "?")
		s.Proofs.Issuers = append(s.Proofs.Issuers, c.issuer(at, s, base, in))
	}
}

func (c *compiler) issuer(at string, s *Snapshot, base inherited, in *policyv1.Issuer) *Issuer {
	out := &Issuer{
		Name: in.GetName(), ID: in.GetIssuer(), Audiences: in.GetAudiences(), Algorithms: in.GetAlgorithms(),
		Skew: override(defaultSkew, duration(in.GetClockSkew())), nameClaim: in.GetNameClaim(), Upstream: systemPrefix + in.GetName(),
	}
	if len(out.Algorithms) == 0 {
		out.Algorithms = []string{"RS256", "PS256", "ES256", "EdDSA"}
	}
	if out.nameClaim != "" {
		if err := checkClaim(out.nameClaim, ""); err != nil {
			c.fail(at+".name_claim", err)
		}
	}
	allow := c.prefixes(at+".unsafe_allow_addresses", in.GetUnsafeAllowAddresses())
	u, err := target.Parse(in.GetJwksUrl())
	switch {
	case err != nil:
		c.failf(at+".jwks_url", "it is no URL to fetch: %w", err)
		return out
	case u.Fragment != "":
		c.failf(at+".jwks_url", "a fragment is never sent: leave out `#` and what follows")
	case u.Scheme == "http" && !in.GetUnsafePlainHttp():
		c.failf(at+".jwks_url", "keys that come by http can be exchanged on the way: write https, or add unsafe_plain_http: true")
	case u.Scheme == "https" && in.GetUnsafePlainHttp():
		c.warn(at+".unsafe_plain_http", "the keys come by https: leave it out")
	}
	out.JWKS = u
	s.system = append(s.system, systemUpstream(out.Upstream, base, u, []string{"GET"}, maxJWKS, allow))
	return out
}
