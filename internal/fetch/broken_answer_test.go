package fetch

import (
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestRetryAfterOfABrokenAnswer: an answer's word on when to come back holds also
// if its body is cut short or too large.
func TestRetryAfterOfABrokenAnswer(t *testing.T) {
	const asked = "Retry-After-Ms: 300"
	for name, first := range map[string]testpeer.Script{
		"cut short": func(c *testpeer.RawConn) {
			c.Write(testpeer.Lines("HTTP/1.1 503 Busy", "Content-Length: 100", asked) + "x")
		},
		"too large": func(c *testpeer.RawConn) {
			c.Write(testpeer.Lines("HTTP/1.1 503 Busy", "Content-Length: 100000000", asked))
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := testpeer.Raw(t, testpeer.InTurn(testpeer.EachRequest(func(c *testpeer.RawConn, _ testpeer.Request) { first(c); c.Linger() }), testpeer.Status("200")))
			text := local + "    retry: {max_attempts: 2, backoff: {base: 1ms, max: 1ms}}\n"
			res, err := newEngine(t, text).Do(t.Context(), request(t, "GET", srv.URL+"/"))
			if err != nil || len(res.Attempts) != 2 {
				t.Fatalf("got %v after %d attempts, want an answer after 2", err, len(res.Attempts))
			}
			if a := res.Attempts[1]; a.Wait < 300*time.Millisecond || !strings.Contains(a.WaitReason, "Retry-After-Ms") {
				t.Errorf("waited %v for %q, want at least what was asked for", a.Wait, a.WaitReason)
			}
		})
	}
}
