package policy

import (
	"fmt"
	"strings"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// Anonymous is the caller that has not proved who it is.
const Anonymous = "anonymous"

// identities reads callers' names, operators and credentials.
func (c *compiler) identities(file *policyv1.Policy, s *Snapshot) {
	c.callers = []string{Anonymous}
	seen := map[string]bool{}
	for i, in := range file.GetCallers() {
		path := fmt.Sprintf("callers[%d]", i)
		switch name := in.GetName(); {
		case name == Anonymous:
			c.failf(path+".name", "%q is who has not proved who it is, and needs no entry", name)
		case name == System:
			c.failf(path+".name", "%q is fetchsvc itself: choose another name", name)
		case seen[name]:
			c.failf(path+".name", "caller %q is defined twice", name)
		}
		seen[in.GetName()] = true
		c.callers = append(c.callers, in.GetName())
	}
	s.Callers = c.callers[1:]
	for i, pattern := range file.GetOperators() {
		at := fmt.Sprintf("operators[%d]", i)
		g, err := parseNameGlob(pattern)
		switch {
		case err != nil:
			c.fail(at, err)
		case !strings.Contains(pattern, "*") && pattern != Anonymous && !seen[pattern]:
			c.failf(at, "there is no caller %q: list it under `callers`%s", pattern, didYouMean(pattern, c.callers))
		}
		s.operators = append(s.operators, g)
	}
	for i, in := range file.GetCredentials() {
		c.defineCredential(fmt.Sprintf("credentials[%d]", i), in)
	}
}

func (c *compiler) defineCredential(path string, in *policyv1.Credential) {
	if c.credentials[in.GetName()] != nil {
		c.failf(path+".name", "credential %q is defined twice", in.GetName())
	}
	cred := &Credential{Name: in.GetName()}
	if b := in.GetBearer(); b != nil {
		cred.Bearer = c.secret(path+".bearer.token.secret", b.GetToken(), c.opts.CheckSecret)
	}
	for i, s := range in.GetBind() {
		at, err := parseOrigin(s)
		if err != nil {
			c.fail(fmt.Sprintf("%s.bind[%d]", path, i), err)
			continue
		}
		cred.bind = append(cred.bind, at)
	}
	if c.credentials[cred.Name] == nil {
		c.credentials[cred.Name] = cred
	}
}

// parseOrigin reads `https://host` with an optional port.
func parseOrigin(s string) (endpoint, error) {
	scheme, host, found := strings.Cut(s, "://")
	if !found || scheme != "https" && scheme != "http" {
		return endpoint{}, fmt.Errorf("%q is no origin: write https://api.example.com", s)
	}
	if name, rest, more := strings.Cut(host, "/"); more && rest == "" {
		host = name
	}
	at, hasPort, err := parsePattern(host)
	if err != nil {
		return at, err
	}
	at.tls = scheme == "https"
	if !hasPort {
		at.port = target.DefaultPort(scheme)
	}
	return at, nil
}

// credential finds the one that path names, and holds it to where it may go.
func (c *compiler) credential(path string, up *Upstream, inherited *Credential, name string) *Credential {
	if name == "" {
		return inherited
	}
	cred := c.credentials[name]
	if cred == nil {
		known := make([]string, 0, len(c.credentials))
		for n := range c.credentials {
			known = append(known, n)
		}
		c.failf(path, "there is no credential %q: list it under `credentials`%s", name, didYouMean(name, known))
		return nil
	}
	c.used[name] = true
	if len(cred.bind) > 0 && !cred.meets(up) {
		c.failf(path, "credential %q is bound to no origin of upstream %q: add one of [%s] by [%s] to its `bind`",
			name, up.Name, clipList(up.Hosts), strings.Join(up.Schemes, ", "))
	}
	return cred
}

// meets says that the credential is bound to some origin of up.
func (cred *Credential) meets(up *Upstream) bool {
	for _, pattern := range up.Hosts {
		for _, scheme := range up.Schemes {
			at, err := parseOrigin(scheme + "://" + pattern)
			if err != nil {
				return true // said elsewhere
			}
			for _, b := range cred.bind {
				if b.tls == at.tls && (b.port == at.port || b.port == anyPort || at.port == anyPort) && (b.coversHost(at) || at.coversHost(b)) {
					return true
				}
			}
		}
	}
	return false
}

// GoesTo says that the credential is bound to u's origin. Other hosts of its
// upstream are called without it.
func (cred *Credential) GoesTo(u target.URL) bool {
	at := endpoint{host: u.Host.Name, kind: exact, port: u.Port, tls: u.Scheme == "https"}
	for _, b := range cred.bind {
		if b.tls == at.tls && (b.port == anyPort || b.port == at.port) && b.coversHost(at) && (b.kind != wildcard || !u.Host.IsAddr()) {
			return true
		}
	}
	return false
}

// coversHost says that every host of other is one of at.
func (at endpoint) coversHost(other endpoint) bool {
	switch at.kind {
	case anyHost:
		return true
	case wildcard:
		return other.kind != anyHost && strings.HasSuffix(other.host, "."+at.host) || other.kind == wildcard && other.host == at.host
	default:
		return other.kind == exact && other.host == at.host
	}
}
