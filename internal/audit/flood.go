package audit

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// window is how long refusals are counted before one line tells of them.
	window = time.Minute
	// firstFew of one source and kind have lines of their own in a window.
	firstFew = 5
	// maxSources bounds how many sources are told apart in a window; the rest share
	// a line for each caller and kind.
	maxSources = 512
)

// floods bounds the lines of calls that never came to policy: whoever reaches a
// door can make them at any rate, and each would have a line. Of one source (an
// address and the caller, if one is known) and one kind of failure the first few
// in a window have lines; of the rest the last has one, at the window's end, which
// counts the others. A source that goes on has only that line in the windows that
// follow. Nothing is left uncounted: the lines and what they suppress add up.
type floods struct {
	ends <-chan time.Time // a window ends

	mu      sync.Mutex
	timer   *time.Timer
	sources map[source]*refusals
	others  int // of sources, those that share
	closed  bool
}

// source is whose refusals are counted together.
type source struct {
	from            netip.Addr // the zero one: those that are not told apart
	caller, outcome string
}

// refusals are those of one source in a window.
type refusals struct {
	seen int64
	left int64 // of them, those without a line
	last Entry // of those
	// spent: the window before was a flood.
	spent bool
}

func newFloods() *floods {
	timer := time.NewTimer(window)
	timer.Stop()
	return &floods{ends: timer.C, timer: timer, sources: map[source]*refusals{}}
}

// admit says that e is to have its line now; else it is counted.
func (f *floods) admit(e *Entry) bool {
	from := source{network(e.Peer), e.Caller, e.Outcome}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return true
	}
	r := f.sources[from]
	if r == nil && len(f.sources)-f.others >= maxSources {
		from.from = netip.Addr{}
		r = f.sources[from]
	}
	if r == nil {
		r = &refusals{}
		if len(f.sources) == 0 {
			f.timer.Reset(window)
		}
		if !from.from.IsValid() {
			f.others++
		}
		f.sources[from] = r
	}
	if r.seen++; !r.spent && r.seen <= firstFew {
		return true
	}
	r.left++
	r.last = *e
	return false
}

// sweep ends the window: it gives the entries that tell of those without a line,
// and forgets who makes no flood.
func (f *floods) sweep() (all []*Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for from, r := range f.sources {
		if r.left > 0 {
			e := r.last
			e.Suppressed = r.left - 1
			if !from.from.IsValid() && e.Peer != "" {
				e.Peer = severalPeers
			}
			all = append(all, &e)
		}
		if r.seen > firstFew {
			*r = refusals{spent: true}
			continue
		}
		delete(f.sources, from)
		if !from.from.IsValid() {
			f.others--
		}
	}
	if len(f.sources) > 0 && !f.closed {
		f.timer.Reset(window)
	}
	return all
}

// close is the last sweep; what comes behind it has lines.
func (f *floods) close() []*Entry {
	f.mu.Lock()
	f.closed = true
	f.timer.Stop()
	f.mu.Unlock()
	return f.sweep()
}

// severalPeers stands where no one address is meant.
const severalPeers = "*"

// network is what counts as one address: all of an IPv6 /64, which one machine may
// have to itself.
func network(peer string) netip.Addr {
	addr, err := netip.ParseAddr(peer)
	if err != nil || addr.Is4() {
		return addr
	}
	p, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr()
}
