package auth

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// How long a failed token request is not repeated: from first, doubling up to most.
// A server that says no is asked less often than one that is in trouble.
const (
	firstTrouble, mostTrouble = time.Second, 30 * time.Second
	firstRefusal, mostRefusal = 5 * time.Second, time.Minute
	// mostAsked bounds what a server may ask for by Retry-After.
	mostAsked = 5 * time.Minute
)

// noToken is why there is no token. Its text is for the log, not for callers.
type noToken struct {
	// what says so to the caller, behind "credential NAME cannot be used: ".
	what string
	// own is what says so to the caller in place of that; nil: nothing.
	own *fault.Error
	// refused: the server understood, and says no.
	refused bool
	// status is its answer's, or 0, and code its error code (RFC 6749 section 5.2).
	status int
	code   string
	// after is how long it wants to be left alone, or 0.
	after time.Duration
	cause error
}

func (n *noToken) Error() string {
	if n.cause != nil {
		return n.what + ": " + n.cause.Error()
	}
	return n.what
}

func (n *noToken) Unwrap() error { return n.cause }

// asNoToken finds the noToken in err, or makes one.
func asNoToken(err error) *noToken {
	var n *noToken
	var f *fault.Error
	switch {
	case errors.As(err, &n):
		return n
	case errors.As(err, &f):
		return &noToken{own: f, what: f.Message, cause: errors.Unwrap(f)}
	default:
		return &noToken{what: "no token can be asked for; the log of fetchsvc says why", cause: err}
	}
}

// setback keeps a server that gave no token from being asked by every call.
type setback struct {
	why   *noToken // nil: there was none
	count int
	until time.Time
}

func (s *setback) holds(now time.Time) bool { return s.why != nil && now.Before(s.until) }

// fail notes another failure.
func (s *setback) fail(now time.Time, why *noToken) {
	first, most := firstTrouble, mostTrouble
	if why.refused {
		first, most = firstRefusal, mostRefusal
	}
	pause := min(first<<min(s.count, 10), most)
	pause = max(pause, min(why.after, mostAsked))
	s.why, s.count, s.until = why, s.count+1, now.Add(pause)
}

// unavailable is why a call has no token, and when the next may have one.
func (a *oauth2) unavailable(why *noToken, after time.Duration) error {
	message := "credential \"" + a.name + "\" cannot be used: " + why.what
	if why.own != nil {
		message = why.own.Message
	}
	f := fault.Wrap(fault.CredentialUnavailable, why, message)
	f.SafeToRetry, f.RetryAfter = true, max(after, 0)
	return f
}

// copied is err for one more call: an engine may add to its own.
func copied(err error) error {
	f := *fault.From(err)
	return &f
}

// askedToWait is Retry-After (RFC 9110 section 10.2.3); 0: it does not say.
func askedToWait(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
