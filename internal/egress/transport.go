package egress

import (
	"net/http"
	"sync"
)

// transport is an http.Transport that can be given up while calls are under way.
// net/http puts the connection of an answer without a body among the idle ones
// before it hands the answer over; CloseIdleConnections at that moment fails a
// call that was answered. So idle connections close when no call waits for its
// head.
type transport struct {
	base *http.Transport

	mu      sync.Mutex
	waiting int // calls without a head yet
	retired bool
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	t.mu.Lock()
	t.waiting++
	t.mu.Unlock()
	defer t.leave()
	return t.base.RoundTrip(req)
}

func (t *transport) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting--
	t.sweep()
}

// retire says that no new call should come. Those that do are made all the same.
func (t *transport) retire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.retired = true
	t.sweep()
}

// sweep runs with mu held, so that no call can begin meanwhile.
func (t *transport) sweep() {
	if t.retired && t.waiting == 0 {
		t.base.CloseIdleConnections()
	}
}
