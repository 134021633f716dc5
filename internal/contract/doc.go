// Package contract holds the contract that both doors keep: one table of calls
// and what must come of them, run through gRPC and through REST against real
// upstreams, and compared with the table and with each other.
//
// A case states what a caller may rely on (the comments in proto/, docs/), not
// what the code happens to do. Tests of one package's own rules belong beside
// that package; what a caller can see of a call belongs here, in the file of its
// theme.
package contract
