package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// names is a resolver by table, and counts what it was asked.
type names struct {
	table map[string][]string

	mu    sync.Mutex
	asked map[string]int
}

func (n *names) LookupNetIP(_ context.Context, _, host string) (all []netip.Addr, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.asked == nil {
		n.asked = map[string]int{}
	}
	n.asked[host]++
	for _, s := range n.table[host] {
		all = append(all, netip.MustParseAddr(s))
	}
	if all == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return all, nil
}

func (n *names) count(host string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[host]
}

// vault is a table of secrets that a test may change.
type vault struct {
	mu    sync.Mutex
	table map[string]string
}

func (v *vault) set(ref, value string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.table == nil {
		v.table = map[string]string{}
	}
	v.table[ref] = value
}

func (v *vault) Get(ref string) (secret.Value, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, ok := v.table[ref]
	if !ok {
		return secret.Value{}, errors.New("secret " + ref + ": none")
	}
	return secret.NewValue(s), nil
}

func (v *vault) GetPEM(ref string) (secret.Value, error) { return v.Get(ref) }

// got is what a request came to.
type got struct {
	status    int
	body      string
	proto     string
	dialed    Dialed
	reused    bool
	resumed   bool
	written   int64
	exclusive bool
	closed    *atomic.Int64 // by how many words of OnClose
}

// fetch sends a GET through rt and reads the answer.
func fetch(t *testing.T, rt http.RoundTripper, target string) (got, error) {
	t.Helper()
	g := got{closed: &atomic.Int64{}}
	var rec Record
	ctx := WithRecord(t.Context(), &rec, 0)
	var conn net.Conn
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		conn, g.reused = i.Conn, i.Reused
		g.written, g.exclusive = Written(i.Conn)
		OnClose(i.Conn, func() { g.closed.Add(1) })
	}})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := rt.RoundTrip(req)
	g.dialed = rec.Dialed()
	if err != nil {
		return g, RoundTripFault(ctx, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return g, err
	}
	after, _ := Written(conn)
	g.written = after - g.written
	g.status, g.body, g.proto = res.StatusCode, string(body), res.Proto
	g.resumed = res.TLS != nil && res.TLS.DidResume
	return g, nil
}

// proxyAt is a policy's proxy without a password.
func proxyAt(scheme, addr string) *policy.Proxy {
	host, text, _ := net.SplitHostPort(addr)
	port, _ := strconv.ParseUint(text, 10, 16)
	return &policy.Proxy{Scheme: scheme, Host: host, Port: uint16(port)}
}

// portOf is the port of a URL or of host:port.
func portOf(t *testing.T, s string) string {
	t.Helper()
	if u, err := url.Parse(s); err == nil && u.Host != "" {
		return u.Port()
	}
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// hello is a handler that names the host it was asked for.
var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello from ", r.Host) })
