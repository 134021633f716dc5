package fetch

import (
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// TestExplainJudgesTheCallsProxy: as the call does before it connects.
func TestExplainJudgesTheCallsProxy(t *testing.T) {
	for host, denied := range map[string]bool{"10.0.0.1": true, "169.254.169.254": true, "127.0.0.1": false} {
		req := request(t, "GET", "http://127.0.0.1:1/")
		req.Connection = &egress.Override{Proxy: &egress.CallProxy{Scheme: "http", Host: host, Port: 1}}
		e := newEngine(t, local+"    grants: [request_proxy]\n")
		x := e.Explain(t.Context(), req, false)
		_, err := e.Do(t.Context(), req)
		if got := x.Fault != nil && x.Fault.Kind == fault.AddressDenied; got != denied || (fault.From(err).Kind == fault.AddressDenied) != denied {
			t.Errorf("%s: Explain %v, Do %v, want both to deny it: %v", host, x.Fault, err, denied)
		}
	}
}
