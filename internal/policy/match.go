package policy

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/target"
)

// anyPort stands for `host:*`.
const anyPort = 0

// endpoint is what a host pattern is looked up by.
type endpoint struct {
	// host is an exact name, or the part of `*.example.com` after the star, or
	// empty for `*`.
	host string
	kind patternKind
	port uint16
	tls  bool
}

type patternKind uint8

const (
	exact patternKind = iota
	wildcard
	anyHost
)

// index finds the upstream of an endpoint without allocating.
type index struct {
	upstreams map[endpoint]*Upstream
	// hosts names an upstream for every host pattern whatever its port and
	// scheme, so that a denial can name the nearest rule.
	hosts map[endpoint]*Upstream
}

func newIndex() index {
	return index{upstreams: map[endpoint]*Upstream{}, hosts: map[endpoint]*Upstream{}}
}

// endpointOf is the exact pattern of u.
func endpointOf(u target.URL) endpoint {
	return endpoint{host: u.Host.Name, kind: exact, port: u.Port, tls: u.Scheme == "https"}
}

// walk tries the patterns that could match what the exact pattern at does, most
// specific first, until find has one; the zero T: it has none. No wildcard ends as an
// address does: parsePattern refuses such.
func walk[T comparable](at endpoint, find func(endpoint) T) (found T) {
	var none T
	if found = find(at); found != none {
		return found
	}
	at.kind = wildcard
	for {
		_, after, ok := strings.Cut(at.host, ".")
		if !ok {
			break
		}
		at.host = after
		if found = find(at); found != none {
			return found
		}
	}
	at.host, at.kind = "", anyHost
	return find(at)
}

func (x *index) find(at endpoint) *Upstream {
	if up := x.upstreams[at]; up != nil {
		return up
	}
	at.port = anyPort
	return x.upstreams[at]
}

// denied says why nothing matched, and what came nearest.
func (s *Snapshot) denied(u target.URL) error {
	origin := u.Scheme + "://" + u.DialAddr()
	if s.Source == noFile {
		return refusal(ruleHosts, "%s is denied: the service has no policy and denies everything; start it with --policy FILE", origin)
	}
	near := walk(endpointOf(u), func(at endpoint) *Upstream { // the other scheme on the same port
		at.tls = !at.tls
		return s.index.find(at)
	})
	if near == nil {
		near = walk(endpointOf(u), func(at endpoint) *Upstream { // any port, any scheme
			at.port, at.tls = anyPort, false
			return s.index.hosts[at]
		})
	}
	if near == nil {
		return refusal(ruleHosts, "%s is denied: no upstream of the policy lists the host; add it to the hosts of one", origin)
	}
	return refusal(ruleHosts,
		"%s is denied: the nearest upstream %q takes hosts [%s] by [%s]; add the port or the scheme there if the call is meant",
		origin, near.Name, clipList(near.Hosts), strings.Join(near.Schemes, ", "))
}

func clipList(hosts []string) string {
	const most = 5
	if len(hosts) > most {
		return strings.Join(hosts[:most], ", ") + fmt.Sprintf(", and %d more", len(hosts)-most)
	}
	return strings.Join(hosts, ", ")
}

// parsePattern reads one entry of `hosts`.
func parsePattern(s string) (host endpoint, hasPort bool, err error) {
	if strings.ContainsAny(s, "/@?# ") {
		return host, false, fmt.Errorf("%q is more than a host: list a.example, *.example.com or a.example:8443; schemes go into `schemes`", s)
	}
	name, port, hasPort := s, "", false
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') && strings.Count(s, ":") == 1 || i > 0 && s[i-1] == ']' {
		name, port, hasPort = s[:i], s[i+1:], true
	}
	switch {
	case name == "*":
		host.kind = anyHost
	case strings.HasPrefix(name, "*."):
		host.kind = wildcard
		name = name[2:]
	}
	if strings.Contains(name, "*") && host.kind != anyHost {
		return host, false, fmt.Errorf("%q: a star stands alone or as the whole first label: *.example.com", s)
	}
	if host.kind != anyHost {
		h, err := target.ParseHost(name)
		if err != nil {
			return host, false, err
		}
		if h.IsAddr() && host.kind == wildcard {
			return host, false, fmt.Errorf("%q: an address has no subdomains; list it without the star", s)
		}
		host.host = h.Name
	}
	if hasPort && port != "*" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return host, false, fmt.Errorf("%q: the port is 1 to 65535, or * for any", s)
		}
		host.port = uint16(n)
	}
	return host, hasPort, nil
}

// add enters one pattern of up, once per scheme.
func (x *index) add(up *Upstream, pattern string) error {
	at, hasPort, err := parsePattern(pattern)
	if err != nil {
		return err
	}
	if bare := (endpoint{host: at.host, kind: at.kind}); x.hosts[bare] == nil {
		x.hosts[bare] = up
	}
	text := at.text()
	for _, scheme := range up.Schemes {
		at.tls = scheme == "https"
		if !hasPort {
			at.port = target.DefaultPort(scheme)
		}
		if other := x.upstreams[at]; other != nil {
			if other == up {
				return fmt.Errorf("%q by %s is listed twice, perhaps in two spellings: leave one out", pattern, scheme)
			}
			return fmt.Errorf("%q by %s is already listed by upstream %q; a host belongs to one upstream", pattern, scheme, other.Name)
		}
		x.upstreams[at] = up
		up.patterns[at] = text
	}
	return nil
}
