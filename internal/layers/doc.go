// Package layers holds the floor plan of this module as tests: which package may
// import which, and that nothing but internal/egress reaches the network. It has
// no code of its own and is never imported.
package layers
