package testpeer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"testing"

	"github.com/mccutchen/go-httpbin/v2/httpbin"
)

// HTTPBin serves go-httpbin (/get, /status/503, /delay/1, /sse …) over HTTP/1.1.
func HTTPBin(t testing.TB) (baseURL string) {
	t.Helper()
	return HTTP(t, httpbin.New().Handler())
}

// HTTPBinTLS serves go-httpbin over TLS, as [TLS] does.
func HTTPBinTLS(t testing.TB, cert tls.Certificate, opts TLSOpts) (baseURL string) {
	t.Helper()
	return TLS(t, httpbin.New().Handler(), cert, opts)
}

// HTTP serves handler over plain HTTP/1.1.
func HTTP(t testing.TB, handler http.Handler) (baseURL string) {
	t.Helper()
	return "http://" + serve(t, handler, func(s *http.Server, l net.Listener) error { return s.Serve(l) })
}

// TLSOpts say what a [TLS] server speaks. The zero value is HTTP/1.1 and HTTP/2
// by ALPN, TLS 1.2 and 1.3, no client certificate.
type TLSOpts struct {
	// HTTP1Only and HTTP2Only leave one protocol. An HTTP2Only server fails the
	// handshake of a client that offers others, and hangs up without a byte on one
	// that offers none.
	HTTP1Only, HTTP2Only bool
	// MaxVersion is the newest TLS version spoken, such as tls.VersionTLS11, which
	// a client of today refuses; 0 is the newest there is. HTTP/2 needs 1.2.
	MaxVersion uint16
	// ClientCA, if set, must have signed the client's certificate, without which
	// the handshake fails.
	ClientCA *x509.CertPool
}

// TLS serves handler with cert.
func TLS(t testing.TB, handler http.Handler, cert tls.Certificate, opts TLSOpts) (baseURL string) {
	t.Helper()
	return "https://" + serve(t, handler, func(s *http.Server, l net.Listener) error {
		s.TLSConfig = opts.config(cert)
		s.Protocols = new(http.Protocols)
		s.Protocols.SetHTTP1(!opts.HTTP2Only)
		s.Protocols.SetHTTP2(!opts.HTTP1Only && !opts.old())
		return s.ServeTLS(l, "", "")
	})
}

// old says that only versions before TLS 1.2 are spoken.
func (o TLSOpts) old() bool { return o.MaxVersion != 0 && o.MaxVersion < tls.VersionTLS12 }

func (o TLSOpts) config(cert tls.Certificate) *tls.Config {
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: o.MaxVersion}
	if o.old() {
		config.MinVersion = tls.VersionTLS10
	}
	if o.ClientCA != nil {
		config.ClientCAs = o.ClientCA
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config
}

// httpServer is an http.Server that can be waited for.
type httpServer struct {
	http.Server
	watch    watch
	conns    int
	handlers int
	stopped  bool
}

// serve runs handler on a listener of its own by way of start, until cleanup.
func serve(t testing.TB, handler http.Handler, start func(*http.Server, net.Listener) error) (addr string) {
	t.Helper()
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	s := &httpServer{}
	s.ErrorLog = log.New(io.Discard, "", 0)
	s.BaseContext = func(net.Listener) context.Context { return ctx }
	s.ConnState = s.count
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.watch.update(func() { s.handlers++ })
		defer s.watch.update(func() { s.handlers-- })
		handler.ServeHTTP(w, r)
	})
	go func() {
		_ = start(&s.Server, l)
		s.watch.update(func() { s.stopped = true })
	}()
	t.Cleanup(func() {
		cancel()
		s.close(t, l)
	})
	return l.Addr().String()
}

func (s *httpServer) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.watch.update(func() { s.conns++ })
	case http.StateClosed, http.StateHijacked:
		s.watch.update(func() { s.conns-- })
	}
}

// close hangs up on everyone and waits for the handlers. The second Close is for
// a connection that was accepted during the first.
func (s *httpServer) close(t testing.TB, l net.Listener) {
	_ = l.Close()
	_ = s.Close()
	ok := s.watch.settled(func() bool { return s.stopped })
	_ = s.Close()
	if !ok || !s.watch.settled(func() bool { return s.conns <= 0 && s.handlers == 0 }) {
		s.watch.read(func() {
			t.Errorf("testpeer: %d handlers on %d connections still run %v after their server was closed",
				s.handlers, s.conns, patience)
		})
	}
}
