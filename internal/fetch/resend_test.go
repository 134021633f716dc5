package fetch

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// refuser is an HTTP/2 upstream that answers every request with refuse, and
// counts the requests.
func refuser(t *testing.T, ca *testpeer.CA, refuse func(*http2.Framer, uint32) error) (url string, requests *atomic.Int64) {
	t.Helper()
	lis, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{ca.Issue(testpeer.CertOpts{})}, NextProtos: []string{"h2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	requests = &atomic.Int64{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var conns []net.Conn
		var serving sync.WaitGroup
		for {
			c, err := lis.Accept()
			if err != nil {
				break
			}
			conns = append(conns, c)
			serving.Go(func() { serveRefusals(c, refuse, requests) })
		}
		for _, c := range conns {
			_ = c.Close() // net/http keeps a connection that it will not use again
		}
		serving.Wait()
	}()
	t.Cleanup(func() { _ = lis.Close(); <-done })
	return "https://" + lis.Addr().String() + "/", requests
}

func serveRefusals(c net.Conn, refuse func(*http2.Framer, uint32) error, requests *atomic.Int64) {
	defer c.Close()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	framer := http2.NewFramer(c, c)
	if framer.WriteSettings() != nil {
		return
	}
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() && framer.WriteSettingsAck() != nil {
				return
			}
		case *http2.PingFrame:
			if !f.IsAck() && framer.WritePing(true, f.Data) != nil {
				return
			}
		case *http2.HeadersFrame:
			requests.Add(1)
			if refuse(framer, f.StreamID) != nil {
				return
			}
		}
	}
}

// TestTheTransportDoesNotResendOnItsOwn: net/http's HTTP/2 sends a bodyless
// request again on PROTOCOL_ERROR, REFUSED_STREAM and GOAWAY, whatever its method
// and as often as it is refused.
func TestTheTransportDoesNotResendOnItsOwn(t *testing.T) {
	reset := func(code http2.ErrCode) func(*http2.Framer, uint32) error {
		return func(f *http2.Framer, id uint32) error { return f.WriteRSTStream(id, code) }
	}
	goAway := func(f *http2.Framer, id uint32) error {
		if err := f.WriteGoAway(0, http2.ErrCodeNo, nil); err != nil {
			return err
		}
		return io.EOF
	}
	for name, c := range map[string]struct {
		method string
		refuse func(*http2.Framer, uint32) error
		most   int64
		safe   bool
	}{
		"PROTOCOL_ERROR, POST": {"POST", reset(http2.ErrCodeProtocol), 1, false},
		"PROTOCOL_ERROR, GET":  {"GET", reset(http2.ErrCodeProtocol), 1 + mostResends, true},
		"GOAWAY, GET":          {"GET", goAway, 1 + mostResends, true},
	} {
		t.Run(name, func(t *testing.T) {
			ca := testpeer.NewCA(t)
			url, requests := refuser(t, ca, c.refuse)
			s, err := policy.Parse("test", []byte(local), policy.Options{})
			if err != nil {
				t.Fatal(err)
			}
			pools := egress.NewPools(egress.Config{RootCAs: ca.Pool()})
			defer pools.Close()
			e := New(Config{Pools: pools, UserAgent: "test"})
			e.Use(s)
			res, err := e.Do(t.Context(), request(t, c.method, url))
			f := fault.From(err)
			if err == nil || f.Kind != fault.ConnectionReset || f.SafeToRetry != c.safe {
				t.Errorf("got %v, safe %v; want CONNECTION_RESET, %v", err, f.SafeToRetry, c.safe)
			}
			if n := requests.Load(); n < 1 || n > c.most {
				t.Errorf("the upstream got the request %d times, want at most %d", n, c.most)
			}
			if n := int64(len(res.Attempts)); n > c.most {
				t.Errorf("the ledger has %d lines, want at most %d", n, c.most)
			}
		})
	}
}

// TestSafeToRetryIsOfTheCall: a hop that could not be reached left nothing behind,
// but the POST before it did.
func TestSafeToRetryIsOfTheCall(t *testing.T) {
	e := newEngine(t, local)
	for name, script := range map[string]testpeer.Script{
		"refused": testpeer.RedirectTo(303, "http://"+testpeer.ClosedPort(t)+"/"),
		"reset":   testpeer.RedirectTo(303, testpeer.Raw(t, testpeer.ResetBeforeHead).URL+"/"),
	} {
		req := request(t, "POST", testpeer.Raw(t, script).URL+"/")
		req.Body = Bytes("order")
		_, err := e.Do(t.Context(), req)
		f := fault.From(err)
		if err == nil || f.Wire == fault.Unsent || f.SafeToRetry {
			t.Errorf("%s: %v, wire %s, safe %v; want it processed and not safe", name, err, f.Wire, f.SafeToRetry)
		}
	}
}

// TestStalledRedirectBody: nobody waits for the body of a redirect.
func TestStalledRedirectBody(t *testing.T) {
	e := newEngine(t, local)
	next := testpeer.Echo(t)
	srv := testpeer.Raw(t, func(c *testpeer.RawConn) {
		c.ReadHead()
		c.Write("HTTP/1.1 302 Found\r\nLocation: " + next.URL + "/\r\nContent-Length: 10\r\n\r\n")
		c.Stall()
	})
	res, err := e.Do(t.Context(), request(t, "GET", srv.URL+"/"))
	if err != nil || res.Status != 200 {
		t.Errorf("got %d, %v; want the redirect followed", res.Status, err)
	}
}

// TestFirstByteOutlivesInterimHeads: a 103 says only that the upstream is alive.
func TestFirstByteOutlivesInterimHeads(t *testing.T) {
	e := newEngine(t, local)
	srv := testpeer.Raw(t, func(c *testpeer.RawConn) {
		c.ReadHead()
		c.Write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
		c.Stall()
	})
	req := request(t, "GET", srv.URL+"/")
	req.Timeouts.FirstByte = 50_000_000
	if _, err := e.Do(t.Context(), req); fault.From(err).Kind != fault.FirstByteTimeout {
		t.Errorf("got %v, want FIRST_BYTE_TIMEOUT", err)
	}
}
