package ssrftest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// policyText lets calls go to any host, so that the guard is all that stands
// before forbidden addresses; one address is open.
const policyText = `
upstreams:
  - name: anywhere
    hosts: ["*:*"]
    schemes: [http, https]
  - name: door
    hosts: ["door.test:*", "*.door.test:*"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.99.0.1]
    grants: [unsafe_request_host, request_proxy]
`

// openAddress is the one that policy opens.
const openAddress = "127.99.0.1"

// trap listens where no call may arrive.
type trap struct {
	port  string
	hosts []string // where the listeners are

	mu    sync.Mutex
	heard []string // what was reached, and from where
}

// newTrap listens on loopback; where every address is this machine's, on all.
func newTrap(t testing.TB) *trap {
	t.Helper()
	tr := &trap{}
	first, err := net.Listen("tcp", at("127.0.0.1", "0"))
	if everywhere() {
		first, err = net.Listen("tcp", "[::]:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	all := []net.Listener{first}
	tr.hosts = []string{"127.0.0.1"}
	_, tr.port, _ = net.SplitHostPort(first.Addr().String())
	for _, host := range []string{"127.0.0.2", "127.1.2.3", "127.255.255.254", "::1"} {
		if everywhere() {
			break
		}
		l, err := net.Listen("tcp", at(host, tr.port))
		if err != nil {
			t.Logf("no trap on %s: %v", host, err)
			continue
		}
		all, tr.hosts = append(all, l), append(tr.hosts, host)
	}
	var done sync.WaitGroup
	for _, l := range all {
		done.Go(func() { tr.serve(l) })
	}
	t.Cleanup(func() {
		for _, l := range all {
			_ = l.Close()
		}
		done.Wait()
	})
	return tr
}

func at(host, port string) string { return net.JoinHostPort(host, port) }

func (tr *trap) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		tr.mu.Lock()
		tr.heard = append(tr.heard, c.LocalAddr().String()+" from "+c.RemoteAddr().String())
		tr.mu.Unlock()
		_ = c.Close()
	}
}

// take gives what was heard since the last time.
func (tr *trap) take() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	heard := tr.heard
	tr.heard = nil
	return heard
}

// silent fails the test if anything arrived, what waits to be accepted included.
func (tr *trap) silent(t *testing.T) {
	t.Helper()
	for _, host := range tr.hosts {
		c, err := net.Dial("tcp", at(host, tr.port)) // queues behind the others
		if err != nil {
			t.Errorf("the trap on %s is gone: %v", host, err)
			continue
		}
		_, _ = c.Read(make([]byte, 1)) // until it was counted
		own := c.RemoteAddr().String() + " from " + c.LocalAddr().String()
		_ = c.Close()
		tr.mu.Lock()
		if i := slices.Index(tr.heard, own); i >= 0 {
			tr.heard = slices.Delete(tr.heard, i, i+1)
		} else {
			t.Errorf("the trap on %s did not hear %s", host, own)
		}
		tr.mu.Unlock()
	}
	if heard := tr.take(); len(heard) > 0 {
		t.Errorf("forbidden addresses were reached: %v", heard)
	}
}

// resolver answers by table, one answer for each time that it is asked; the last
// one repeats. Names of the table end in .test.
type resolver struct {
	asked atomic.Int64
	mu    sync.Mutex
	table map[string][][]string
}

func (r *resolver) set(host string, answers ...[]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.table[host] = answers
}

func (r *resolver) LookupNetIP(_ context.Context, _, host string) (out []netip.Addr, err error) {
	r.asked.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	answers := r.table[host]
	if len(answers) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	for _, s := range answers[0] {
		out = append(out, netip.MustParseAddr(s))
	}
	if len(answers) > 1 {
		r.table[host] = answers[1:]
	}
	return out, nil
}

// world is the engine among traps and one open door.
type world struct {
	*trap
	names  *resolver
	pools  *egress.Pools
	engine *fetch.Engine
	// open and secure are the door's host:port, plain and in TLS.
	open, secure string
}

func newWorld(t testing.TB, more ...func(*egress.Config)) *world {
	t.Helper()
	return newWorldOf(t, policyText, more...)
}

func newWorldOf(t testing.TB, text string, more ...func(*egress.Config)) *world {
	t.Helper()
	w := &world{trap: newTrap(t), names: &resolver{table: map[string][][]string{}}}
	ca := testpeer.NewCA(t)
	_, port, _ := net.SplitHostPort(serve(t, nil, nil))
	w.open = "door.test:" + port
	cert := ca.Issue(testpeer.CertOpts{Names: []string{"door.test"}})
	_, port, _ = net.SplitHostPort(serve(t, nil, &cert))
	w.secure = "door.test:" + port
	w.names.set("door.test", []string{openAddress})
	for _, local := range []string{"localhost", "localhost.localdomain"} {
		w.names.set(local, []string{"127.0.0.1", "::1"})
	}
	snapshot, err := policy.Parse("ssrftest.yaml", []byte(text), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := egress.Config{Resolver: w.names, RootCAs: ca.Pool()}
	for _, f := range more {
		f(&cfg)
	}
	w.pools = egress.NewPools(cfg)
	t.Cleanup(w.pools.Close)
	w.engine = fetch.New(fetch.Config{Pools: w.pools, UserAgent: "fetchsvc/ssrftest"})
	w.engine.Use(snapshot)
	return w
}

// outcome is what became of a URL.
type outcome string

const (
	malformed outcome = "malformed" // refused as no URL, before anything
	refused   outcome = "refused"   // by the guard
	safe      outcome = "safe"      // the open door answered
)

// request reads a URL as the doors do.
func request(url string) (*fetch.Request, error) {
	u, err := target.Parse(url)
	if err != nil {
		return nil, err
	}
	return &fetch.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}, nil
}

// do makes a whole call, and a streamed one, which must come to the same.
func (w *world) do(t *testing.T, url string) (outcome, error) {
	t.Helper()
	req, err := request(url)
	if err != nil {
		return malformed, err
	}
	res, err := w.engine.Do(t.Context(), req)
	whole := of(err)
	if err == nil && res.Header.Get("X-Door") == "" {
		t.Errorf("%s was answered by somebody else", url)
	}
	again, _ := request(url)
	live, _, err2 := w.engine.Open(t.Context(), again)
	if err2 == nil {
		_, _ = io.Copy(io.Discard, live)
		live.Close()
	}
	if streamed := of(err2); streamed != whole {
		t.Errorf("%s: whole it is %s (%v), streamed %s (%v)", url, whole, err, streamed, err2)
	}
	return whole, err
}

func of(err error) outcome {
	switch {
	case err == nil:
		return safe
	case errors.Is(err, fault.AddressDenied):
		return refused
	}
	return outcome(err.Error())
}

// attack is a URL and what must become of it.
type attack struct {
	name, url string
	want      outcome
}

// run makes all attacks and holds the traps to be silent after each.
func (w *world) run(t *testing.T, all []attack) {
	t.Helper()
	for _, a := range all {
		if got, err := w.do(t, a.url); got != a.want {
			t.Errorf("%s: %q is %s (%v), want %s", a.name, a.url, got, err, a.want)
		}
		if heard := w.take(); len(heard) > 0 {
			t.Errorf("%s: %q reached %v", a.name, a.url, heard)
		}
	}
	w.silent(t)
	t.Logf("%d attacks", len(all))
}

// serve starts a server on the open address; a nil handler is the door's.
func serve(t testing.TB, h http.Handler, cert *tls.Certificate) string {
	t.Helper()
	if h == nil {
		h = http.HandlerFunc(door)
	}
	l, err := net.Listen("tcp", at(openAddress, "0"))
	if err != nil {
		t.Skipf("this machine has no %s: %v", openAddress, err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	if cert != nil {
		s.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}}
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return l.Addr().String()
}

// door answers, redirects if asked to, and tells callers where else to go.
func door(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	w.Header().Set("X-Door", r.Host)
	if r.URL.Path == "/hints" {
		for _, name := range []string{"Alt-Svc", "Refresh", "Content-Location", "Link", "Location"} {
			w.Header().Set(name, strings.ReplaceAll(map[string]string{
				"Alt-Svc": `h2="TRAP", http/1.1="TRAP"; persist=1`, "Refresh": "0; url=http://TRAP/",
				"Content-Location": "http://TRAP/", "Link": "<http://TRAP/>; rel=preload", "Location": "http://TRAP/",
			}[name], "TRAP", q.Get("trap")))
		}
		return
	}
	status := map[string]int{"301": 301, "302": 302, "303": 303, "307": 307, "308": 308}[q.Get("status")]
	if status == 0 || r.URL.Path != "/to" {
		_, _ = io.WriteString(w, "door")
		return
	}
	w.Header()["Location"] = []string{q.Get("location")}
	w.WriteHeader(status)
}
