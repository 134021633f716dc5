// Package testpeer holds the upstreams that tests talk to: real sockets on
// loopback that behave, misbehave and record what reached them.
//
// Three kinds of peer:
//   - [Raw] and [RawTLS] run a [Script] on every connection, byte for byte. The
//     package's other functions with a *RawConn argument or a Script result
//     are ready-made scripts: Raw(t, ResetBeforeHead), Raw(t, GzipBomb(10<<20)).
//     [InTurn] combines them: Raw(t, InTurn(ResetBeforeHead, OK)).
//   - [HTTP], [TLS], [HTTPBin] and [Slow] are net/http servers.
//   - [Echo] and [EchoTLS] answer with what they received.
//
// [Squid] and others of its kind run a program of the system; [Vault] stands in for
// one that is not to be had there.
//
// Every peer listens on an ephemeral port of 127.0.0.1, may be used by many
// goroutines, and is closed by t.Cleanup, which waits for the peer's own
// goroutines. Use httptest instead where a handler is all that a test needs.
package testpeer

import (
	"net"
	"sync"
	"testing"
	"time"
)

// patience is how long a peer waits for what must come before it fails the
// test. It is no part of any assertion: generous, for loaded machines.
const patience = 2 * time.Minute

func listen(t testing.TB) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatalf("testpeer: listen: %v", err)
	}
	return l
}

// watch is a lock over counters whose changes can be awaited, so that tests
// need not sleep.
type watch struct {
	mu      sync.Mutex
	changed chan struct{} // closed and dropped by the next update; nil if nobody waits
}

// update runs change under the lock and wakes whoever awaits it.
func (w *watch) update(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// read runs look under the lock.
func (w *watch) read(look func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	look()
}

// settled waits until ok, run under the lock, says true; false means that
// patience ran out.
func (w *watch) settled(ok func() bool) bool {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		w.mu.Lock()
		if ok() {
			w.mu.Unlock()
			return true
		}
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-late.C:
			return false
		}
	}
}
