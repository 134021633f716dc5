package auth

import (
	"net/http"
	"time"
)

const (
	// refusalHold is for how long a token that replaced a refused one is not taken for
	// refused itself: whatever the upstream refuses, it is hardly the token. It doubles
	// up to mostHold while refusals go on.
	refusalHold = 10 * time.Second
	mostHold    = 5 * time.Minute
)

// refusesToken is RFC 6750 section 3.1, and what servers make of it: any 401 is
// one, and some send the challenge with 400 or 403.
func refusesToken(res *http.Response) bool {
	switch res.StatusCode {
	case http.StatusUnauthorized:
		return true
	case http.StatusBadRequest, http.StatusForbidden:
		for _, c := range challenges(res.Header["Www-Authenticate"]) {
			if c.scheme == "bearer" && c.params["error"] == "invalid_token" {
				return true
			}
		}
	}
	return false
}

// refuse takes t out of use, and says whether another request may do better. Many
// calls may be refused for one token, and an upstream may refuse every token: both
// cost few token requests. Where the server has just given none, t stays: one call's
// refusal, which may be about its URL, must not end all others'.
func (l *tokenLife) refuse(t *accessToken) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.of.Now()
	if l.current.Load() == t {
		hold, age := t.hold(), now.Sub(t.got)
		if age < hold || l.setback.holds(now) {
			return false
		}
		l.refusals = 1
		if age < 2*hold {
			l.refusals = t.refusals + 1
		}
		l.current.Store(nil)
		l.refused = t
	}
	return l.current.Load() != nil || l.flight != nil || !l.setback.holds(now)
}

// hold is for how long t is not taken for refused.
func (t *accessToken) hold() time.Duration {
	if t.refusals == 0 {
		return 0
	}
	return min(refusalHold<<min(t.refusals-1, 10), mostHold)
}
