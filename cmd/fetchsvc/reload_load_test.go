package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// counted is an upstream that counts the connections that it was ever sent.
type counted struct {
	url, host string
	accepted  atomic.Int64
}

func newCounted(t testing.TB, answer http.HandlerFunc) *counted {
	t.Helper()
	c := &counted{}
	s := httptest.NewUnstartedServer(answer)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			c.accepted.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	c.url, c.host = s.URL, strings.TrimPrefix(s.URL, "http://")
	return c
}

// TestReloadsUnderLoad reloads 200 times while calls go on. None fails, the
// upstream that stays the same keeps its connections, and nothing is left behind.
// It is not parallel, as it counts goroutines.
func TestReloadsUnderLoad(t *testing.T) {
	const reloads, workers = 200, 8
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { testpeer.NoLeaks(t, before) }) // after all that follows
	together := make(chan struct{})
	held := make(chan struct{}, workers)
	stays := newCounted(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/together" {
			held <- struct{}{}
			select {
			case <-together:
			case <-r.Context().Done():
			}
		}
	})
	changes := newCounted(t, func(http.ResponseWriter, *http.Request) {})
	file := writeTemp(t, "policy.yaml", "")
	write := func(n int) {
		// The connect clock shapes connections: the pool of this upstream is another.
		text := fmt.Sprintf("upstreams:\n"+
			"  - {name: stays, hosts: [%q], schemes: [http], unsafe_allow_addresses: [127.0.0.0/8]}\n"+
			"  - {name: changes, hosts: [%q], schemes: [http], unsafe_allow_addresses: [127.0.0.0/8], timeouts: {connect: %ds}}\n",
			stays.host, changes.host, 3+n%2)
		must(t, os.WriteFile(file+".new", []byte(text), 0o644))
		must(t, os.Rename(file+".new", file))
	}
	write(0)
	svc, api := serveHere(t, file)
	fetch := func(url string) error {
		res, err := api.Fetch(t.Context(), &fetchsvcv1.FetchRequest{Url: url})
		if err == nil && res.GetStatus() != http.StatusOK {
			err = fmt.Errorf("%s: status %d", url, res.GetStatus())
		}
		return err
	}

	// As many connections as there will ever be calls at once.
	failures := make(chan error, 2*workers)
	var first sync.WaitGroup
	for range workers {
		first.Go(func() {
			if err := fetch(stays.url + "/together"); err != nil {
				failures <- err
			}
		})
	}
	for range workers {
		await(t, "a call that is held", held)
	}
	close(together)
	first.Wait()
	connections := stays.accepted.Load()

	done := make(chan struct{})
	var calls atomic.Int64
	var load sync.WaitGroup
	for i := range workers {
		url := stays.url
		if i%4 == 0 {
			url = changes.url
		}
		load.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := fetch(url); err != nil {
					failures <- err
					return
				}
				calls.Add(1)
			}
		})
	}
	var goroutines int
	for n := range reloads {
		write(n + 1)
		svc.policy.reload(false)
		for since := calls.Load(); calls.Load() < since+workers && len(failures) == 0; {
			runtime.Gosched() // calls go on between two reloads
		}
		if n == reloads/10 {
			goroutines = runtime.NumGoroutine()
		}
	}
	atLast := runtime.NumGoroutine()
	close(done)
	load.Wait()
	close(failures)
	for err := range failures {
		t.Errorf("a call failed: %v", err)
	}
	if got := svc.policy.current().Generation; got != reloads+1 {
		t.Errorf("generation: got %d, want %d: each reload counts", got, reloads+1)
	}
	// net/http drops a connection whose writing goroutine was not heard of for 50 ms
	// behind its request: on a starved machine some go, and by no reload. Were it the
	// reloads, all would go with each.
	if got := stays.accepted.Load(); got >= connections+reloads/2 {
		t.Errorf("connections to the upstream that stays: got %d, want few beside the %d from before the reloads", got, connections)
	}
	if changes.accepted.Load() < 2 {
		t.Error("the upstream that changes was never connected to anew: this test tests nothing")
	}
	// Each connection to an upstream has four goroutines, here and there.
	if atLast > goroutines+4*workers {
		t.Errorf("goroutines: got %d after %d reloads, %d after %d", atLast, reloads, goroutines, reloads/10+1)
	}
	t.Logf("%d calls, %d connections to the upstream that stays, %d to the other, %d goroutines", calls.Load(), connections, changes.accepted.Load(), atLast)
}

// serveHere runs the service in this process, as serve does, with a client.
func serveHere(t testing.TB, file string) (*service, fetchsvcv1.FetchServiceClient) {
	t.Helper()
	policy := newPolicyFile(file, slog.New(slog.DiscardHandler))
	snapshot, err := policy.load()
	must(t, err)
	doors := &doors{doorOptions: &doorOptions{}}
	svc, err := policy.wire(snapshot, doors, nil, &observed{level: new(slog.LevelVar)}, nil)
	must(t, err)
	grpcLis, err := doors.listen("grpc", "127.0.0.1:0", snapshot)
	must(t, err)
	restLis, err := doors.listen("rest", "127.0.0.1:0", snapshot)
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- svc.server.Serve(grpcLis, restLis) }()
	conn, err := grpc.NewClient(grpcLis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	followed, err := svc.policy.start(ctx, true)
	must(t, err)
	t.Cleanup(func() {
		stop()
		followed()
		_ = conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		svc.server.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		svc.close(ctx)
	})
	return svc, fetchsvcv1.NewFetchServiceClient(conn)
}
