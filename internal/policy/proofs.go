package policy

import (
	"errors"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/target"
)

// Proofs are how callers prove who they are.
type Proofs struct {
	// Callers are in the file's order; none: nobody is asked for a proof.
	Callers []*Caller
	// Issuers sign tokens, in the file's order.
	Issuers []*Issuer
	// AllowAnonymous lets those who bring no proof call as Anonymous.
	AllowAnonymous bool
}

// Caller is an internal service that uses fetchsvc. Each member is a way to prove
// that it is the one; any will do.
type Caller struct {
	// Name is what rules call it.
	Name string
	// Keys refer to SHA-256 digests, in hexadecimal, of its API keys.
	Keys []SecretRef
	// SPIFFE are SPIFFE IDs, or end in `/*` for all beneath.
	SPIFFE []string
	// DNS are DNS names of certificates, in lower case.
	DNS []string
	// CommonNames are those of certificates' subjects.
	CommonNames []string
	// Tokens are what its tokens are like.
	Tokens []*Token
}

// provable says that somebody can be it.
func (c *Caller) provable() bool {
	return len(c.Keys)+len(c.SPIFFE)+len(c.DNS)+len(c.CommonNames)+len(c.Tokens) > 0
}

// Token says which tokens of an issuer are a caller's.
type Token struct {
	Caller *Caller
	Issuer *Issuer

	claims claimSet
}

// Matches says that a token of the issuer with these claims is the caller's.
func (t *Token) Matches(claims map[string]any) bool { return t.claims.missing(claims) == "" }

// Narrower says that all tokens of t are tokens of o too, and not the other way
// round.
func (t *Token) Narrower(o *Token) bool {
	return t.Issuer == o.Issuer && o.claims.covers(t.claims) && !t.claims.covers(o.claims)
}

// Issuer is who signs tokens.
type Issuer struct {
	// Name is policy's, ID what its tokens have as `iss`.
	Name, ID string
	// Audiences are what its tokens have as `aud`, one of them.
	Audiences []string
	// JWKS is where its keys are.
	JWKS target.URL
	// Algorithms are what its tokens may be signed with, as in RFC 7518.
	Algorithms []string
	// Skew is how far its clock and ours may be apart.
	Skew time.Duration
	// Upstream is the system upstream that JWKS belongs to.
	Upstream string
	// Tokens are which of its tokens are whose.
	Tokens []*Token

	nameClaim string
}

// CheckSPIFFE says why id is no SPIFFE ID. Of one that is, no two spellings mean
// the same (SPIFFE-ID, sections 2.1 to 2.3).
func CheckSPIFFE(id string) error {
	rest, ok := strings.CutPrefix(id, "spiffe://")
	domain, path, _ := strings.Cut(rest, "/")
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789.-_"
	switch {
	case !ok:
		return errors.New("a SPIFFE ID begins with spiffe://, in lower case")
	case len(id) > 2048:
		return errors.New("a SPIFFE ID has at most 2048 bytes")
	case domain == "" || len(domain) > 255 || strings.Trim(domain, letters) != "":
		return errors.New("a trust domain has lower-case letters, digits, and . - _ only, and no port")
	case !strings.Contains(rest, "/"):
		return nil
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.Trim(segment, letters+"ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return errors.New("the path's segments are of letters, digits, and . - _ only; none is empty, . or ..; a `*` stands alone at the end")
		}
	}
	return nil
}
