package egress

import (
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
	decided := false
	return req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			// A second connection of the same request comes when the header may still be
			// read for the first.
			if c := beneath(info.Conn); !decided && c != nil && c.opened {
				said := append(req.Header[loopHeader][:len(req.Header[loopHeader]):len(req.Header[loopHeader])], d.token)
				req.Header[loopHeader] = []string{strings.Join(said, ", ")}
			}
			decided = true
		},
	}))
}
