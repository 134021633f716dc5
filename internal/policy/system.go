package policy

import (
	"net/netip"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/target"
)

// System is the caller of fetchsvc's own calls, such as for the keys of issuers.
const System = "system"

const (
	// systemPrefix begins the names of the upstreams of such calls.
	systemPrefix = "system."
	// maxJWKS is the largest set of keys that an issuer may have, maxToken the largest
	// answer of a token endpoint or of STS, maxVault that of a vault, in bytes.
	maxJWKS  = 256 << 10
	maxToken = 256 << 10
	maxVault = 1 << 20
)

// System are the upstreams of fetchsvc's own calls. No caller's URL matches them.
func (s *Snapshot) System() []*Upstream { return s.system }

// DecideSystem is Decide for fetchsvc's own calls to the system upstream name:
// a hop must be to its one origin, by one of its methods.
func (s *Snapshot) DecideSystem(name string, q Query) (Decision, error) {
	for _, up := range s.system {
		if up.Name != name {
			continue
		}
		if pattern, wrong := up.nearest(q.URL); pattern == "" || wrong != "" {
			return Decision{}, refusal(ruleHosts, "%s is denied: %s goes to %s only", q.URL.Place(), name, up.Hosts[0])
		}
		return up.decide(q, nil)
	}
	return Decision{}, refusal(ruleHosts, "%s is denied: the policy has no %s", q.URL.Place(), name)
}

// systemUpstream reaches u's origin as `defaults` say, without redirects and
// credentials, and tells it nothing of the trace. It is in no index.
func systemUpstream(name string, base inherited, u target.URL, methods []string, most int64, allow []netip.Prefix) *Upstream {
	up := &Upstream{
		Name: name, Hosts: []string{u.DialAddr()}, Schemes: []string{u.Scheme},
		Connection: base.connection, Limits: base.limits, Budget: base.budget, Trace: base.trace,
		patterns: patterns{endpointOf(u): u.Host.Name},
	}
	up.Trace.Propagate = PropagateNone
	up.AllowAddresses = allow
	up.Base = &Route{Upstream: up, Settings: base.Settings, levels: []level{base.level}}
	up.Base.Redirects.Mode = Bound[RedirectMode]{Default: RedirectNone, Max: RedirectNone}
	up.Base.Sizes.Response, up.Base.Sizes.Decoded = Bound[int64]{Default: most, Max: most}, 0
	up.access.allow = rule{methods: methodSet{names: methods}, text: methodsOnly(methods)}
	return up
}

// repeats says that all calls of a system upstream may be sent again, whatever
// `defaults` say, and that none may take long: calls wait for them.
func (up *Upstream) repeats(methods ...string) {
	const total, attempt, attempts = 10 * time.Second, 5 * time.Second, 3
	s := &up.Base.Settings
	s.Timeouts.Total, s.Timeouts.Attempt = Clock{Default: total, Max: total}, Clock{Default: attempt, Max: attempt}
	most := max(attempts, s.Retry.MaxAttempts.Default)
	s.Retry.MaxAttempts = Bound[int]{Default: most, Max: most}
	s.Retry.Connect, s.Retry.Read, s.Retry.Status, s.Retry.Other = -1, -1, -1, -1
	s.Retry.Statuses, s.Retry.Kinds = []int{408, 425, 429, 500, 502, 503, 504}, nil
	s.Retry.methods, s.Retry.GenerateKey = methodSet{names: methods}, false
	s.Sizes.Request = defaultRequest
}

// spends says that a call may use up what it asks with, a refresh token: one that may
// have been heard is not sent again, for the server would take the second for theft
// (RFC 9700 section 4.14.2). So it has the whole of its time in one attempt.
func (up *Upstream) spends() {
	s := &up.Base.Settings
	s.Timeouts.Attempt = s.Timeouts.Total
	s.Retry.Read, s.Retry.Other = 0, 0
	s.Retry.Statuses = []int{429, 503}
}

// methodsOnly is a rule that no file has.
type methodsOnly []string

func (methodsOnly) GetCallers() []string         { return nil }
func (m methodsOnly) GetMethods() []string       { return m }
func (methodsOnly) GetPaths() []string           { return nil }
func (methodsOnly) GetClaims() map[string]string { return nil }

// ownURL is where a call of fetchsvc's own goes.
type ownURL struct {
	path, text string
	plain      bool   // http will do
	example    string // of such a URL
	shows      string // what who reads the call learns
}

// ownURL reads it; false: there is none.
func (c *compiler) ownURL(own ownURL) (u target.URL, found bool) {
	if own.text == "" {
		c.failf(own.path, "is missing: write %s: %s", own.path[strings.LastIndexByte(own.path, '.')+1:], own.example)
		return u, false
	}
	u, err := target.Parse(own.text)
	switch {
	case err != nil:
		c.failf(own.path, "it is no URL to call: %w", err)
		return u, false
	case u.Fragment != "":
		c.failf(own.path, "a fragment is never sent: leave out `#` and what follows")
	case u.Scheme == "http" && !own.plain:
		c.failf(own.path, "by http, whoever is in between reads %s: write https, or add unsafe_plain_http: true", own.shows)
	case u.Scheme == "https" && own.plain:
		c.warn(parent(own.path)+".unsafe_plain_http", "it goes by https: leave it out")
	}
	return u, true
}
