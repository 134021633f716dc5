package doortest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/server"
)

// row is one thing that a hostile caller does. It checks its own answers; what is
// true of every row, run checks.
type row struct {
	name string
	// tls: the doors speak it.
	tls    bool
	bounds server.Bounds
	// attack does it, and returns when it was answered or its connections were closed.
	attack func(a *attack)
	// full: no new connection can be had meanwhile, which is what the row is about.
	full bool
	// waits: it takes longer than it computes, though not for one of its bounds.
	waits bool
	// log is what the service's log says of it; empty: nothing is looked for.
	log string
}

// pace is how long a good caller rests between its calls: it is no flood.
const pace = 250 * time.Millisecond

// attack is a row under way.
type attack struct {
	*testing.T
	*world
	conns []net.Conn // closed behind it
}

// leave closes what the attack left open.
func (a *attack) leave() {
	for _, c := range a.conns {
		_ = c.Close()
	}
}

func table(t *testing.T, rows []row) {
	t.Parallel()
	for _, r := range rows {
		t.Run(r.name, r.run)
	}
}

// clock is the shortest of a row's; 0: it has none.
func (r row) clock() (least time.Duration) {
	for _, d := range []time.Duration{r.bounds.Handshake, r.bounds.Message, r.bounds.Answer} {
		if d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	return least
}

// run holds that a good caller notices nothing, during the attack and after, and
// that the attack leaves nothing running. Rows that wait run at once; each knows its
// goroutines by their label.
func (r row) run(t *testing.T) {
	if r.waits || r.clock() > 0 {
		t.Parallel()
	}
	pprof.Do(t.Context(), pprof.Labels("row", t.Name()), func(context.Context) { r.labelled(t) })
}

func (r row) labelled(t *testing.T) {
	w := newWorld(t, r)
	w.good(t)
	before := running(t)
	over := make(chan struct{})
	var caller sync.WaitGroup
	caller.Go(func() {
		for {
			w.good(t)
			if !r.full {
				w.fresh(t)
			}
			select {
			case <-over:
				return
			case <-time.After(pace):
			}
		}
	})
	func() {
		defer caller.Wait()
		defer close(over)
		a := &attack{T: t, world: w}
		defer a.leave()
		r.attack(a)
	}()
	w.good(t)
	if r.full {
		w.awaitPlace(t)
	}
	w.fresh(t)
	for late := time.Now().Add(patience); running(t) > before; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(late) {
			t.Errorf("%d goroutines run, %d did before the attack", running(t), before)
			break
		}
	}
	if r.log != "" {
		w.awaitLog(t, r.log)
	}
}

// running counts the goroutines of a row, by either side of its sockets: they have
// the label of who started them.
func running(t *testing.T) (n int) {
	var text bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		t.Fatal(err)
	}
	label := fmt.Sprintf("# labels: {\"row\":%q}", t.Name())
	_, groups, _ := strings.Cut(text.String(), "\n") // behind the total
	for group := range strings.SplitSeq(groups, "\n\n") {
		if strings.Contains(group, label) {
			count, err := strconv.Atoi(strings.Fields(group)[0])
			if err != nil {
				t.Fatal(err)
			}
			n += count
		}
	}
	if n == 0 {
		t.Fatal("no goroutine has the row's label")
	}
	return n
}
