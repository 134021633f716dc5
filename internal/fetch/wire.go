package fetch

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
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
	onClose    func() // of a connection that carries this request alone

	untaken bool // what took it said that it took nothing

	headDue  *time.Timer // the first_byte clock; nil: off
	headTime time.Duration
	headDone bool
}

// watch arms the hooks.
func (w *wire) watch(ctx context.Context, connect time.Duration) context.Context {
	w.trace.GotConn = w.onConn
	w.trace.WroteHeaders = w.onHeaders
	w.trace.WroteRequest = w.onRequest
	w.trace.GotFirstResponseByte = w.onByte
	return egress.WithRecord(httptrace.WithClientTrace(ctx, &w.trace), &w.record, connect)
}

func (w *wire) onConn(info httptrace.GotConnInfo) {
	w.mu.Lock()
	again := w.conn != nil
	w.mu.Unlock()
	if again {
		w.onResend() // closes the ledger's line, which reads what is known so far
	}
	w.mu.Lock()
	defer w.mu.Unlock()
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
	}
	if !w.reused {
		a.Timings.DNS, a.Timings.Connect, a.Timings.TLS = dialed.DNS, dialed.Connect, dialed.TLS
	}
	if w.gotConn.IsZero() {
		return
	}
	a.Timings.Connection = w.gotConn.Sub(w.start)
	if !w.wroteAll.IsZero() {
		a.Timings.Send = w.wroteAll.Sub(w.gotConn)
	}
	if !w.firstByte.IsZero() {
		if !w.wroteAll.IsZero() {
			a.Timings.FirstByte = max(w.firstByte.Sub(w.wroteAll), 0)
		}
		a.Timings.Body = end.Sub(w.firstByte)
	}
}

// fieldCost is what a header field costs beside its name and value, as HTTP/2
// counts it (RFC 9113 section 6.5.2): many small fields take more memory than
// they take bytes of the head.
const fieldCost = 32

// badHead refuses what net/http lets through on HTTP/1: a head of more than most
// bytes where each field counts as on HTTP/2, and a status that is none.
func badHead(res *http.Response, most int64) *fault.Error {
	if res.StatusCode < 100 {
		return fault.Newf(fault.BadResponse, "the upstream's answer is not valid HTTP: there is no status %03d", res.StatusCode)
	}
	var size int64
	for name, values := range res.Header {
		for _, v := range values {
			size += int64(len(name)+len(v)) + fieldCost
		}
	}
	if size > most {
		return fault.Newf(fault.ResponseHeaderTooLarge,
			"the response head is larger than the policy's response_header size of %s, where each field counts %d bytes beside its name and value",
			policy.FormatSize(most), fieldCost)
	}
	return nil
}
