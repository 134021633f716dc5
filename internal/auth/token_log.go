package auth

import (
	"context"
	"sync"
	"time"
)

// The log hears of the same reason once a minute, and of any once a second: there
// may be a token for each caller, and a reason for each to have none.
const (
	sayAgain = time.Minute
	sayNext  = time.Second
)

// tokenLog tells the log why there are no tokens.
type tokenLog struct {
	mu      sync.Mutex
	last    string // what was said last; empty: all is well
	at      time.Time
	leftOut int
}

// failed says that a token cannot be had.
func (a *oauth2) failed(ctx context.Context, why *noToken) {
	l := &a.told
	l.mu.Lock()
	defer l.mu.Unlock()
	now, text := a.Now(), why.Error()
	pause := sayNext
	if text == l.last {
		pause = sayAgain
	}
	if !l.at.IsZero() && now.Sub(l.at) < pause {
		l.leftOut++
		return
	}
	a.Log.ErrorContext(ctx, "an access token cannot be fetched; a token that is there serves to its end, then calls fail",
		"credential", a.name, "grant", a.server.scheme.Grant, "status", why.status, "oauth_error", why.code, "error", text, "left_out", l.leftOut)
	l.last, l.at, l.leftOut = text, now, 0
}

// worked says that tokens can be had again, where there is one for all calls.
func (a *oauth2) worked(ctx context.Context) {
	l := &a.told
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last != "" && a.one != nil {
		a.Log.InfoContext(ctx, "access tokens can be fetched again", "credential", a.name)
	}
	if a.one != nil {
		l.last, l.at, l.leftOut = "", time.Time{}, 0
	}
}
