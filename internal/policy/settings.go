package policy

import (
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// Settings are what holds for the calls of a route.
type Settings struct {
	// Timeouts are the clocks.
	Timeouts Timeouts
	// Sizes are the bounds of messages.
	Sizes Sizes
	// MinRate is the slowest body to accept, in bytes a second; 0: any.
	MinRate int64
	// Retry says what is tried again.
	Retry Retry
	// Redirects says which are followed.
	Redirects Redirects
	// Resume says how often a stream that broke off is continued.
	Resume Resume
	// Credential is what calls carry; nil: none.
	Credential *Credential
	// Choices are others that a call may ask for by name.
	Choices []*Credential
}

// Bound is a value that a call may choose within limits.
type Bound[T any] struct {
	// Default holds for a call that asks for nothing.
	Default T
	// Max is the most that a call may ask for; at least Default.
	Max T

	// named: the file sets Max, so a Default further down keeps it.
	named bool
}

// Clock is a duration that a call may choose within bounds. Default 0: off.
type Clock = Bound[time.Duration]

// Timeouts are the clocks of a route.
type Timeouts struct {
	// Total caps the whole call; never off.
	Total Clock
	// Attempt caps one attempt; off: Total is the only cap.
	Attempt Clock
	// Connect caps resolving and opening the TCP connection; never off.
	Connect Clock
	// FirstByte caps the wait between the request's end and the answer's start.
	FirstByte Clock
	// Idle caps the wait between two bytes of the answer's body.
	Idle Clock
	// TLS caps the handshake; never off, and like those below not for a call to
	// choose.
	TLS time.Duration
	// DNS caps resolving; 0: Connect is the only cap.
	DNS time.Duration
	// Pool caps the wait for a free place among the upstream's calls; 0: Total is
	// the only cap.
	Pool time.Duration
	// StreamTotal caps a stream from its head to its end; 0: off.
	StreamTotal time.Duration
}

// Sizes are bounds in bytes.
type Sizes struct {
	// Request is the largest request body, RequestHeader the largest request head.
	Request, RequestHeader int64
	// Response is the largest response body.
	Response Bound[int64]
	// Decoded is the largest decoded body; 0: on Fetch the same as Response, on
	// Stream none.
	Decoded int64
	// Ratio is how many times larger than its coded form a body may become.
	Ratio int64
	// ResponseHeader is the largest response head.
	ResponseHeader int64
}

// Retry says what is tried again, and when.
type Retry struct {
	// MaxAttempts counts the first; 1: nothing is tried again.
	MaxAttempts Bound[int]
	Backoff     Backoff
	// Connect, Read, Status and Other bound the retries by what they are for: a
	// failure with nothing sent, one with something sent, a status, anything else.
	// Negative: MaxAttempts is the only bound.
	Connect, Read, Status, Other int
	// Statuses are tried again.
	Statuses []int
	// Kinds are the failures that are tried again; nil: all that may fare better.
	Kinds []fault.Kind
	// IgnoreRetryAfter does not read what the upstream says of when to come back;
	// else RetryAfterMax is how long a call waits for it in sum.
	IgnoreRetryAfter bool
	RetryAfterMax    time.Duration
	// IdempotencyHeader carries the key; GenerateKey makes one for the methods of
	// KeyMethods.
	IdempotencyHeader string
	GenerateKey       bool
	// Spool is how much of an upload is kept to be sent again.
	Spool int64

	methods, keyMethods methodSet
}

// Repeats says that method may be sent again after something of it was.
func (r *Retry) Repeats(method string) bool { return r.methods.has(method) }

// SetMethods replaces the methods that may be repeated.
func (r *Retry) SetMethods(names []string) (err error) {
	r.methods, err = parseMethods(names)
	return err
}

// Methods are those that may be repeated; `*`: any.
func (r *Retry) Methods() []string { return r.methods.list() }

// KeyMethods are those that GenerateKey is about; `*`: any.
func (r *Retry) KeyMethods() []string { return r.keyMethods.list() }

// NeedsKey says that a call by method gets an idempotency key.
func (r *Retry) NeedsKey(method string) bool { return r.GenerateKey && r.keyMethods.has(method) }

// Backoff is the wait between attempts.
type Backoff struct {
	Base, Max time.Duration
	// Jitter is `auto`, `full`, `equal`, `decorrelated` or `none`.
	Jitter string
}

// RedirectMode says where redirects may lead, from nowhere outward.
type RedirectMode int

// The modes.
const (
	RedirectNone RedirectMode = iota
	RedirectSameOrigin
	RedirectSameUpstream
	RedirectAny
)

// redirectModes are the words of the policy file.
var redirectModes = []string{"none", "same_origin", "same_upstream", "any"}

// String is the policy file's word.
func (m RedirectMode) String() string { return redirectModes[m] }

// Redirects says which redirects are followed.
type Redirects struct {
	Mode  Bound[RedirectMode]
	Limit Bound[int]
	// KeepHeaders go on to another origin beside those that always may.
	KeepHeaders []string
}

// Resume is how often a stream that broke off is continued.
type Resume struct{ Downloads, Events int }

// Budget bounds the retries of all calls of an upstream.
type Budget struct {
	// Ratio of the first attempts in Window, and at least Min.
	Ratio  float64
	Min    int
	Window time.Duration
	// Unlimited: there is none.
	Unlimited bool
}

// Limits bound the calls of an upstream that are in flight at once.
type Limits struct {
	// Concurrent is 0 without a limit; Queue is how many wait at most.
	Concurrent, Queue int
}

// Grants are what calls may decide for themselves.
type Grants struct {
	Proxy, CA, ClientCert, SkipVerify, Host bool
}
