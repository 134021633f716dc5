package server

import (
	"cmp"
	"log/slog"
	"sync"
	"time"
)

// Bounds are what clients may take of the doors, whoever they are. A member that is
// zero is its default.
type Bounds struct {
	// Connections is how many may be open at each door; one more is closed at once.
	// Default 10,000.
	Connections int
	// PerAddress is the same for one client address, of IPv6 for one /64. Default: no
	// bound, for a load balancer is one address.
	PerAddress int
	// ConnectionAge is how old a gRPC connection becomes, give or take a tenth, until
	// its client is asked to make another; calls on it end in their own time.
	// Default 30 minutes; negative: as old as its client likes.
	ConnectionAge time.Duration
	// Handshake is how long TLS and the first bytes of HTTP/2, or the head of a REST
	// request, may take. Default 10 s.
	Handshake time.Duration
	// Message is how long the request of a call may take to arrive: the first message
	// of an RPC, or the first line of a REST stream. The body of another REST request
	// may take it for each pause, and for each half MiB. Default 30 s.
	Message time.Duration
	// Answer is how long an answer may wait for a client that takes nothing of it.
	// Default 2 minutes.
	Answer time.Duration
}

func (b Bounds) orDefaults() Bounds {
	return Bounds{
		Connections: cmp.Or(b.Connections, 10_000), PerAddress: b.PerAddress,
		ConnectionAge: max(0, cmp.Or(b.ConnectionAge, 30*time.Minute)),
		Handshake:     cmp.Or(b.Handshake, 10*time.Second),
		Message:       cmp.Or(b.Message, 30*time.Second), Answer: cmp.Or(b.Answer, 2*time.Minute),
	}
}

// tally logs what strangers can bring about as often as they like: once a second at
// most, with how often it came about since. Safe for concurrent use.
type tally struct {
	log *slog.Logger

	mu    sync.Mutex
	told  time.Time
	count int
}

// note counts one, and logs by tell if that is due.
func (t *tally) note(tell func(log *slog.Logger, count int)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if now := time.Now(); now.Sub(t.told) >= time.Second {
		tell(t.log, t.count)
		t.told, t.count = now, 0
	}
}
