package streamtest

import (
	"testing"
	"time"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestCancel holds that a caller who hangs up frees the upstream, whatever the
// stream was doing. How long that took is logged and not asserted.
func TestCancel(t *testing.T) {
	w := newWorld(t)
	stall := func(text string) testpeer.Script {
		return func(c *testpeer.RawConn) {
			c.ReadHead()
			c.Write(text)
			c.Stall()
		}
	}
	cases := []struct {
		name   string
		script testpeer.Script
		method string // of an upload; "": a download
		// reach brings the stream to where it is cancelled.
		reach func(t *testing.T, s stream, p *testpeer.RawServer)
	}{
		{"before the head", stall(""), "", untilRequested},
		{"mid head", testpeer.StallMidHead, "", untilRequested},
		{"behind the head", testpeer.StallBeforeBody, "", untilHead},
		{"mid body that stalls", testpeer.StallMidBody, "", untilChunk},
		{"mid body that flows", testpeer.EndlessBody, "", untilChunk},
		{"mid upload, nothing more to send", stall(""), "POST", untilRequested},
		{"mid upload that flows", stall(""), "POST", func(t *testing.T, s stream, p *testpeer.RawServer) {
			untilRequested(t, s, p)
			for range 16 {
				_ = s.send(chunk(kib64))
			}
		}},
		{"behind an upload that is whole", stall(""), "POST", func(t *testing.T, s stream, p *testpeer.RawServer) {
			untilRequested(t, s, p)
			_ = s.send(chunk("x"))
			_ = s.send(end())
			s.closeSend()
		}},
		{"mid upload and mid download", stall(testpeer.Lines("HTTP/1.1 200 OK", "Content-Length: 100") + "part"), "POST", untilChunk},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, d := range doors() {
				p := testpeer.Raw(t, c.script)
				s := d.open(t, w)
				in := &fetchsvcv1.FetchRequest{Url: p.URL, Method: c.method}
				if c.method != "" {
					in.Body = &fetchsvcv1.FetchRequest_Stream{Stream: &fetchsvcv1.StreamBody{}}
				}
				_ = s.send(start(in))
				if c.method == "" {
					s.closeSend()
				}
				c.reach(t, s, p)
				at := time.Now()
				s.cancel()
				p.AwaitEnded(1)
				t.Logf("over %s the upstream saw the cancel after %v", d.name, time.Since(at))
				s.close()
				torn(t, p)
			}
		})
	}
}

func untilRequested(_ *testing.T, _ stream, p *testpeer.RawServer) { p.AwaitRequests(1) }

func untilHead(t *testing.T, s stream, _ *testpeer.RawServer) {
	t.Helper()
	if m, err := s.recv(); m.GetHead() == nil {
		t.Fatalf("got %v, %v; want the head", m, err)
	}
}

func untilChunk(t *testing.T, s stream, p *testpeer.RawServer) {
	t.Helper()
	untilHead(t, s, p)
	if m, err := s.recv(); len(m.GetChunk()) == 0 {
		t.Fatalf("got %v, %v; want a chunk", m, err)
	}
}
