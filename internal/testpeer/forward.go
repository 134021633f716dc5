package testpeer

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
)

// Forward is a forward proxy of our own, for what the real ones do not offer:
// TLS towards the client, and a record of what it was asked.
type Forward struct {
	// Addr is host:port.
	Addr string

	username, password string

	mu    sync.Mutex
	asked []Asked
}

// Asked is one request to a proxy.
type Asked struct {
	// Method and Target are of the request line: CONNECT host:port, or a method and
	// an absolute URL.
	Method, Target string
	// Authorization is the Proxy-Authorization field.
	Authorization string
	// Host is the Host field.
	Host string
}

// NewForward starts a Forward: inside TLS if cert is not nil, with basic
// authentication if there is a user name.
func NewForward(t testing.TB, cert *tls.Certificate, username, password string) *Forward {
	t.Helper()
	f := &Forward{username: username, password: password}
	f.Addr = serve(t, f, func(s *http.Server, l net.Listener) error {
		if cert == nil {
			return s.Serve(l)
		}
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{"http/1.1"}}
		return s.ServeTLS(l, "", "")
	})
	return f
}

// Asked gives the requests so far.
func (f *Forward) Asked() []Asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Asked(nil), f.asked...)
}

// ServeHTTP is the proxy.
func (f *Forward) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked = append(f.asked, Asked{r.Method, r.RequestURI, r.Header.Get("Proxy-Authorization"), r.Host})
	f.mu.Unlock()
	if f.username != "" {
		check := &http.Request{Header: http.Header{"Authorization": {r.Header.Get("Proxy-Authorization")}}}
		if user, password, ok := check.BasicAuth(); !ok || user != f.username || password != f.password {
			w.Header().Set("Proxy-Authenticate", `Basic realm="forward"`)
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
	}
	if r.Method != http.MethodConnect {
		f.forward(w, r)
		return
	}
	up, err := net.Dial("tcp", r.RequestURI)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			w.Header().Set("Proxy-Status", "forward; error=connection_refused") // RFC 9209
		}
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer up.Close()
	down, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer down.Close()
	stop := context.AfterFunc(r.Context(), func() { _ = up.Close(); _ = down.Close() })
	defer stop()
	_, _ = io.WriteString(down, "HTTP/1.1 200 Connection established\r\n\r\n")
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(up, buffered); _ = up.Close() })
	_, _ = io.Copy(down, up)
	_ = down.Close()
	wg.Wait()
}

// forward passes on a request in absolute form.
func (f *Forward) forward(w http.ResponseWriter, r *http.Request) {
	out := r.Clone(r.Context())
	out.RequestURI = ""
	out.Header.Del("Proxy-Authorization")
	tr := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	res, err := tr.RoundTrip(out)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer res.Body.Close()
	for name, values := range res.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body)
}
