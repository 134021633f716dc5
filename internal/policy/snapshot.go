// Package policy turns the policy file into one immutable [Snapshot] and
// answers which upstream a URL belongs to.
//
// It compiles configuration to plain values. What those values do to a call is
// the business of internal/fetch and internal/egress; policy opens no
// connection and knows no stage.
package policy

import (
	"log/slog"
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
	// Callers are the names that the file defines.
	Callers []string
	// Proofs are how they prove who they are.
	Proofs Proofs
	// Batch bounds FetchBatch.
	Batch Batch
	// NAT64 are the prefixes of the network's own translators.
	NAT64 []netip.Prefix
	// LogLevel is the least that is logged.
	LogLevel slog.Level
	// Trace says which calls that no upstream has are traced.
	Trace Tracing
	// Secrets says where secrets are.
	Secrets SecretSources
	// Blank: its text says nothing at all, as after a write that was cut off. A policy
	// that is meant to deny everything says {}.
	Blank bool
	// Warnings are what the file says to no effect, with line and column.
	Warnings []string

	index     index
	operators []nameGlob
	system    []*Upstream

	callerLimits callerLimits
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
	// Connection is how it is reached.
	Connection
	// Base holds for calls that no route matches.
	Base *Route
	// Routes are narrower, in the file's order.
	Routes []*Route
	// Limits bound its calls in flight, Budget their retries.
	Limits Limits
	Budget Budget
	// Trace says which of its calls are traced, and what it learns of that.
	Trace Tracing
	// Grants are what its calls may decide for themselves.
	Grants Grants
	// CallerCredentials says what becomes of callers' own proofs.
	CallerCredentials CallerCredentials
	// Scrub says what becomes of answers that echo a credential.
	Scrub Scrub

	access   access
	patterns patterns
	// entries are the routes by path, the most specific first.
	entries []entry
}

// Mode is `enforce`, or `report`: what its rules refuse is let pass.
func (up *Upstream) Mode() string {
	if up.access.report {
		return "report"
	}
	return "enforce"
}

// entry is a route for one of its paths, if it has any.
type entry struct {
	rule  rule
	route *Route
	path  string // as the file has it; empty: the route is for any
}

// Route is what holds for some calls of an upstream.
type Route struct {
	Upstream *Upstream
	// Name is where it stands in the file, such as `routes[0]`; empty: it is the
	// upstream's Base.
	Name string
	Settings

	rule   rule
	levels []level
}

// noFile is the Source of a service that was given no policy.
const noFile = "none"

// DenyAll is the policy of a service that was given none.
func DenyAll() *Snapshot {
	return &Snapshot{Generation: 1, Source: noFile, LoadedAt: time.Now(), Batch: Batch{defaultConcurrency, maxConcurrency}, Trace: builtinTracing(), Secrets: SecretSources{Keep: defaultKeep}, index: newIndex(), callerLimits: builtinCallerLimits()}
}
