// Package faulttest holds what becomes of a call when the network fails: one table
// of real faults on real sockets, each with a method and a policy, and how often
// the request is then made, in which order it fails, and what the caller gets.
//
// A row states what proto/fetchsvc/policy/v1/retry.proto promises, not what the
// code happens to do. Exact waits belong to internal/fetch, which plays its
// network on a clock of its own; here waits are short and only their order counts.
package faulttest
