package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// fillPool finds the members, now that all are there.
func (c *compiler) fillPool(path string, cred *Credential, in *policyv1.Pool) {
	pool := &Pool{Rest: override(defaultRest, duration(in.GetRest()))}
	ids := sha256.New()
	for i, name := range in.GetMembers() {
		at := fmt.Sprintf("%s.members[%d]", path, i)
		member := c.named(at, name)
		if member == nil {
			continue
		}
		ids.Write([]byte(member.ID + "\x00"))
		c.used[name] = true
		switch member.Scheme.(type) {
		case *Pool:
			c.failf(at, "%q is a pool, and a pool is of single credentials: list its members", name)
			continue
		case *ClientCert:
			c.failf(at, "%q is a client certificate, which belongs to connections, not to calls: leave it out", name)
			continue
		}
		if len(cred.bind) > 0 && len(member.bind) > 0 && !member.sharesOrigin(cred) {
			c.failf(at, "credential %q is bound to no origin of the pool, so it would never be taken: add one to its `bind`", name)
		}
		pool.Members = append(pool.Members, member)
	}
	for i, b := range cred.bind {
		if len(pool.Members) > 0 && len(pool.Members) == len(in.GetMembers()) && !slices.ContainsFunc(pool.Members, func(m *Credential) bool { return slices.ContainsFunc(m.bind, b.overlaps) }) {
			c.failf(fmt.Sprintf("%s.bind[%d]", parent(path), i), "no member of the pool is bound to it: add it to the `bind` of one, or leave it out")
		}
	}
	cred.headers = headersOf(pool)
	cred.Scheme, cred.ID = pool, cred.ID+hex.EncodeToString(ids.Sum(nil)[:8])
}

func (cred *Credential) sharesOrigin(other *Credential) bool {
	return slices.ContainsFunc(cred.bind, func(at endpoint) bool { return slices.ContainsFunc(other.bind, at.overlaps) })
}
