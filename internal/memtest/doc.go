// Package memtest holds the service's memory bounds: tests that run the real
// binary, not built for the race detector, as a child and read its peak from the
// system. It has no code of its own and is never imported.
package memtest
