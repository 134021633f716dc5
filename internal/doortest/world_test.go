package doortest

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/server"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// policyText lets callers have more calls in flight than any row begins: their limits
// are tested elsewhere, and all are anonymous here.
const policyText = `
caller_limits: {concurrent: 50000}
defaults:
  timeouts: {total: 60s}
upstreams:
  - name: local
    hosts: ["127.0.0.1:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.1]
    sizes: {response: 8MiB}
`

// patience ends a wait that nothing else ended: a failure, and no assertion about
// time.
const patience = 2 * time.Minute

// soon is the clock that an attack runs into. Good callers are under the same, on a
// machine that may stand still for as long: see lenient.
const soon = 2 * time.Second

// world is the service in this process, on real listeners, with a good caller at
// each door.
type world struct {
	grpc, rest string // addresses
	upstream   *upstream
	log        *journal
	// clock is the shortest that its callers are under; 0: none that they could meet.
	clock time.Duration

	tls  *tls.Config // of clients; nil: the doors speak plaintext
	conn *grpc.ClientConn
	web  *http.Client
}

// journal is the service's log.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// upstream is where calls go. It gives ?n= bytes, or without end where n is below 0,
// and counts the latter.
type upstream struct {
	*httptest.Server
	mu      sync.Mutex
	endless int // calls that ask for a body without end, so far
	active  int // and of these, those that are under way
	changed chan struct{}
}

func newUpstream(t testing.TB) *upstream {
	u := &upstream{changed: make(chan struct{})}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		n, err := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
		if err != nil {
			fmt.Fprint(w, "ok")
			return
		}
		if n < 0 {
			u.count(1)
			defer u.count(-1)
		}
		block := make([]byte, 64<<10)
		for n != 0 {
			part := block
			if n > 0 {
				part = block[:min(n, int64(len(block)))]
				n -= int64(len(part))
			}
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	}))
	u.Config.SetKeepAlivesEnabled(false) // a connection for later calls is no leak
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) count(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.endless += max(n, 0)
	u.active += n
	close(u.changed)
	u.changed = make(chan struct{})
}

// awaitGone blocks until a body without end was asked for, and is asked for no more.
func (u *upstream) awaitGone(t testing.TB) {
	t.Helper()
	late := time.After(patience)
	for {
		u.mu.Lock()
		gone, changed := u.endless > 0 && u.active == 0, u.changed
		u.mu.Unlock()
		if gone {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Error("the upstream still sends what nobody takes")
			return
		}
	}
}

// newWorld serves a row. Clocks that it does not set are long, so that a machine that
// stands still meets no others.
func newWorld(t *testing.T, r row) *world {
	t.Helper()
	bounds := r.bounds
	bounds.Handshake = cmp.Or(bounds.Handshake, patience)
	bounds.Message = cmp.Or(bounds.Message, patience)
	snapshot, err := policy.Parse("doortest.yaml", []byte(policyText), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{log: &journal{}, upstream: newUpstream(t), clock: r.clock()}
	pools := egress.NewPools(egress.Config{})
	t.Cleanup(pools.Close)
	engine := fetch.New(fetch.Config{Pools: pools, UserAgent: "fetchsvc/doortest"})
	engine.Use(snapshot)
	config := server.Config{Engine: engine, Log: slog.New(slog.NewTextHandler(w.log, nil)), Bounds: bounds}
	if r.tls {
		config.TLS, w.tls = certify(t, config.Log)
	}
	srv, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	grpcLis, restLis := listen(t), listen(t)
	w.grpc, w.rest = grpcLis.Addr().String(), restLis.Addr().String()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(grpcLis, restLis) }()
	t.Cleanup(func() {
		srv.Stop() // attackers do not leave by themselves
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	w.conn, w.web = w.callers(t)
	return w
}

// certify gives the doors' TLS, and that of their clients.
func certify(t *testing.T, log *slog.Logger) (*server.TLS, *tls.Config) {
	t.Helper()
	ca := testpeer.NewCA(t)
	certPEM, keyPEM := testpeer.PEM(t, ca.Issue(testpeer.CertOpts{}))
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, data := range map[string][]byte{cert: certPEM, key: keyPEM} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	doors, err := server.NewTLS(server.TLSFiles{Cert: cert, Key: key, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return doors, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1"}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// callers make a good caller's connections, which close with the test.
func (w *world) callers(t testing.TB) (*grpc.ClientConn, *http.Client) {
	t.Helper()
	creds := insecure.NewCredentials()
	if w.tls != nil {
		creds = credentials.NewTLS(w.tls)
	}
	conn, err := grpc.NewClient(w.grpc, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: w.tls}}
	t.Cleanup(func() {
		_ = conn.Close()
		web.CloseIdleConnections()
	})
	return conn, web
}
