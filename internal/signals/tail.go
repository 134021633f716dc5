package signals

import (
	"sync"
	"time"
)

// How many traces that were not sampled are kept in a second at most: an outage would
// have all of them kept when there is least to spare. Refusals have a share of their
// own, so that one caller who is refused all the time hides no failure.
const (
	tailPerSecond     = 100
	tailRefusedSecond = 10
)

// tail bounds the traces that are kept after the fact. Safe for concurrent use.
type tail struct {
	now    func() time.Time
	mu     *sync.Mutex
	second *[2]struct {
		at   int64
		kept int
	}
}

func newTail(now func() time.Time) tail {
	return tail{now: now, mu: new(sync.Mutex), second: new([2]struct {
		at   int64
		kept int
	})}
}

// admit counts one more, if there is room in this second.
func (t tail) admit(refusal bool) bool {
	which, most := 0, tailPerSecond
	if refusal {
		which, most = 1, tailRefusedSecond
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	one := &t.second[which]
	if at := t.now().Unix(); at != one.at {
		one.at, one.kept = at, 0
	}
	if one.kept >= most {
		return false
	}
	one.kept++
	return true
}
