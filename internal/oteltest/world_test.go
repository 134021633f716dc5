package oteltest

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// program is built once for all tests.
var program Program

func TestMain(m *testing.M) { testpeer.Main(m, program.Close) }

// peers are the servers of a scenario by name.
type peers map[string]*testpeer.RawServer

// world is a scenario by one door: the service, its peers and its collector.
type world struct {
	*testing.T
	door    string
	peers   peers
	sink    *Sink
	service *Service
	env     []string    // of the service
	header  http.Header // of all calls
	api     *grpc.ClientConn
	web     *http.Client
	gate    chan struct{} // what a peer's script may wait for

	mu     sync.Mutex        // peers ask for places too
	places map[string]string // host:port by name, of those that are no peers too
}

// place notes where something is.
func (w *world) place(name, at string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.places[name] = at
}

// enter starts the service for a scenario.
func (s *scenario) enter(t *testing.T, door string) *world {
	t.Helper()
	w := &world{T: t, door: door, peers: peers{}, places: map[string]string{}, sink: NewSink(t), header: http.Header{}, gate: make(chan struct{})}
	for name, script := range s.peers {
		w.peers[name] = testpeer.Raw(t, script(w))
	}
	for name, p := range w.peers {
		w.place(name, p.Addr)
	}
	if s.also != nil {
		s.also(w)
	}
	w.place("closed", testpeer.ClosedPort(t))
	env := append(w.env, "TOKEN=token-of-the-test", "KEY_SHA256="+sum(callerKey), "OTHER_SHA256="+sum("other"))
	w.service = program.Start(t, w.sink, w.fill(s.policy), append(env, s.env...), s.args...)
	conn, err := grpc.NewClient(w.service.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	w.api, w.web = conn, &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		_ = conn.Close()
		w.web.CloseIdleConnections()
	})
	return w
}

// callerKey is the API key of caller `billing`, where a policy has it.
const callerKey = "key-of-billing"

func sum(key string) string {
	h := sha256.Sum256([]byte(key))
	return hex.EncodeToString(h[:])
}

// fill puts the peers' addresses into a text that has {NAME}, or {NAME.port}.
func (w *world) fill(text string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, at := range w.places {
		_, port, _ := net.SplitHostPort(at)
		text = strings.NewReplacer("{"+name+"}", at, "{"+name+".port}", port).Replace(text)
	}
	return text
}

// words is fill undone.
func (w *world) words() Words {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := Words{Ports: map[int64]string{}}
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(w.places)) {
		_, port, _ := net.SplitHostPort(w.places[name])
		n, _ := strconv.ParseInt(port, 10, 64)
		out.Ports[n] = name + ".port"
		pairs = append(pairs, w.places[name], "{"+name+"}", ":"+port, ":{"+name+".port}")
	}
	out.Texts = strings.NewReplacer(pairs...)
	return out
}

// collected awaits a metric at the collector.
func (w *world) collected(name string) {
	w.Helper()
	for late := time.Now().Add(patience); time.Now().Before(late); time.Sleep(5 * time.Millisecond) {
		for _, m := range w.sink.Metrics() {
			if m.GetName() == name {
				return
			}
		}
	}
	w.Fatalf("the collector never gets %s", name)
}

// gauge awaits a value of /metrics.
func (w *world) gauge(line string) {
	w.Helper()
	for late := time.Now().Add(patience); time.Now().Before(late); time.Sleep(5 * time.Millisecond) {
		if strings.Contains(w.ask(w.Context(), http.MethodGet, "/metrics", ""), "\n"+line+"\n") {
			return
		}
	}
	w.Fatalf("/metrics never has %s", line)
}

// end stops the service and gives the spans that came.
func (w *world) end() string {
	w.Helper()
	log := w.service.Stop()
	if strings.Contains(log, "telemetry is not") {
		w.Errorf("the log says:\n%s", log)
	}
	return Tree(w.sink.Spans(), w.words())
}
