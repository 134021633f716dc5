package auth

import (
	"slices"
	"time"
)

// nonce is a challenge that can be answered any number of times.
type nonce struct {
	digestChallenge
	since   time.Time
	count   uint32
	session digestSession
	// good counts the requests that were not refused with it.
	good *int
}

// digestSession is what a session of the `-sess` algorithms began with.
type digestSession struct{ nonce, cnonce string }

// brought is the nonce that came with the refusal of a request.
type brought string

// nonceUse is one answer to it.
type nonceUse struct {
	nonce
	cnonce string
}

// offer puts a nonce in line for its first use.
func (space *digestSpace) offer(n nonce) {
	if n.value == space.current.value || slices.ContainsFunc(space.unused, func(known nonce) bool { return known.value == n.value }) {
		return
	}
	if len(space.unused) >= maxUnused {
		space.unused = slices.Delete(space.unused, 0, 1)
	}
	space.unused = append(space.unused, n)
}

// advance makes own the current nonce, or else the one that waits longest. It says
// whether there is one to use: what is left to others is not.
func (space *digestSpace) advance(own string, now time.Time) bool {
	for len(space.unused) > 1 && !space.unused[0].fresh(now) {
		space.unused = slices.Delete(space.unused, 0, 1)
	}
	current, guarded := &space.current, now.Before(space.guarded)
	at := slices.IndexFunc(space.unused, func(n nonce) bool { return n.value == own })
	switch {
	case at >= 0:
	case own != "" && own == current.value:
		return true
	case guarded:
		at = slices.IndexFunc(space.unused, func(n nonce) bool { return !n.fresh(now) })
	case len(space.unused) > 0:
		at = 0
	}
	if at >= 0 {
		*current = space.unused[at]
		space.unused = slices.Delete(space.unused, at, at+1)
		return true
	}
	// Whom it was given to may be under way with it.
	return !guarded || current.good != nil && *current.good > 0
}

// fresh says that n has just come.
func (n *nonce) fresh(now time.Time) bool { return now.Sub(n.since) <= freshNonce }
