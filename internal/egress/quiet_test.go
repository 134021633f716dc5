package egress

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestQuiet: a connection is handed on once somebody listens on it, or it is
// closed, and not before; but nobody waits for that for ever.
func TestQuiet(t *testing.T) {
	const after = 10 * time.Millisecond
	for name, c := range map[string]struct {
		then func(*conn)
		want time.Duration
	}{
		"listens":  {func(c *conn) { c.reading.Store(true) }, after},
		"closed":   {func(c *conn) { c.closed.Store(true) }, after},
		"neither":  {func(*conn) {}, mostUnrest},
		"at first": {nil, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			idle := &conn{}
			idle.reading.Store(c.then == nil)
			if c.then != nil {
				go func() {
					time.Sleep(after)
					c.then(idle)
				}()
			}
			began := time.Now()
			Quiet(idle)
			if took := time.Since(began); took < c.want || took > c.want+time.Millisecond {
				t.Errorf("%s: it took %v, want %v", name, took, c.want)
			}
		})
	}
}
