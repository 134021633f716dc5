package auth

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/secret"
)

const (
	// longestLife bounds what a server may say of a token's life, so that one that
	// errs does no harm for longer.
	longestLife = 24 * time.Hour
	// renewAhead is how long before its end a token is renewed, and mostSkew how long
	// before its end it is no longer sent; both are a tenth of its life at most.
	renewAhead = time.Minute
	mostSkew   = 5 * time.Second
)

// accessToken is a token, with when it is to be used.
type accessToken struct {
	life *tokenLife
	// value is the token, and header what Authorization has.
	value, header secret.Value
	// got is when it was asked for, due when it should be renewed, and expires when it
	// must no longer be sent.
	got, due, expires time.Time
	// refusals counts the tokens before it that were refused one soon after the other.
	refusals int
	// used says that a call had it.
	used atomic.Bool
}

// newToken makes a token that was asked for at the time got and is good for life.
// The time to renew it is spread, so that many processes do not ask at once.
func newToken(value string, got time.Time, life time.Duration) *accessToken {
	ahead := min(renewAhead, life/10)
	ahead += rand.N(ahead/2 + 1)
	return &accessToken{
		value: secret.NewValue(value), header: secret.NewValue("Bearer " + value),
		got: got, due: got.Add(life - ahead), expires: got.Add(life - min(mostSkew, life/10)),
	}
}

// good says that t can be sent.
func (t *accessToken) good(now time.Time) bool { return t != nil && now.Before(t.expires) }

// fresh says that t need not be renewed yet.
func (t *accessToken) fresh(now time.Time) bool { return t != nil && now.Before(t.due) }

// use gives t to a call.
func (t *accessToken) use() *accessToken {
	if !t.used.Load() {
		t.used.Store(true)
	}
	return t
}
