package auth

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of what is kept of challenges.
const (
	// maxSpaces is how many realms of origins are known at a time.
	maxSpaces = 1000
	// maxRoots is how many paths a realm is known by.
	maxRoots = 20
	// maxUnused is how many nonces wait for their first use, per realm. Upstreams that
	// take each nonce but once hand out one per answer.
	maxUnused = 100
	// freshNonce is how long after its coming a nonce is not what a refusal is about,
	// and how long one waits for its first use while others do.
	freshNonce = 10 * time.Second
)

// digestSpaces are the protection spaces that asked for a digest. Safe for
// concurrent use; the zero value is empty.
type digestSpaces struct {
	mu  sync.Mutex
	all []*digestSpace // the one that was used or asked last is the last
}

// digestSpace is a realm of an origin.
type digestSpace struct {
	origin, realm string
	roots         []string // the paths below which it holds
	current       nonce
	unused        []nonce // oldest first
	// guarded is until when a nonce is left to the request whose answer brought it: the
	// upstream takes each but once, as far as that shows.
	guarded time.Time
}

// take counts a use of the space that uri is in, if one is known. own is what came
// with the refusal that is answered; empty: none is.
func (s *digestSpaces) take(origin, uri string, own brought, now time.Time, cnonce func() string) (nonceUse, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	space := s.find(origin, uri)
	if space == nil {
		return nonceUse{}, false
	}
	s.last(space)
	if !space.advance(string(own), now) {
		return nonceUse{}, false
	}
	n, made := &space.current, cnonce()
	n.count++
	if n.hash.session {
		if n.session == (digestSession{}) {
			n.session = digestSession{n.value, made}
		}
		made = n.session.cnonce // one for all: servers differ in which one they compute with
	}
	return nonceUse{*n, made}, true
}

// find gives the space whose root is nearest to uri, of equals the latest.
func (s *digestSpaces) find(origin, uri string) (best *digestSpace) {
	longest := 0
	for _, space := range s.all {
		if space.origin != origin {
			continue
		}
		for _, root := range space.roots {
			if strings.HasPrefix(uri, root) && len(root) >= longest {
				best, longest = space, len(root)
			}
		}
	}
	return best
}

// last puts space behind all others.
func (s *digestSpaces) last(space *digestSpace) {
	if at := slices.Index(s.all, space); at >= 0 {
		s.all = append(slices.Delete(s.all, at, at+1), space)
	}
}

// learn takes what an upstream asked for at uri. refused is what it refused; nil: the
// request had no proof.
func (s *digestSpaces) learn(origin, uri string, asked digestChallenge, refused *nonceUse, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	space := s.named(origin, asked.realm)
	if space == nil {
		if len(s.all) >= maxSpaces {
			s.all = slices.Delete(s.all, 0, 1)
		}
		space = &digestSpace{origin: origin, realm: asked.realm, roots: asked.roots(origin)}
		s.all = append(s.all, space)
	}
	s.last(space)
	s.claim(space, uri)
	if refused != nil && asked.stale && refused.fresh(now) && *refused.good < 2 {
		space.guarded = now.Add(freshNonce) // two had it, or it is good for one use
	}
	space.offer(nonce{digestChallenge: asked, since: now, good: new(int)})
}

// claim gives the path of uri to space, where that is not the only one nearest.
func (s *digestSpaces) claim(space *digestSpace, uri string) {
	path, _, _ := strings.Cut(uri, "?")
	own := 0
	for _, root := range space.roots {
		if strings.HasPrefix(uri, root) {
			own = max(own, len(root))
		}
	}
	rival := own == 0
	for _, other := range s.all {
		if other == space || other.origin != space.origin {
			continue
		}
		other.roots = slices.DeleteFunc(other.roots, func(root string) bool {
			rival = rival || len(root) >= own && strings.HasPrefix(uri, root)
			return len(root) >= len(path) && strings.HasPrefix(uri, root)
		})
	}
	if !rival || own >= len(path) {
		return
	}
	if len(space.roots) >= maxRoots {
		space.roots = slices.Delete(space.roots, 1, 2)
	}
	space.roots = append(space.roots, path)
}

// next takes the nonce that an answer which is no refusal says is next, if any.
func (s *digestSpaces) next(origin string, use nonceUse, value string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*use.good++
	if space := s.named(origin, use.realm); space != nil && value != "" {
		n := use.nonce
		n.value, n.since, n.count, n.good = value, now, 0, new(int)
		space.offer(n)
	}
}

// forget drops a realm that is no more.
func (s *digestSpaces) forget(origin, realm string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(space *digestSpace) bool { return space.origin == origin && space.realm == realm })
}

func (s *digestSpaces) named(origin, realm string) *digestSpace {
	for _, space := range s.all {
		if space.origin == origin && space.realm == realm {
			return space
		}
	}
	return nil
}

// roots are where the challenge holds: the paths of its `domain` on its own origin,
// or all of that (RFC 7616 section 3.3).
func (c *digestChallenge) roots(origin string) (roots []string) {
	for _, at := range c.domain {
		at = strings.TrimPrefix(at, origin)
		if strings.HasPrefix(at, "/") && len(roots) < maxRoots {
			roots = append(roots, at)
		}
	}
	if len(roots) == 0 {
		roots = []string{"/"}
	}
	return roots
}
