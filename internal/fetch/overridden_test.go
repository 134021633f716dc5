package fetch

import (
	"net/http"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// TestMethodsInHeaders: what policy refuses as the method, no header may ask for.
func TestMethodsInHeaders(t *testing.T) {
	e := newEngine(t, local+"    deny: {methods: [DELETE]}\n")
	for name, denied := range map[string]bool{"X-Http-Method-Override": true, "X-Method-Override": true, "X-Other": false} {
		req := request(t, "POST", "http://127.0.0.1:1/")
		req.Header = http.Header{name: {"delete"}}
		_, err := e.Do(t.Context(), req)
		x := e.Explain(t.Context(), req, false)
		if got := fault.From(err).Kind == fault.PolicyDenied; got != denied || (x.Fault != nil) != denied {
			t.Errorf("%s: Do %v, Explain %v, want both to deny it: %v", name, err, x.Fault, denied)
		}
	}
}
