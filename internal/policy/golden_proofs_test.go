package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// callerWords is how a caller proves who it is.
func callerWords(s *Snapshot, name string) string {
	i := slices.IndexFunc(s.Proofs.Callers, func(c *Caller) bool { return c.Name == name })
	if i < 0 {
		return "unknown"
	}
	c := s.Proofs.Callers[i]
	var tokens []string
	for _, t := range c.Tokens {
		tokens = append(tokens, t.Issuer.Name+" {"+strings.Join(t.claims.words(), ", ")+"}")
	}
	return fmt.Sprintf("%d keys, spiffe %s, dns %s, cn %s, jwt %s", len(c.Keys), list(c.SPIFFE), list(c.DNS), list(c.CommonNames), list(tokens))
}

// tokenWords is whose a token of an issuer is: `corp {"sub":"a"}`.
func tokenWords(s *Snapshot, question string) string {
	name, text, _ := strings.Cut(question, " ")
	var claims map[string]any
	if err := json.Unmarshal([]byte(text), &claims); err != nil {
		return unknownKey
	}
	var callers []string
	for _, issuer := range s.Proofs.Issuers {
		for _, t := range issuer.Tokens {
			if issuer.Name == name && t.Matches(claims) {
				callers = append(callers, t.Caller.Name)
			}
		}
	}
	return list(callers)
}

// issuerWords is what an issuer is, and how its keys are fetched.
func issuerWords(s *Snapshot, name string) string {
	i := slices.IndexFunc(s.Proofs.Issuers, func(i *Issuer) bool { return i.Name == name })
	if i < 0 {
		return "unknown"
	}
	issuer := s.Proofs.Issuers[i]
	d, err := s.DecideSystem(issuer.Upstream, Query{Caller: System, Method: "GET", URL: issuer.JWKS})
	if err != nil {
		return "its keys cannot be fetched: " + err.Error()
	}
	up := d.Route.Upstream
	return fmt.Sprintf("iss %s, aud %s, alg %s, skew %s, keys at %s by %s to %s %s", issuer.ID, list(issuer.Audiences),
		list(issuer.Algorithms), wait(issuer.Skew), issuer.JWKS, up.Name, list(up.Hosts), list(up.AllowAddresses))
}
