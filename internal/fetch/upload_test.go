package fetch

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// slowUpload is an upload whose caller takes its time before the last byte.
type slowUpload struct {
	pause time.Duration
	rest  io.Reader
}

func (u *slowUpload) Open() io.ReadCloser  { return u }
func (u *slowUpload) Replayable() bool     { return false }
func (u *slowUpload) Size() int64          { return -1 }
func (u *slowUpload) Trailer() http.Header { return http.Header{} }
func (u *slowUpload) Unannounced() bool    { return false }
func (u *slowUpload) Close() error         { return nil }
func (u *slowUpload) Read(p []byte) (int, error) {
	time.Sleep(u.pause) // being slow is what is tested
	return u.rest.Read(p)
}

// TestTotalBeginsBehindTheUpload: an upload may take longer than total, also that
// of a stricter upstream which a redirect leads to.
func TestTotalBeginsBehindTheUpload(t *testing.T) {
	t.Parallel()
	e := newEngine(t, `
upstreams:
  - {name: first, hosts: ["127.0.0.1:*"], schemes: [http], unsafe_allow_addresses: [127.0.0.0/8], timeouts: {total: 4s}}
  - {name: strict, hosts: ["localhost:*"], schemes: [http], unsafe_allow_addresses: [127.0.0.0/8, "::1"], timeouts: {total: 2s}}
`)
	next := strings.Replace(testpeer.Echo(t).URL, "127.0.0.1", "localhost", 1)
	req := request(t, "POST", testpeer.Raw(t, testpeer.RedirectTo(303, next+"/")).URL+"/")
	req.Body = &slowUpload{pause: ample + ample/10, rest: strings.NewReader("payload")}
	live, tried, err := e.Open(t.Context(), req)
	if err != nil {
		t.Fatalf("%v after %d attempts, want the redirect followed", err, len(tried.Attempts))
	}
	defer live.Close()
	if live.Status != 200 || live.Upstream != "strict" {
		t.Errorf("got %d of %q, want 200 of strict", live.Status, live.Upstream)
	}
}
