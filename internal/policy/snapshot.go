// Package policy turns the policy file into one immutable [Snapshot] and
// answers which upstream a URL belongs to.
//
// It compiles configuration to plain values. What those values do to a call is
// the business of internal/fetch and internal/egress; policy opens no
// connection and knows no stage.
package policy

import (
	"net/netip"
	"time"
)

// Snapshot is one compiled policy. It never changes: a call that began under a
// snapshot ends under it. Safe for concurrent use.
type Snapshot struct {
	// Generation counts the policies that this process has put in force, from 1.
	Generation int64
	// Source is where it came from: a file's name, `dev`, or `none`.
	Source string
	// SHA256 is the digest of its text in hexadecimal; empty without one.
	SHA256 string
	// LoadedAt is when it was compiled.
	LoadedAt time.Time
	// Upstreams are in the file's order.
	Upstreams []*Upstream
	// Batch bounds FetchBatch.
	Batch Batch

	index index
}

// Batch bounds the calls of one batch that are in flight at once.
type Batch struct {
	// Concurrency is for a batch that asks for nothing, Max what one may ask for.
	Concurrency, Max int
}

// Upstream is a named group of hosts under one policy.
type Upstream struct {
	// Name is unique in a snapshot.
	Name string
	// Hosts are the patterns as the file has them.
	Hosts []string
	// Schemes are `https`, `http` or both.
	Schemes []string
	// Timeouts are the clocks of its calls.
	Timeouts Timeouts
	// Sizes are the bounds of its messages.
	Sizes Sizes
	// MinRate is the slowest body to accept, in bytes a second; 0: any.
	MinRate int64
	// AllowAddresses may be dialled although they are special.
	AllowAddresses []netip.Prefix
}

// Clock is a duration that a call may choose within bounds.
type Clock struct {
	// Default holds for a call that asks for nothing; 0: the clock is off.
	Default time.Duration
	// Max is the most that a call may ask for; at least Default.
	Max time.Duration
}

// Timeouts are the clocks of an upstream.
type Timeouts struct {
	// Total caps the whole call; never off.
	Total Clock
	// Attempt caps one attempt; off: Total is the only cap.
	Attempt Clock
	// Connect caps resolving and opening the TCP connection; never off.
	Connect Clock
	// TLS caps the handshake; never off, and not for a call to choose.
	TLS time.Duration
	// FirstByte caps the wait between the request's end and the answer's start.
	FirstByte Clock
	// Idle caps the wait between two bytes of the answer's body.
	Idle Clock
	// StreamTotal caps a stream from its head to its end; 0: off.
	StreamTotal time.Duration
}

// Sizes are bounds in bytes.
type Sizes struct {
	// Request is the largest request body.
	Request int64
	// Response is the largest response body for a call that asks for nothing.
	Response int64
	// ResponseMax is the most that a call may ask for; at least Response.
	ResponseMax int64
	// ResponseHeader is the largest response head.
	ResponseHeader int64

	// maxByName: the file sets ResponseMax, so a Response further down keeps it.
	maxByName bool
}

// What holds where the file says nothing.
const (
	defaultTotal          = 30 * time.Second
	defaultConnect        = 5 * time.Second
	defaultTLS            = 5 * time.Second
	defaultRequest        = 16 << 20
	defaultResponse       = 3 << 20
	defaultResponseMax    = 64 << 20
	defaultResponseHeader = 256 << 10
	maxResponseHeader     = 10 << 20
	defaultConcurrency    = 16
	maxConcurrency        = 100
)

// DenyAll is the policy of a service that was given none.
func DenyAll() *Snapshot {
	return &Snapshot{Generation: 1, Source: "none", LoadedAt: time.Now(), Batch: Batch{defaultConcurrency, maxConcurrency}}
}
