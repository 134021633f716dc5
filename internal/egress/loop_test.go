package egress

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// said records the CDN-Loop fields that arrive.
type said struct {
	mu  sync.Mutex
	all [][]string
}

func (s *said) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, r.Header["Cdn-Loop"])
}

func (s *said) last() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[len(s.all)-1]
}

// send makes a request with CDN-Loop fields, watched and not, and gives what its
// header became.
func send(t *testing.T, rt http.RoundTripper, url string, fields ...string) http.Header {
	t.Helper()
	watched := false
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { watched = true }})
	sendIn(ctx, t, rt, url, fields)
	if !watched {
		t.Error("the caller's own hook was not called")
	}
	return sendIn(t.Context(), t, rt, url, fields)
}

func sendIn(ctx context.Context, t *testing.T, rt http.RoundTripper, url string, fields []string) http.Header {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if fields != nil {
		req.Header["Cdn-Loop"] = slices.Clone(fields)
	}
	res, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return req.Header
}

// TestLoopTokenGoesToOpenedAddresses, on new and on reused connections of both
// versions, after what the caller said.
func TestLoopTokenGoesToOpenedAddresses(t *testing.T) {
	ca := testpeer.NewCA(t)
	cert := ca.Issue(testpeer.CertOpts{})
	s := &said{}
	for name, base := range map[string]string{
		"HTTP/1.1":           testpeer.HTTP(t, s),
		"HTTP/1.1 over TLS":  testpeer.TLS(t, s, cert, testpeer.TLSOpts{HTTP1Only: true}),
		"HTTP/2":             testpeer.TLS(t, s, cert, testpeer.TLSOpts{HTTP2Only: true}),
		"HTTP/2, negotiated": testpeer.TLS(t, s, cert, testpeer.TLSOpts{}),
	} {
		t.Run(name, func(t *testing.T) {
			p := NewPools(Config{RootCAs: ca.Pool(), LoopToken: "me"})
			defer p.Close()
			rt := p.For(upstream("127.0.0.0/8"))
			for range 2 {
				sent := send(t, rt, base)
				if got := s.last(); !slices.Equal(got, []string{"me"}) || !slices.Equal(sent["Cdn-Loop"], got) {
					t.Errorf("the upstream got %q and the request has %q, want the token", got, sent["Cdn-Loop"])
				}
			}
			callers := []string{"cdn.example;q=1", "other"}
			send(t, rt, base, callers...)
			if got := s.last(); !slices.Equal(got, []string{"cdn.example;q=1, other, me"}) {
				t.Errorf("the upstream got %q, want the caller's and the token", got)
			}
		})
	}
}

// TestLoopTokenStaysHome: nobody gets it whose address policy did not open, nor
// where there is none.
func TestLoopTokenStaysHome(t *testing.T) {
	s := &said{}
	base := testpeer.HTTP(t, s)
	p := NewPools(Config{})
	defer p.Close()
	send(t, p.For(upstream("127.0.0.0/8")), base)
	if got := s.last(); got != nil {
		t.Errorf("without a token the upstream got %q", got)
	}
	public := dialer{guard: guard{allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, connect: patience, token: "me"}
	req := httptest.NewRequest(http.MethodGet, base, nil)
	req.RequestURI = ""
	out := public.marked(req)
	c, err := public.dial(t.Context(), "127.0.0.1:"+portOf(t, base))
	if err != nil {
		t.Fatal(err)
	}
	if !c.opened {
		t.Error("the dialled loopback does not count as opened")
	}
	c.opened = false // as a public address has it
	once := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }}
	defer once.CloseIdleConnections()
	res, err := once.RoundTrip(out)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if got := s.last(); got != nil {
		t.Errorf("a public upstream got %q", got)
	}
	if (&dialer{token: "me"}).marked(req) != req {
		t.Error("an upstream that opens nothing pays for loops")
	}
}

// TestLoopTokenThroughAProxy: it is the target's address that counts, not the
// proxy's.
func TestLoopTokenThroughAProxy(t *testing.T) {
	s := &said{}
	base := testpeer.HTTP(t, s)
	px := testpeer.NewForward(t, nil, "", "")
	p := NewPools(Config{LoopToken: "me"})
	defer p.Close()
	up := upstream("127.0.0.0/8")
	up.Proxy = proxyAt("http", px.Addr)
	send(t, p.For(up), base)
	if got := s.last(); !slices.Equal(got, []string{"me"}) {
		t.Errorf("an opened target behind a proxy got %q, want the token", got)
	}
}
