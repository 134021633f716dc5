package egress

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// counter enters the connections of one pool in the census. nil: nobody counts.
type counter struct {
	census   *census
	upstream string
	// A pool outlives snapshots, and hosts come and go with them. settled is the
	// upstream of the last Prune, latest the one that was asked for last: of a newer
	// snapshot until Prune, perhaps of an older one after it.
	settled, latest atomic.Pointer[policy.Upstream]

	// Under census.mu.
	kept    map[*count]bool
	retired bool
}

func newCounter(s *census, upstream string) *counter {
	if s == nil {
		return nil
	}
	return &counter{census: s, upstream: upstream, kept: map[*count]bool{}}
}

type dialFunc = func(ctx context.Context, network, hostport string) (net.Conn, error)

// counted is dial, with what it opens counted at its target's place.
func (k *counter) counted(dial dialFunc, secure bool) dialFunc {
	if k == nil {
		return dial
	}
	return func(ctx context.Context, network, hostport string) (net.Conn, error) {
		to, err := splitHostPort(hostport)
		if err != nil {
			return nil, err
		}
		at, anyPort := k.placeOf(to, secure)
		n := k.census.dials(at, anyPort)
		c, err := dial(ctx, network, hostport)
		if err != nil {
			n.fails()
			return nil, err
		}
		k.opened(n, beneath(c))
		return c, nil
	}
}

// placeOf gives the place of a target, and whether policy leaves the port to
// whoever calls.
func (k *counter) placeOf(to endpoint, secure bool) (at place, anyPort bool) {
	at = place{upstream: k.upstream, port: to.port}
	for _, up := range []*policy.Upstream{k.settled.Load(), k.latest.Load()} {
		if up == nil {
			continue
		}
		if at.address = up.PatternOf(to.host, to.port, secure); at.address == "" {
			continue
		}
		const low, high = 1, 65535 // nobody lists both
		return at, up.PatternOf(to.host, low, secure) == at.address || up.PatternOf(to.host, high, secure) == at.address
	}
	return at, true
}

// opened counts a dial that succeeded, before anybody has its connection.
func (k *counter) opened(n *count, c *conn) {
	c.at, c.since = n, time.Now()
	s := k.census
	s.mu.Lock()
	defer s.mu.Unlock()
	n.dialing--
	n.open++
	if !k.retired && !k.kept[n] && s.places[k.upstream] <= mostPlaces {
		k.kept[n] = true
		n.keepers++
	}
}

// retire lets go of the places: each is told until its last connection is closed.
func (k *counter) retire() {
	if k == nil {
		return
	}
	k.census.mu.Lock()
	defer k.census.mu.Unlock()
	k.retired = true
	for n := range k.kept {
		n.keepers--
		n.sweep()
	}
	k.kept = nil
}
