package hostiletest

import (
	"fmt"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestPoison: a connection with bytes behind an answer must not serve the next
// call. It is a race that net/http can lose, so it is run often.
func TestPoison(t *testing.T) {
	const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	for name, answer := range map[string]struct{ method, text string }{
		"200":  {"GET", testpeer.Response(200, "ok") + poison},
		"204":  {"GET", "HTTP/1.1 204 No Content\r\n\r\n" + poison},
		"304":  {"GET", "HTTP/1.1 304 Not Modified\r\n\r\n" + poison},
		"HEAD": {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 51\r\n\r\n" + poison},
	} {
		t.Run(name, func(t *testing.T) {
			srv := testpeer.Raw(t, testpeer.EachRequest(func(c *testpeer.RawConn, r testpeer.Request) {
				if r.Target == "/next" {
					c.Write(testpeer.Response(200, "ok"))
					return
				}
				c.Write(answer.text)
			}))
			e := row{}.engine(t, nil)
			for i := range 200 {
				req := request(t, fmt.Sprintf("%s/%d", srv.URL, i))
				req.Method = answer.method
				if got := do(t.Context(), e, req); got.err != nil {
					t.Fatalf("call %d: %v", i, got.err)
				}
				got := do(t.Context(), e, request(t, srv.URL+"/next"))
				if got.err == nil && string(got.body) == "poison" {
					t.Fatalf("the call after call %d got the bytes behind its answer", i)
				}
			}
		})
	}
}
