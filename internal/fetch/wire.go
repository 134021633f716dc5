package fetch

import (
	"context"
	"net"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// wire watches one try from below. Some of its hooks run in the transport's
// goroutines, and may do so after the try has ended.
type wire struct {
	trace  httptrace.ClientTrace
	record egress.Record
	start  time.Time

	mu         sync.Mutex
	gotConn    time.Time
	wroteHeads bool
	wroteAll   time.Time
	firstByte  time.Time
	conn       net.Conn
	written    int64 // by conn before this request
	exclusive  bool
	address    string
	reused     bool
	onResend   func()
	onChurn    func() // of too many connections that took no request
	onClose    func() // of a connection that carries this request alone

	untaken bool // what took it said that it took nothing
	wanted  int  // how often the transport looked for a connection

	connecting *atomic.Int64 // where it counts while it waits for a connection
	waiting    bool          // it does
	ended      bool          // the try is over: what comes now is nobody's

	headDue  *time.Timer // the first_byte clock; nil: off
	headTime time.Duration
	headDone bool
}

// watch arms the hooks.
func (w *wire) watch(ctx context.Context, connect time.Duration, connecting *atomic.Int64) context.Context {
	w.connecting = connecting
	w.trace.GetConn = w.onWant
	w.trace.GotConn = w.onConn
	w.trace.WroteHeaders = w.onHeaders
	w.trace.WroteRequest = w.onRequest
	w.trace.GotFirstResponseByte = w.onByte
	return egress.WithRecord(httptrace.WithClientTrace(ctx, &w.trace), &w.record, connect)
}

// mostWanted bounds how often the transport may look for a connection in a try. For
// each HTTP/2 connection that ends before it takes the request the transport looks
// for another, at once and without end.
const mostWanted = 256

func (w *wire) onWant(string) {
	w.mu.Lock()
	w.wanted++
	churn := w.wanted > mostWanted
	w.waits(true)
	w.mu.Unlock()
	if churn {
		w.onChurn()
	}
}

func (w *wire) onConn(info httptrace.GotConnInfo) {
	w.mu.Lock()
	again := w.conn != nil
	w.mu.Unlock()
	if again {
		w.onResend() // closes the ledger's line, which reads what is known so far
	}
	if _, exclusive := egress.Written(info.Conn); info.Reused && exclusive {
		egress.Quiet(info.Conn)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits(false)
	if !w.ended {
		egress.Release(w.conn)
		egress.Use(info.Conn)
	}
	w.gotConn, w.conn, w.reused = time.Now(), info.Conn, info.Reused
	w.wroteHeads, w.wroteAll, w.firstByte, w.untaken = false, time.Time{}, time.Time{}, false
	w.written, w.exclusive = egress.Written(info.Conn)
	if w.onClose != nil && w.exclusive {
		egress.OnClose(info.Conn, w.onClose)
	}
	if a := info.Conn.RemoteAddr(); a != nil {
		w.address = a.String()
	}
}

// waits counts the try among those that wait for a connection, or no more. The lock is
// held.
func (w *wire) waits(now bool) {
	now = now && !w.ended
	switch {
	case now == w.waiting:
		return
	case now:
		w.connecting.Add(1)
	default:
		w.connecting.Add(-1)
	}
	w.waiting = now
}

// over ends what the try holds: nothing of what the transport goes on with is its.
func (w *wire) over() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	w.waits(false)
	w.ended = true
	egress.Release(w.conn)
}

func (w *wire) onHeaders() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wroteHeads = true
}

func (w *wire) onRequest(info httptrace.WroteRequestInfo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wroteAll = time.Now()
	if w.headDue != nil && !w.headDone && info.Err == nil {
		w.headDue.Reset(w.headTime)
	}
}

func (w *wire) onByte() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.firstByte = time.Now()
}

// headCame stops the first_byte clock. It waits for the final head: a 1xx says
// only that the upstream is alive.
func (w *wire) headCame() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.headDone = true
	if w.headDue != nil {
		w.headDue.Stop()
	}
}

// beforeHead runs f unless the final head has come.
func (w *wire) beforeHead(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.headDone {
		f()
	}
}

// refused notes that the upstream, or a proxy before it, said that the upstream
// took nothing of the request.
func (w *wire) refused() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wroteHeads, w.untaken = false, true
}

// reached says what a failed request left behind. When a clock or the caller
// ended it, the transport may still be writing: then only a request that never
// had a connection counts as unsent.
func (w *wire) reached(ended bool) fault.Wire {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.conn == nil, w.untaken:
		return fault.Unsent
	case ended:
		return fault.MaybeProcessed
	case w.exclusive:
		if now, _ := egress.Written(w.conn); now == w.written {
			return fault.Unsent
		}
		return fault.MaybeProcessed
	case w.wroteHeads:
		return fault.MaybeProcessed
	default:
		return fault.Unsent
	}
}

// sentAll says that the request needs no word of its connection's end any more.
func (w *wire) sentAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil && w.exclusive {
		egress.OnClose(w.conn, nil)
	}
}

// multiplexed says that the request went out on HTTP/2.
func (w *wire) multiplexed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conn != nil && !w.exclusive
}

// observe copies what is known into a line of the ledger.
func (w *wire) observe(a *Attempt, end time.Time) {
	dialed := w.record.Dialed()
	w.mu.Lock()
	defer w.mu.Unlock()
	a.Reused, a.Address = w.reused, w.address
	a.Timings.Total = end.Sub(w.start)
	a.Proxy = dialed.Proxy
	if w.conn == nil {
		a.Address = dialed.Address
	} else {
		a.Proxy = egress.Via(w.conn) // also of one that is reused
	}
	if !w.reused {
		a.Timings.DNS, a.Timings.Connect, a.Timings.TLS = dialed.DNS, dialed.Connect, dialed.TLS
	}
	if w.gotConn.IsZero() {
		return
	}
	a.Timings.Connection = w.gotConn.Sub(w.start)
	wroteAll := w.wroteAll
	if wroteAll.IsZero() && a.Length == 0 {
		wroteAll = w.firstByte // it is all out if there is an answer: the hook is late
	}
	if !wroteAll.IsZero() {
		a.Timings.Send = wroteAll.Sub(w.gotConn)
	}
	if !w.firstByte.IsZero() {
		if !wroteAll.IsZero() {
			a.Timings.FirstByte = max(w.firstByte.Sub(wroteAll), 1) // it came, though the hooks may run the other way round
		}
		a.Timings.Body = end.Sub(w.firstByte)
	} else if !wroteAll.IsZero() {
		a.Timings.FirstByte = max(end.Sub(wroteAll), 1) // it waited in vain
	}
}
