package hostiletest

import (
	"sync"
	"testing"

	"golang.org/x/net/http2"
)

// TestOneStreamEach: an upstream that takes one HTTP/2 request at a time on each
// connection makes the transport look for a connection again and again. That is
// no churn.
func TestOneStreamEach(t *testing.T) {
	srv := every2(func(c *conn2) {
		for s := c.begin(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1}); ; s = c.request() {
			c.ok(s)
		}
	})(t)
	e := row{}.engine(t, srv.roots)
	var calls sync.WaitGroup
	for range 100 {
		calls.Go(func() {
			if got := do(t.Context(), e, request(t, srv.url+"/")); got.String() != "200" {
				t.Errorf("a call among a hundred got %s (%v)", got, got.err)
			}
		})
	}
	calls.Wait()
}
