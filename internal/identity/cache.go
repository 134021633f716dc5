package identity

import (
	"container/list"
	"sync"
	"time"
)

const (
	// maxVerified is how many verified tokens are remembered, and maxVerifiedBytes
	// what they may be long in sum.
	maxVerified      = 10_000
	maxVerifiedBytes = 16 << 20
)

// cache remembers verified tokens by their digest. The one used last stays
// longest. Safe for concurrent use.
type cache struct {
	mu    sync.Mutex
	known map[digest]*list.Element // of *verified
	order list.List
	bytes int
}

// verified is a token that was good.
type verified struct {
	sum      digest
	identity Identity
	size     int
	// It is good as long as its issuer's keys are the same.
	issuer  *issuer
	version uint64
}

func newCache() *cache { return &cache{known: map[digest]*list.Element{}} }

// get gives a token that has not expired; nil: none.
func (c *cache) get(sum digest, now time.Time) *verified {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.known[sum]
	if e == nil {
		return nil
	}
	v := e.Value.(*verified)
	if !now.Before(v.identity.Expires) {
		c.drop(e)
		return nil
	}
	c.order.MoveToFront(e)
	return v
}

func (c *cache) put(v *verified) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.known[v.sum]; old != nil {
		c.drop(old)
	}
	c.known[v.sum] = c.order.PushFront(v)
	c.bytes += v.size
	for c.order.Len() > maxVerified || c.bytes > maxVerifiedBytes {
		c.drop(c.order.Back())
	}
}

func (c *cache) drop(e *list.Element) {
	v := c.order.Remove(e).(*verified)
	delete(c.known, v.sum)
	c.bytes -= v.size
}
