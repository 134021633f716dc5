// Package streamtest holds what callers may rely on when they stream: one table
// of misbehaviours run through gRPC, through REST and through REST as
// server-sent events, compared with the table and with each other; transfers of
// random bodies; batches; and the memory that the real binary takes.
//
// A case states what the comments in proto/, DESIGN and docs/ promise, not what
// the code happens to do. What a caller can see of a unary call belongs to
// internal/contract; a package's own rules belong beside that package.
package streamtest
