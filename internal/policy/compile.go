package policy

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// compiler gathers every problem instead of stopping at the first.
type compiler struct {
	dir         string // that relative names start from
	opts        Options
	problems    []problem
	callers     []string
	credentials map[string]*Credential
	used        map[string]bool // credentials that an upstream names
	issues      bool            // there are issuers of tokens
	vaults      []string        // their names
	usedVaults  map[string]bool // that a reference names
	stateFiles  map[string]bool // of refresh tokens
}

func (c *compiler) fail(path string, err error) {
	c.problems = append(c.problems, problem{path: path, err: err})
}

func (c *compiler) failf(path, format string, args ...any) {
	c.fail(path, fmt.Errorf(format, args...))
}

// warn notes what does no harm and has no effect either.
func (c *compiler) warn(path, format string, args ...any) {
	c.problems = append(c.problems, problem{path: path, err: fmt.Errorf(format, args...), warning: true})
}

// compile turns a file that meets its schema into a snapshot.
func compile(file *policyv1.Policy, dir string, opts Options) (*Snapshot, []problem) {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs // secrets and files are read long after the process may have moved
	}
	c := compiler{
		dir: dir, opts: opts, credentials: map[string]*Credential{}, used: map[string]bool{},
		usedVaults: map[string]bool{}, stateFiles: map[string]bool{},
	}
	s := &Snapshot{index: newIndex()}
	c.issues = len(file.GetIssuers()) > 0
	c.vaultNames(file)
	c.identities(file, s)
	base := c.defaults(file.GetDefaults())
	s.LogLevel, s.Trace = logLevel(file.GetTelemetry()), base.trace
	c.secretSources(file, s, base)
	c.defineCredentials(file, s, base)
	c.issuers(file, s, base)
	c.callerProofs(file, s)
	c.callerLimits(file, s)
	s.Batch = c.batch(file.GetBatch())
	s.NAT64 = c.nat64(file.GetNat64Prefixes())
	names := map[string]bool{}
	for i, in := range file.GetUpstreams() {
		path := fmt.Sprintf("upstreams[%d]", i)
		if names[in.GetName()] {
			c.failf(path+".name", "upstream %q is defined twice", in.GetName())
		}
		if strings.HasPrefix(in.GetName(), systemPrefix) {
			c.failf(path+".name", "names that begin with %s are of fetchsvc's own calls: choose another", systemPrefix)
		}
		names[in.GetName()] = true
		s.Upstreams = append(s.Upstreams, c.upstream(path, &s.index, base, in))
	}
	c.unusedCredentials(file)
	c.unusedVaults(file)
	return s, c.problems
}

// inherited is what an upstream takes over from `defaults`.
type inherited struct {
	Settings
	connection Connection
	limits     Limits
	budget     Budget
	trace      Tracing
	level      level
}

func (c *compiler) defaults(in *policyv1.Defaults) inherited {
	const path = "defaults"
	out := inherited{budget: builtinBudget(), level: newLevel("defaults", in)}
	out.Settings = c.settings(path, builtin(), in)
	out.connection.TLS = c.tls(path+".tls", TLS{}, in.GetTls())
	out.connection.Proxy = c.proxy(path+".proxy", nil, in.GetProxy())
	out.limits = c.limits(path+".limits", Limits{}, in.GetLimits())
	out.budget = c.budget(path+".retry.budget", out.budget, in.GetRetry().GetBudget())
	out.trace = tracing(builtinTracing(), in.GetTrace())
	return out
}

func (c *compiler) upstream(path string, x *index, base inherited, in *policyv1.Upstream) *Upstream {
	up := &Upstream{
		Name: in.GetName(), Hosts: in.GetHosts(), Schemes: in.GetSchemes(),
		Connection: c.connection(path, base.connection, in),
		Limits:     c.limits(path+".limits", base.limits, in.GetLimits()),
		Budget:     c.budget(path+".retry.budget", base.budget, in.GetRetry().GetBudget()),
		Trace:      tracing(base.trace, in.GetTrace()),
		Grants:     grants(in.GetGrants()),
		patterns:   make(patterns, len(in.GetHosts())*max(1, len(in.GetSchemes()))),
	}
	if len(up.Schemes) == 0 {
		up.Schemes = []string{"https"}
	}
	own := newLevel("upstream "+up.Name, in)
	up.Base = &Route{Upstream: up, Settings: c.settings(path, base.Settings, in), levels: []level{own, base.level}}
	up.Base.MinRate = c.size(path+".min_rate", in.GetMinRate(), 0, math.MaxInt64)
	for i, pattern := range up.Hosts {
		if err := x.add(up, pattern); err != nil {
			c.fail(fmt.Sprintf("%s.hosts[%d]", path, i), err)
		}
	}
	up.Base.Credential = c.credential(path+".credential", up, nil, in.GetCredential())
	up.Base.Choices = c.choices(path+".credentials", up, up.Base.Credential, nil, in.GetCredentials())
	c.presentCertificate(path, up, in)
	up.access = c.access(path, in)
	for i, r := range in.GetRoutes() {
		up.Routes = append(up.Routes, c.route(fmt.Sprintf("%s.routes[%d]", path, i), fmt.Sprintf("routes[%d]", i), up, own, base.level, r))
	}
	up.entries = entriesOf(up.Routes)
	c.proofHandling(path, up, in)
	c.shadows(path, up, in)
	if up.TLS.SkipVerify && len(up.TLS.Pins) == 0 && slices.Contains(up.Schemes, "https") {
		at := path
		if !in.GetTls().GetUnsafeSkipVerify() {
			at = "defaults"
		}
		c.warn(at+".tls.unsafe_skip_verify", "anyone in between can read and change the calls of upstream %q; spki_pins hold without verification too", up.Name)
	}
	return up
}

func (c *compiler) route(path, name string, up *Upstream, own, defaults level, in *policyv1.Route) *Route {
	r := &Route{Upstream: up, Name: name, Settings: c.settings(path, up.Base.Settings, in)}
	r.levels = []level{newLevel("upstream "+up.Name+" "+name, in), own, defaults}
	r.MinRate = cmp.Or(c.size(path+".min_rate", in.GetMinRate(), 0, math.MaxInt64), up.Base.MinRate)
	r.Credential = c.credential(path+".credential", up, up.Base.Credential, in.GetCredential())
	if in.GetCredential() != "" {
		c.perCall(path+".credential", up, r.Credential)
	}
	r.Choices = c.choices(path+".credentials", up, r.Credential, up.Base.Choices, in.GetCredentials())
	r.rule = c.rule(path, in)
	if isEmptyRule(in) {
		c.failf(path, "a route needs methods, paths, callers or claims: what holds for all calls goes into the upstream itself")
	}
	for name, clock := range map[string]*durationpb.Duration{"tls": in.GetTimeouts().GetTls(), "dns": in.GetTimeouts().GetDns()} {
		if clock != nil {
			c.failf(path+".timeouts."+name, "it is a clock of connections, which routes share: set it in the upstream")
		}
	}
	if in.GetSizes().GetResponseHeader() != "" {
		c.failf(path+".sizes.response_header", "it is a bound of connections, which routes share: set it in the upstream")
	}
	if in.GetRetry().GetBudget() != nil {
		c.failf(path+".retry.budget", "the budget is of all calls of an upstream: set it there")
	}
	return r
}

func (c *compiler) batch(in *policyv1.Batch) Batch {
	var value, ceiling *int32
	if in != nil {
		value = in.Concurrency
	}
	if m := in.GetMax(); m != nil {
		ceiling = m.Concurrency
	}
	b := layer(c, "batch.", "concurrency", Bound[int]{Default: defaultConcurrency, Max: maxConcurrency}, number(value), number(ceiling))
	return Batch{Concurrency: b.Default, Max: b.Max}
}

func grants(names []string) (g Grants) {
	for _, name := range names {
		switch name {
		case "request_proxy":
			g.Proxy = true
		case "request_ca":
			g.CA = true
		case "request_client_cert":
			g.ClientCert = true
		case "unsafe_skip_verify":
			g.SkipVerify = true
		case "unsafe_request_host":
			g.Host = true
		}
	}
	return g
}

// parsePrefix reads `10.0.0.0/8` or a single address. Host bits that are set
// are refused: `10.1.2.3/8` leaves open which of the two was meant.
func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		if addr.Is4In6() {
			return netip.Prefix{}, errMapped(s, addr.Unmap().String())
		}
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is not an address range: write 10.0.0.0/8, fd00::/8 or one address", s)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return p, errMapped(s, netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked().String())
	}
	if p.Masked() != p {
		return p, fmt.Errorf("%q has bits behind its prefix length: write %s", s, p.Masked())
	}
	return p, nil
}

// errMapped refuses IPv4-mapped IPv6: such addresses are IPv4 to all that comes
// after, so that the range would fit none.
func errMapped(s, four string) error {
	return fmt.Errorf("%q is IPv4 written as IPv6, and would fit no address: write %s", s, four)
}

// level is one place of the file where settings may come from.
type level struct {
	// name is `defaults`, `upstream github` or `upstream github routes[0]`.
	name    string
	message proto.Message
}

func newLevel(name string, m proto.Message) level { return level{name, m} }
