// Package fetch is the engine: it turns one call into hops, tries and at last a
// response, under one policy snapshot.
//
// A call runs through two rings of stages (rings.go). The call ring runs once a
// hop, the try ring once for every request on the wire; between them stands the
// call's tries (tries.go), the only place that puts a request on the wire and
// the only place that counts. The redirect loop (hops.go) is outside both: each
// hop is matched against policy anew.
package fetch

import (
	"io"
	"net/http"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/target"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// Request is what a caller asks for, already read and checked. The engine never
// changes it: a request is a template, every try gets a copy of its own.
type Request struct {
	// Caller is the verified identity of who asks.
	Caller string
	// Claims are those of the caller's token; nil: it had none.
	Claims map[string]any
	// Item is its place in a batch, from 0.
	Item int
	// Method is a token, never CONNECT.
	Method string
	// URL is the target, parameters included.
	URL target.URL
	// Header has canonical names and end-to-end fields only.
	Header http.Header
	// Body is the request body; nil: none.
	Body Body

	// IdempotencyKey goes into the header that policy names for it.
	IdempotencyKey string

	// Timeouts are what the caller asks for; zero members: policy's defaults.
	Timeouts Timeouts
	// Retry is what the caller asks for; nil: policy's.
	Retry *Retry
	// Redirects says which to follow.
	Redirects Redirects
	// MaxResponseBytes bounds the response body, coded and decoded; 0: policy's.
	MaxResponseBytes int64
	// AllowTruncated hands back what fits instead of failing.
	AllowTruncated bool
	// KeepCoded leaves Content-Encoding as it came.
	KeepCoded bool
	// FailOnStatus makes a status of 400 or more a failure.
	FailOnStatus bool
	// Credential is the name of the one to use; empty: policy's choice.
	Credential string
	// Subject is the token (JWT) by which the caller proved who it is; zero: it did
	// by another way.
	Subject secret.Value
	// Host is sent instead of the URL's; policy must grant it.
	Host string
	// Connection is the caller's own way to connect; policy must grant it. Nil:
	// policy's.
	Connection *egress.Override
}

// Retry is what a caller asks for; nil and zero members: policy's.
type Retry struct {
	MaxAttempts                  *int
	Connect, Read, Status, Other *int
	Statuses                     []int
	Methods                      []string
	Base, Max                    *time.Duration
	Jitter                       string
	IgnoreRetryAfter             bool
	RetryAfterMax                *time.Duration
}

// Timeouts are clocks that a caller asks for; zero: policy's default.
type Timeouts struct {
	Total, Attempt, Connect, FirstByte, Idle time.Duration
}

// Redirects says which redirects to follow; nil members: policy's.
type Redirects struct {
	Mode  *policy.RedirectMode
	Limit *int
}

// Body is a request body. Open may be called once for each try if Replayable.
type Body interface {
	Open() io.ReadCloser
	Replayable() bool
	// Size is the length in bytes; -1: unknown.
	Size() int64
}

// Response is a whole answer. On failure only Attempts, History, BytesSent,
// BytesReceived and Elapsed are meaningful.
type Response struct {
	Status int
	// Reason is the phrase as received; empty on HTTP/2.
	Reason string
	// Proto is `1.0`, `1.1` or `2`.
	Proto   string
	Header  http.Header
	Trailer http.Header
	// Body is decoded if Decoded names a coding, else as it came.
	Body []byte
	// Decoded is the content coding that was undone.
	Decoded string
	// Coded says that Body still has a Content-Encoding.
	Coded bool
	// Truncated says that Body was cut at the size limit.
	Truncated bool
	// URL is what answered.
	URL target.URL
	// Upstream is policy's name for who answered.
	Upstream string
	// RedirectStopped says why a redirect was not followed.
	RedirectStopped string

	History       []Hop
	Attempts      []*Attempt
	BytesSent     int64
	BytesReceived int64
	Elapsed       time.Duration
}

// Hop is one redirect that was followed.
type Hop struct {
	Method string
	URL    target.URL
	Status int
	// Location is the header as received.
	Location string
	Header   http.Header
	// Dropped are the request headers that were not carried on.
	Dropped []string
}

// Call is one RPC on its way: the request, the policy it lives under and what
// happened so far. One goroutine at a time owns it.
type Call struct {
	req     *Request
	gen     *generation
	hop     *hop
	tries   tries
	history []Hop
	plan    redirectPlan
	// buffered: the body is read inside the try (Do); else it is handed on as it
	// comes (Open).
	buffered bool
	// first is room for what every call has one of.
	first struct {
		hop     hop
		try     Try
		attempt Attempt
		ledger  [1]*Attempt
		body    buffered
	}
	// rateWindow is what min_rate is measured over.
	rateWindow time.Duration
	engine     *Engine
	// key is the idempotency key; empty: none.
	key string
	// system is the one upstream of a call of our own; empty: policy finds it.
	system string
	// reported is what a rule in report mode would have refused, and which rule.
	reported, reportedRule string
	scrub                  scrub
	// trace is what it belongs to, and sampled whether it is written in any case, which
	// policy may decide for the upstream.
	trace   *telemetry.Trace
	sampled bool
	waits   []Wait
	// usage is where it counts as under way; nil: nowhere.
	usage *usage
	// refusedBy is the upstream whose rules refused the first hop; nil: none did.
	refusedBy *policy.Upstream
	finished  Finished // room for what observers see
}

// hop is one stop of the redirect chain.
type hop struct {
	index    int
	url      target.URL
	method   string
	header   http.Header
	body     Body
	route    *policy.Route
	template string // the path of the route that matched; empty: it has none
	upstream *policy.Upstream
	chain    *chain
	limits   limits
	// retry is the route's, or the caller's within its bounds.
	retry     *policy.Retry
	challenge challenge
}
