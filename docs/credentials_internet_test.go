package docs_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// stubInternet is every host by https, behind one proxy.
type stubInternet struct {
	proxy string // host:port

	ca *testpeer.CA

	mu      sync.Mutex
	certs   map[string]*tls.Certificate
	arrived []arrival
	// issued are secrets that the hosts made. Set before the first call.
	issued []string
}

// arrival is a request as a host got it.
type arrival struct {
	*http.Request
	body []byte
	// presented is the common name of the client's certificate; empty: none.
	presented string
}

// form is the body as a form.
func (a arrival) form() url.Values {
	form, _ := url.ParseQuery(string(a.body))
	return form
}

func newStubInternet(t *testing.T, ca *testpeer.CA, answers map[string]http.HandlerFunc) *stubInternet {
	n := &stubInternet{ca: ca, certs: map[string]*tls.Certificate{}}
	hosts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a := arrival{Request: r.Clone(r.Context()), body: body}
		if len(r.TLS.PeerCertificates) > 0 {
			a.presented = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		n.mu.Lock()
		n.arrived = append(n.arrived, a)
		n.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		if answer := answers[r.Host]; answer != nil {
			answer(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"url": r.URL.String(), "headers": r.Header})
	}))
	hosts.TLS = &tls.Config{GetCertificate: n.certificate, ClientAuth: tls.RequestClientCert}
	hosts.StartTLS()
	t.Cleanup(hosts.Close)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		splice(w, hosts.Listener.Addr().String())
	}))
	t.Cleanup(proxy.Close)
	n.proxy = proxy.Listener.Addr().String()
	return n
}

// certificate makes one for any host.
func (n *stubInternet) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.certs[hello.ServerName] == nil {
		cert := n.ca.Issue(testpeer.CertOpts{Names: []string{hello.ServerName}})
		n.certs[hello.ServerName] = &cert
	}
	return n.certs[hello.ServerName], nil
}

// to gives what arrived at a host.
func (n *stubInternet) to(host string) (all []arrival) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range n.arrived {
		if a.Host == host {
			all = append(all, a)
		}
	}
	return all
}

// splice makes a connection of w's one to addr.
func splice(w http.ResponseWriter, addr string) {
	up, err := net.Dial("tcp", addr)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer up.Close()
	down, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer down.Close()
	_, _ = io.WriteString(down, "HTTP/1.1 200 Connection established\r\n\r\n")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(up, down)
		_ = up.Close()
	}()
	_, _ = io.Copy(down, up)
	_ = down.Close()
	<-ended
}

// tokens answers as a token endpoint does: with the given access tokens, one after
// the other, and refresh tokens where there are any.
func tokens(access []string, refresh ...string) http.HandlerFunc {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if n >= len(access) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		answer := map[string]any{"access_token": access[n], "token_type": "Bearer", "expires_in": 3600}
		if n < len(refresh) {
			answer["refresh_token"] = refresh[n]
		}
		n++
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}
}
