package egress

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// TestPruneFailsNoCall gives pools up while calls with empty answers are under
// way: net/http counts their connections as idle a moment too early.
func TestPruneFailsNoCall(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer upstream.Close()
	pools := NewPools(Config{})
	defer pools.Close()
	up := &policy.Upstream{Name: "local", Base: &policy.Route{}}
	up.AllowAddresses = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	up.Base.Timeouts.Connect.Default = patience
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 2000 {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, upstream.URL, nil)
				if err != nil {
					t.Error(err)
					return
				}
				res, err := pools.For(up).RoundTrip(req)
				if err != nil {
					t.Errorf("a call failed: %v", err)
					return
				}
				_ = res.Body.Close()
				pools.Prune(nil)
			}
		})
	}
	all.Wait()
}
