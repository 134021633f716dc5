package egress

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptrace"
	"strings"
)

// loopHeader tells loops (RFC 8586).
const loopHeader = "Cdn-Loop"

// NewLoopToken makes the name by which one running instance knows its own
// requests. It is random and no secret.
func NewLoopToken() string { return "fetchsvc-" + strings.ToLower(rand.Text()[:16]) }

// marked gives req as it is to be sent: with token at the end of CDN-Loop if it
// goes out on a connection to an address that policy opened. Only from there can
// a call come back, and the Internet needs no name for this instance. What the
// caller said of CDN-Loop stays. The field is set in the header of req, which is
// one request's alone and where the ledger reads it.
func (d *dialer) marked(req *http.Request) *http.Request {
	if d.token == "" || len(d.guard.allow) == 0 {
		return req
	}
	m := &marking{Context: req.Context(), header: req.Header, token: d.token}
	trace := httptrace.ContextClientTrace(m.Context)
	if trace == nil {
		trace = &httptrace.ClientTrace{GotConn: m.gotConn}
		return req.WithContext(httptrace.WithClientTrace(m.Context, trace))
	}
	m.trace, m.next = *trace, trace.GotConn
	m.trace.GotConn = m.gotConn
	return req.WithContext(m)
}

// marking is the context of a request that may be marked. It puts one hook before
// another's, as httptrace.WithClientTrace does, without its reflection.
type marking struct {
	context.Context
	header  http.Header
	token   string
	trace   httptrace.ClientTrace
	next    func(httptrace.GotConnInfo)
	decided bool
}

// Value is Context's.
func (m *marking) Value(key any) any {
	v := m.Context.Value(key)
	if _, ok := v.(*httptrace.ClientTrace); ok {
		return &m.trace
	}
	return v
}

// gotConn runs on the goroutine that writes the header next. A second connection
// of the same request comes when the header may still be read for the first.
func (m *marking) gotConn(info httptrace.GotConnInfo) {
	if c := beneath(info.Conn); !m.decided && c != nil && c.opened {
		value := m.token
		if said := m.header[loopHeader]; len(said) > 0 {
			value = strings.Join(said, ", ") + ", " + value
		}
		m.header[loopHeader] = []string{value}
	}
	m.decided = true
	if m.next != nil {
		m.next(info)
	}
}
