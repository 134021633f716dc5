// Package canarytest plants known secrets wherever fetchsvc takes one, has the
// service do and suffer all that it can, and searches everything that it emitted
// and returned for them, in any form: there must be none.
//
// The service is the binary, run as an operator runs it. The search is the standard
// library's and this package's own, not the scrubber's, whose mistakes it would
// share. A secret that is known to be there, in a log line and in an answer that
// policy does not scrub, shows that the search finds what is there.
package canarytest
