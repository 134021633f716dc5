package policy

import (
	"fmt"
	"slices"
	"strings"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// credential finds the one that path names, and holds it to where it may go.
func (c *compiler) credential(path string, up *Upstream, inherited *Credential, name string) *Credential {
	if name == "" {
		return inherited
	}
	cred := c.named(path, name)
	if cred == nil {
		return nil
	}
	c.used[name] = true
	if len(cred.bind) > 0 && !cred.meets(up) {
		c.failf(path, "credential %q is bound to no origin of upstream %q: add one of [%s] by [%s] to its `bind`",
			name, up.Name, clipList(up.Hosts), strings.Join(up.Schemes, ", "))
	}
	return cred
}

// choices are what calls may choose instead of cred; an own list replaces that of
// the level above.
func (c *compiler) choices(path string, up *Upstream, cred *Credential, inherited []*Credential, names []string) []*Credential {
	if len(names) == 0 {
		return slices.DeleteFunc(slices.Clone(inherited), func(other *Credential) bool { return other == cred })
	}
	var out []*Credential
	for i, name := range names {
		at := fmt.Sprintf("%s[%d]", path, i)
		choice := c.credential(at, up, nil, name)
		if choice == nil {
			continue
		}
		if choice == cred {
			c.failf(at, "%q is the `credential` of these calls already: leave it out", name)
		}
		c.perCall(at, up, choice)
		out = append(out, choice)
	}
	return out
}

// unusedCredentials warns of those that no call may carry.
func (c *compiler) unusedCredentials(file *policyv1.Policy) {
	for i, in := range file.GetCredentials() {
		if !c.used[in.GetName()] {
			c.warn(fmt.Sprintf("credentials[%d].name", i), "no upstream uses credential %q", in.GetName())
		}
	}
}

// named finds a credential.
func (c *compiler) named(path, name string) *Credential {
	cred := c.credentials[name]
	if cred == nil && name != "" {
		known := make([]string, 0, len(c.credentials))
		for n := range c.credentials {
			known = append(known, n)
		}
		slices.Sort(known)
		c.failf(path, "there is no credential %q: list it under `credentials`%s", name, didYouMean(name, known))
	}
	return cred
}
