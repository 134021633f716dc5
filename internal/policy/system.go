package policy

import (
	"net/netip"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// System is the caller of fetchsvc's own calls, such as for the keys of issuers.
const System = "system"

const (
	// systemPrefix begins the names of the upstreams of such calls.
	systemPrefix = "system."
	// maxJWKS is the largest set of keys that an issuer may have, in bytes.
	maxJWKS = 256 << 10
)

// System are the upstreams of fetchsvc's own calls. No caller's URL matches them.
func (s *Snapshot) System() []*Upstream { return s.system }

// DecideSystem is Decide for fetchsvc's own calls to the system upstream name:
// a hop must be to its one origin, by its one method.
func (s *Snapshot) DecideSystem(name string, q Query) (Decision, error) {
	for _, up := range s.system {
		if up.Name != name {
			continue
		}
		if pattern, wrong := up.nearest(q.URL); pattern == "" || wrong != "" {
			return Decision{}, fault.Newf(fault.PolicyDenied, "%s is denied: %s goes to %s only", q.URL.Place(), name, up.Hosts[0])
		}
		return up.decide(q, nil)
	}
	return Decision{}, fault.Newf(fault.PolicyDenied, "%s is denied: the policy has no %s", q.URL.Place(), name)
}

// systemUpstream reaches u's origin as `defaults` say, without redirects and
// credentials. It is in no index.
func systemUpstream(name string, base inherited, u target.URL, method string, most int64, allow []netip.Prefix) *Upstream {
	up := &Upstream{
		Name: name, Hosts: []string{u.DialAddr()}, Schemes: []string{u.Scheme},
		Connection: base.connection, Limits: base.limits, Budget: base.budget,
	}
	up.AllowAddresses = allow
	up.Base = &Route{Upstream: up, Settings: base.Settings, levels: []level{base.level}}
	up.Base.Redirects.Mode = Bound[RedirectMode]{Default: RedirectNone, Max: RedirectNone}
	up.Base.Sizes.Response, up.Base.Sizes.Decoded = Bound[int64]{Default: most, Max: most}, 0
	up.access.allow = rule{methods: methodSet{names: []string{method}}, text: methodsOnly{method}}
	return up
}

// methodsOnly is a rule that no file has.
type methodsOnly []string

func (methodsOnly) GetCallers() []string         { return nil }
func (m methodsOnly) GetMethods() []string       { return m }
func (methodsOnly) GetPaths() []string           { return nil }
func (methodsOnly) GetClaims() map[string]string { return nil }
