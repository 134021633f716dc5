package contract

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// until asks again and again whether something has come to pass.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for late := time.Now().Add(time.Minute); !ok(); <-again.C {
		if time.Now().After(late) {
			t.Fatalf("it does not come to pass: %s", what)
		}
	}
}

// TestCertificateRotatesUnderLoad: while callers come and go, the certificate and
// then its key are replaced. No call fails; in between, the old pair serves.
func TestCertificateRotatesUnderLoad(t *testing.T) {
	g := newGuarded(t)
	before := served(t, g.grpc, g.ca.Pool(), "h2")
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	defer callers.Wait()
	defer stop()
	var calls, failures counter
	for range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				if err := g.comeAndGo(ctx); err != nil && ctx.Err() == nil {
					failures.add(err.Error())
				}
				calls.add("")
			}
		})
	}
	certificate, key := testpeer.PEM(t, g.ca.Issue(testpeer.CertOpts{}))
	replace(t, g.files.Cert, certificate)
	until(t, "a certificate without its key is noticed", func() bool { return strings.Contains(g.log.String(), "are no certificate and its key") })
	for door, protocol := range map[string]string{g.grpc: "h2", g.rest: "http/1.1"} {
		if got := served(t, door, g.ca.Pool(), protocol); !got.Equal(before) {
			t.Errorf("a certificate without its key is served as number %v", got.SerialNumber)
		}
	}
	n := calls.count()
	until(t, "calls are made in between", func() bool { return calls.count() > n+20 })
	replace(t, g.files.Key, key)
	for door, protocol := range map[string]string{g.grpc: "h2", g.rest: "http/1.1"} {
		until(t, "the new certificate is served", func() bool { return !served(t, door, g.ca.Pool(), protocol).Equal(before) })
	}
	n = calls.count()
	until(t, "calls are made after it", func() bool { return calls.count() > n+20 })
	stop()
	callers.Wait()
	if n := failures.count(); n > 0 {
		t.Errorf("%d of %d calls failed, one with %s", n, calls.count(), failures.one())
	}
	t.Logf("%d calls", calls.count())
}

// comeAndGo makes a call by each door, on connections of its own.
func (g *guarded) comeAndGo(ctx context.Context) error {
	config := &tls.Config{RootCAs: g.ca.Pool()}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+g.rest+"/v1/policy:snapshot", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+keyOf["billing"])
	res, err := web.Do(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(g.grpc, grpc.WithTransportCredentials(credentials.NewTLS(config.Clone())))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = fetchsvcv1.NewPolicyServiceClient(conn).GetSnapshot(metadataOf(ctx, r.Header), &fetchsvcv1.GetSnapshotRequest{})
	return err
}

// counter counts, and keeps one text.
type counter struct {
	mu   sync.Mutex
	n    int
	text string
}

func (c *counter) add(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n, c.text = c.n+1, text
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *counter) one() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text
}

// TestAuthorityIsTakenAway: a connection that was made under an authority proves
// nothing any more once that is gone, and new ones are not made.
func TestAuthorityIsTakenAway(t *testing.T) {
	g := newGuarded(t)
	c := g.client(t, nil, g.identity("billing"))
	doors := map[string]func(*testing.T) (string, *answer){"gRPC": c.whoOverGRPC, "REST": c.whoOverREST}
	for door, who := range doors {
		if name, refused := who(t); name != "billing" {
			t.Fatalf("over %s the caller is %q (%v), want billing", door, name, refused)
		}
	}
	other := testpeer.NewCA(t)
	replace(t, g.files.ClientCA, []byte("-----BEGIN CERTIFICATE-----\ntorn"))
	until(t, "a bundle that is torn is noticed", func() bool { _, _ = c.whoOverGRPC(t); return strings.Contains(g.log.String(), "clients.pem") })
	if name, refused := c.whoOverGRPC(t); name != "billing" {
		t.Errorf("a bundle that is torn makes the caller %q (%v), want what was before", name, refused)
	}
	replace(t, g.files.ClientCA, other.PEM())
	for door, who := range doors {
		var last *answer
		until(t, "the authority is taken away over "+door, func() bool { _, last = who(t); return last != nil })
		if last.Kind != "UNAUTHENTICATED" || !strings.Contains(last.Message, "trusted no more") {
			t.Errorf("over %s it ends with %s %q, want UNAUTHENTICATED and why", door, last.Kind, last.Message)
		}
	}
	fresh := newClient(t, g, &tls.Config{RootCAs: g.ca.Pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		cert := g.identity("billing")
		return &cert, nil
	}}, nil)
	if name, refused := fresh.whoOverGRPC(t); refused == nil || refused.Code != "UNAVAILABLE" {
		t.Errorf("a new connection makes the caller %q (%v), want none", name, refused)
	}
	g.staff = other
	if name, refused := g.client(t, nil, g.identity("shipping")).whoOverREST(t); name != "shipping" {
		t.Errorf("under the new authority the caller is %q (%v), want shipping", name, refused)
	}
}

// TestDoorsSpeakTLS: nothing else, and nothing old.
func TestDoorsSpeakTLS(t *testing.T) {
	g := newGuarded(t)
	for _, door := range []string{g.grpc, g.rest} {
		for _, c := range []struct {
			name      string
			config    *tls.Config
			negotiate string // empty: no handshake
		}{
			{"HTTP/2", &tls.Config{NextProtos: []string{"h2", "http/1.1"}}, "h2"},
			{"TLS 1.2", &tls.Config{NextProtos: []string{"h2"}, MaxVersion: tls.VersionTLS12}, "h2"},
			{"TLS 1.1", &tls.Config{NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, ""},
			{"another protocol", &tls.Config{NextProtos: []string{"smtp"}}, ""},
		} {
			c.config.RootCAs = g.ca.Pool()
			conn, err := tls.Dial("tcp", door, c.config)
			if (err == nil) != (c.negotiate != "") {
				t.Errorf("%s with %s: %v", c.name, door, err)
			}
			if err != nil {
				continue
			}
			if got := conn.ConnectionState().NegotiatedProtocol; got != c.negotiate {
				t.Errorf("%s with %s negotiates %q, want %q", c.name, door, got, c.negotiate)
			}
			conn.Close()
		}
	}
	plain, err := grpc.NewClient(g.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	c := &client{conn: plain, header: bearer(keyOf["billing"])}
	if name, refused := c.whoOverGRPC(t); refused == nil {
		t.Errorf("plaintext gRPC makes the caller %q, want none", name)
	}
	conn, err := net.Dial("tcp", g.rest)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /readyz HTTP/1.1\r\nHost: "+g.rest+"\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != http.StatusBadRequest {
		t.Errorf("plaintext REST is answered with %v, %v, want 400", res, err)
	}
}

// TestStreamsOverTLS: a stream's failure is its last line and then an end that is
// none, over HTTP/1.1 and HTTP/2; and a stream that ends well keeps its connection.
func TestStreamsOverTLS(t *testing.T) {
	g := newGuarded(t)
	torn := testpeer.Raw(t, testpeer.CutBody)
	whole := testpeer.Raw(t, testpeer.EchoScript)
	at := func(url string) string {
		return `{"start":{"url":"` + strings.Replace(url, "127.0.0.1", "staff.test", 1) + `","retry":{"max_attempts":1}}}`
	}
	for version, protocols := range map[int][]string{1: {"http/1.1"}, 2: {"h2"}} {
		c := g.client(t, bearer(keyOf["billing"]))
		c.web = &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: g.ca.Pool(), NextProtos: protocols}, ForceAttemptHTTP2: version == 2,
		}}
		t.Cleanup(c.web.CloseIdleConnections)
		reused := 0
		for range 3 {
			r := c.request(t, "/v1/stream", at(whole.URL))
			r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
				if i.Reused {
					reused++
				}
			}}))
			res, err := c.web.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || res.ProtoMajor != version || !strings.Contains(string(text), `"end":`) {
				t.Errorf("HTTP/%d: a stream ends with %v over HTTP/%d: %s", version, err, res.ProtoMajor, text)
			}
		}
		if version == 2 && reused != 2 {
			t.Errorf("HTTP/2: %d streams of 3 came by the connection of the first, want 2", reused)
		}
		res, err := c.web.Do(c.request(t, "/v1/stream", at(torn.URL)))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		if err == nil || !strings.HasPrefix(lines[len(lines)-1], `{"error":`) || !strings.Contains(string(text), "BODY_CUT_SHORT") {
			t.Errorf("HTTP/%d: a torn stream ends with %v after %s; want an error line and a broken end", version, err, text)
		}
	}
}

func (c *client) request(t *testing.T, path, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.rest+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = c.header.Clone()
	return r
}
