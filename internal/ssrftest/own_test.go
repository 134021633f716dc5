package ssrftest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// ownPolicy lets calls decide their connection.
const ownPolicy = `
upstreams:
  - name: door
    hosts: ["door.test:*"]
    unsafe_allow_addresses: [127.99.0.1]
    grants: [request_ca, request_client_cert, request_proxy, unsafe_skip_verify]
`

// TestConnectionsOfTheirOwn: what one call decided of its connection is no other's,
// which differs in one thing: its certificate, its key, whom it trusts, its proxy
// or what it shows there.
func TestConnectionsOfTheirOwn(t *testing.T) {
	ca := testpeer.NewCA(t)
	l, err := net.Listen("tcp", at(openAddress, "0"))
	if err != nil {
		t.Skipf("this machine has no %s: %v", openAddress, err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if certs := r.TLS.PeerCertificates; len(certs) > 0 {
			who = certs[0].Subject.CommonName
		}
		_, _ = io.WriteString(w, who)
	})}}
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{ca.Issue(testpeer.CertOpts{Names: []string{"door.test"}})},
		ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: ca.Pool(),
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	proxy := newNotedProxy(t)
	names := &resolver{table: map[string][][]string{"door.test": {{openAddress}}}}
	pools := egress.NewPools(egress.Config{Resolver: names})
	t.Cleanup(pools.Close)
	snapshot, err := policy.Parse("own.yaml", []byte(ownPolicy), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	signed := func(name string) egress.Override {
		certificate, key := testpeer.PEM(t, ca.Issue(testpeer.CertOpts{CommonName: name, Client: true}))
		return egress.Override{CAPEM: ca.PEM(), CertPEM: certificate, KeyPEM: secret.NewValue(string(key))}
	}
	by := func(user, password string) egress.Override {
		p, err := egress.ParseProxy("http://" + user + ":" + password + "@" + proxy.addr)
		if err != nil {
			t.Fatal(err)
		}
		return egress.Override{CAPEM: ca.PEM(), Proxy: p}
	}
	call := func(o egress.Override) string {
		t.Helper()
		rt, err := pools.ForCall(snapshot.Upstreams[0], o)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+at("door.test", port)+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := rt.RoundTrip(r)
		if err != nil {
			return string(fault.From(err).Kind)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	ann, bob := signed("ann"), signed("bob")
	stranger := testpeer.NewCA(t).PEM()
	wrongKey := ann
	wrongKey.KeyPEM = bob.KeyPEM
	for range 2 { // the second time there are connections to take
		for i, c := range []struct {
			o    egress.Override
			want string
		}{
			{ann, "ann"}, {bob, "bob"},
			{egress.Override{CAPEM: ca.PEM()}, "nobody"},
			{egress.Override{SkipVerify: true}, "nobody"},
			{egress.Override{CAPEM: stranger, SkipVerify: true}, "nobody"},
			{egress.Override{CAPEM: stranger}, "TLS_CERT_UNTRUSTED"},
			{egress.Override{}, "TLS_CERT_UNTRUSTED"},
			{egress.Override{CAPEM: ca.PEM()}, "nobody"},
		} {
			if got := call(c.o); got != c.want {
				t.Errorf("call %d is answered %s, want %s", i, got, c.want)
			}
		}
		if _, err := pools.ForCall(snapshot.Upstreams[0], wrongKey); !errors.Is(err, fault.InvalidRequest) {
			t.Errorf("the certificate of one with the key of another: got %v, want INVALID_REQUEST", err)
		}
	}
	for _, user := range [][2]string{{"ann", "a"}, {"ann", "b"}, {"bob", "a"}} {
		if got := call(by(user[0], user[1])); got != "nobody" {
			t.Errorf("by the proxy as %s the answer is %s", user[0], got)
		}
	}
	if shown := proxy.take(); len(shown) != 3 || shown[0] == shown[1] || shown[1] == shown[2] || shown[0] == shown[2] {
		t.Errorf("the proxy was shown %d proofs, want three that differ", len(shown))
	}
}

// notedProxy connects to where it is asked, and notes what it was shown.
type notedProxy struct {
	addr string
	mu   sync.Mutex
	seen []string
}

func (p *notedProxy) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

func newNotedProxy(t *testing.T) *notedProxy {
	t.Helper()
	l, err := net.Listen("tcp", at(openAddress, "0"))
	if err != nil {
		t.Fatal(err)
	}
	p := &notedProxy{addr: l.Addr().String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return p
}

func (p *notedProxy) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	req, err := http.ReadRequest(r)
	if err != nil || req.Method != http.MethodConnect || !strings.HasPrefix(req.Host, openAddress) {
		return
	}
	p.mu.Lock()
	p.seen = append(p.seen, req.Header.Get("Proxy-Authorization"))
	p.mu.Unlock()
	to, err := net.Dial("tcp", req.Host)
	if err != nil {
		return
	}
	defer to.Close()
	_, _ = fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
	var ways sync.WaitGroup
	ways.Go(func() {
		_, _ = io.Copy(to, r)
		_ = to.(*net.TCPConn).CloseWrite()
	})
	_, _ = io.Copy(c, to)
	_ = c.Close()
	ways.Wait()
}
