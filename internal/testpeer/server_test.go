package testpeer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// newTLSClient trusts ca and offers h2; change may alter its TLS options.
func newTLSClient(t *testing.T, ca *CA, change func(*tls.Config)) *http.Client {
	t.Helper()
	c := newClient(t)
	config := &tls.Config{RootCAs: ca.Pool()}
	if change != nil {
		change(config)
	}
	transport := c.Transport.(*http.Transport)
	transport.TLSClientConfig = config
	transport.ForceAttemptHTTP2 = true
	return c
}

func TestClosedPortRefuses(t *testing.T) {
	verifyNoLeak(t)
	addr := ClosedPort(t)
	for range 3 {
		conn, err := net.Dial("tcp", addr)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("dial: %v, %v, want ECONNREFUSED", conn, err)
		}
	}
	if l, err := net.Listen("tcp", addr); err == nil {
		_ = l.Close()
		t.Error("somebody else could listen on the port")
	}
}

func TestBlackholeHangs(t *testing.T) {
	verifyNoLeak(t)
	addr := Blackhole(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			conn, err := net.DialTimeout("tcp", addr, 300*time.Millisecond)
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("dial: %v, %v, want a timeout", conn, err)
			}
		})
	}
	wg.Wait()
}

func TestHTTPBin(t *testing.T) {
	verifyNoLeak(t)
	answers(418, "I'm a teapot!")(t, teapot(newClient(t), HTTPBin(t)))

	ca := NewCA(t)
	r := teapot(newTLSClient(t, ca, nil), HTTPBinTLS(t, ca.Issue(CertOpts{}), TLSOpts{}))
	if r.err != nil || r.ProtoMajor != 2 {
		t.Errorf("over TLS: %+v", r)
	}
}

// teapot is go-httpbin's 418, with the body made comparable.
func teapot(c *http.Client, base string) result {
	r := do(c, "GET", base+"/status/418", nil)
	r.body = strings.TrimSpace(r.body)
	return r
}

func TestCleanupInterruptsHandlers(t *testing.T) {
	verifyNoLeak(t)
	ca := NewCA(t)
	for _, base := range []string{HTTPBin(t), HTTPBinTLS(t, ca.Issue(CertOpts{}), TLSOpts{})} {
		resp, err := newTLSClient(t, ca, nil).Get(base + "/drip?duration=9s&numbytes=9&delay=0s")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
	}
}

func TestTLSProtocols(t *testing.T) {
	verifyNoLeak(t)
	ca := NewCA(t)
	cert := ca.Issue(CertOpts{})
	http1 := func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }
	cases := []struct {
		name   string
		opts   TLSOpts
		client func(*tls.Config)
		proto  string // "" is refused
	}{
		{"both", TLSOpts{}, nil, "HTTP/2.0"},
		{"h1 only", TLSOpts{HTTP1Only: true}, nil, "HTTP/1.1"},
		{"h2 only", TLSOpts{HTTP2Only: true}, nil, "HTTP/2.0"},
		{"h2 only, client h1", TLSOpts{HTTP2Only: true}, http1, ""},
		{"TLS 1.1", TLSOpts{MaxVersion: tls.VersionTLS11}, nil, ""},
		{"TLS 1.0", TLSOpts{MaxVersion: tls.VersionTLS10}, nil, ""},
		{"TLS 1.0, old client", TLSOpts{MaxVersion: tls.VersionTLS10}, func(c *tls.Config) { c.MinVersion = tls.VersionTLS10 }, "HTTP/1.1"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			base := EchoTLS(t, cert, tc.opts)
			c := newTLSClient(t, ca, tc.client)
			if tc.name == "h2 only, client h1" {
				c.Transport.(*http.Transport).ForceAttemptHTTP2 = false
			}
			r := do(c, "GET", base+"/p", nil)
			if tc.proto == "" {
				if r.err == nil {
					t.Errorf("got %s over %s, want a refused handshake", r.Response.Status, r.Proto)
				}
				return
			}
			if r.err != nil {
				t.Fatal(r.err)
			}
			if e := ReadEcho(t, strings.NewReader(r.body)); e.Proto != tc.proto || e.RequestURI != "/p" {
				t.Errorf("got %+v, want %s", e, tc.proto)
			}
		})
	}
}

func TestTLSVersionRefusalIsAnAlert(t *testing.T) {
	verifyNoLeak(t)
	ca := NewCA(t)
	base := EchoTLS(t, ca.Issue(CertOpts{}), TLSOpts{MaxVersion: tls.VersionTLS11})
	fails("protocol version")(t, do(newTLSClient(t, ca, nil), "GET", base, nil))
}

func TestCertificates(t *testing.T) {
	verifyNoLeak(t)
	ca := NewCA(t)
	invalid := func(reason x509.InvalidReason) func(error) bool {
		return func(err error) bool {
			var e x509.CertificateInvalidError
			return errors.As(err, &e) && e.Reason == reason
		}
	}
	unknown := func(err error) bool { return errors.As(err, new(x509.UnknownAuthorityError)) }
	cases := []struct {
		name string
		cert tls.Certificate
		want func(error) bool
	}{
		{"good", ca.Issue(CertOpts{}), func(err error) bool { return err == nil }},
		{"expired", ca.Issue(CertOpts{}.Expired()), invalid(x509.Expired)},
		{"not yet valid", ca.Issue(CertOpts{}.NotYetValid()), invalid(x509.Expired)},
		{"wrong name", ca.Issue(CertOpts{Names: []string{"other.example"}}), func(err error) bool {
			return errors.As(err, new(x509.HostnameError))
		}},
		{"client's", ca.Issue(CertOpts{Client: true}), invalid(x509.IncompatibleUsage)},
		{"self-signed", SelfSigned(t, CertOpts{}), unknown},
		{"a stranger's", NewCA(t).Issue(CertOpts{}), unknown},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			base := EchoTLS(t, tc.cert, TLSOpts{})
			if r := do(newTLSClient(t, ca, nil), "GET", base, nil); !tc.want(r.err) {
				t.Errorf("got %v", r.err)
			}
		})
	}
}

func TestClientCertificates(t *testing.T) {
	verifyNoLeak(t)
	ca := NewCA(t)
	base := EchoTLS(t, ca.Issue(CertOpts{}), TLSOpts{ClientCA: ca.Pool(), HTTP1Only: true}) // Go's h2 client hides the alert
	fails("certificate required")(t, do(newTLSClient(t, ca, nil), "GET", base, nil))

	certificate, key := PEM(t, ca.Issue(CertOpts{Client: true, CommonName: "caller-1", URIs: []string{"spiffe://x/caller-1"}}))
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	r := do(newTLSClient(t, ca, func(c *tls.Config) { c.Certificates = []tls.Certificate{pair} }), "GET", base, nil)
	if r.err != nil {
		t.Fatal(r.err)
	}
	e := ReadEcho(t, strings.NewReader(r.body))
	if got := strings.Join(e.Certificates, ","); got != "caller-1" {
		t.Errorf("the server saw %q, want caller-1", got)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca.PEM()) || !pool.Equal(ca.Pool()) {
		t.Error("PEM and Pool differ")
	}
}

func TestBrokenHandshakes(t *testing.T) {
	verifyNoLeak(t)
	ca := NewCA(t)
	fails("first record does not look like a TLS handshake")(t, do(newTLSClient(t, ca, nil), "GET", TLSGarbage(t).URL, nil))
	fails(syscall.ECONNRESET)(t, do(newTLSClient(t, ca, nil), "GET", TLSReset(t).URL, nil))
	fails(io.EOF)(t, do(newTLSClient(t, ca, nil), "GET", TLSClose(t).URL, nil))

	s := TLSStall(t)
	conn := dial(t, s.Addr)
	_ = conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
	if err := tls.Client(conn, &tls.Config{ServerName: "x"}).Handshake(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("stalled handshake: %v, want the deadline", err)
	}
	_ = conn.Close()
	s.AwaitEnded(1)
}

func TestEchoIsExact(t *testing.T) {
	verifyNoLeak(t)
	s := Echo(t)
	const head = "PATCH //a/../b?q=%7e HTTP/1.1\r\nhost: h.example\r\nX-B: 1\r\nX-A: 2\r\nx-b: 3\r\nX-L: \xfc\r\n" +
		"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
	const body = "2\r\n\x00\xff\r\n0\r\nX-T: t\r\n\r\n"
	answer, err := converse(t, s.Addr, head+body)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(answer, "\r\n\r\n")
	e := ReadEcho(t, strings.NewReader(text))
	var names []string
	for _, f := range e.Header {
		names = append(names, f.Name)
	}
	if got, want := strings.Join(names, " "), "host X-B X-A x-b X-L Transfer-Encoding Connection"; got != want {
		t.Errorf("header order %q, want %q", got, want)
	}
	if got := strings.Join(e.Values("X-b"), ","); got != "1,3" || e.Get("x-a") != "2" {
		t.Errorf("X-B %q, X-A %q, want 1,3 and 2", got, e.Get("x-a"))
	}
	if e.Method != "PATCH" || e.RequestURI != "//a/../b?q=%7e" || e.Host != "h.example" || e.Proto != "HTTP/1.1" {
		t.Errorf("got %s %s %s for %s", e.Method, e.RequestURI, e.Proto, e.Host)
	}
	if string(e.Body) != "\x00\xff" || e.ContentLength != -1 || len(e.TransferEncoding) != 1 || e.Trailer[0].Value != "t" {
		t.Errorf("got body %q, length %d, coding %v, trailer %v", e.Body, e.ContentLength, e.TransferEncoding, e.Trailer)
	}
	if string(e.RawHead) != head || string(e.RawBody) != body {
		t.Errorf("raw bytes differ: %q %q", e.RawHead, e.RawBody)
	}
}

func TestEchoHead(t *testing.T) {
	verifyNoLeak(t)
	s := Echo(t)
	c := newClient(t)
	for range 2 {
		if r := do(c, "HEAD", s.URL, nil); r.err != nil || r.ContentLength <= 0 {
			t.Errorf("HEAD: %+v", r)
		}
	}
	if s.Conns() != 1 {
		t.Errorf("Conns() = %d, want 1", s.Conns())
	}
}

func TestSlowCounts(t *testing.T) {
	verifyNoLeak(t)
	const calls, impatient = 300, 100
	release := make(chan struct{})
	s := Slow(t, release)
	c := newClient(t)
	ctx, hangUp := context.WithCancel(context.Background())
	defer hangUp()
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			ctx := ctx
			if i >= impatient {
				ctx = context.Background()
			}
			req, err := http.NewRequestWithContext(ctx, "POST", s.URL, strings.NewReader("x"))
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := c.Do(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			if (err != nil) != (i < impatient) {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	s.AwaitActive(calls)
	hangUp()
	s.AwaitCancelled(impatient)
	s.AwaitActive(calls - impatient)
	close(release)
	wg.Wait()
	s.AwaitActive(0)
	if s.Done() != calls-impatient || s.Cancelled() != impatient {
		t.Errorf("done %d, cancelled %d, want %d, %d", s.Done(), s.Cancelled(), calls-impatient, impatient)
	}
}

func TestSlowCleanupReleases(t *testing.T) {
	verifyNoLeak(t)
	s := Slow(t, nil)
	conn := dial(t, strings.TrimPrefix(s.URL, "http://"))
	_, _ = io.WriteString(conn, plainGet)
	s.AwaitActive(1)
}
