package server

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// Shutdown stops taking calls, waits for those in flight until ctx ends, then
// cuts them off. Serve returns after it.
//
// The gRPC door says GOAWAY, so that clients go elsewhere at once. HTTP/1.1 has
// no such word: the REST door stays open while calls are in flight, answers
// new ones SHUTTING_DOWN, and /readyz with 503.
func (s *Server) Shutdown(ctx context.Context) {
	s.ready.Store(false)
	s.health.Shutdown()
	idle := s.calls.close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.grpc.GracefulStop()
		select {
		case <-idle:
			_ = s.rest.Shutdown(ctx)
		case <-ctx.Done():
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.Stop()
		<-done
		select { // net/http does not wait for the handlers it cut off, and each has a line to write
		case <-idle:
		case <-time.After(lastWords):
		}
	}
}

// lastWords is how long handlers that were cut off may take to end.
const lastWords = 2 * time.Second

// Stop cuts everything off at once.
func (s *Server) Stop() {
	s.ready.Store(false)
	s.grpc.Stop()
	_ = s.rest.Close()
}

// gate counts the calls of the REST door and, once closed, lets none in.
type gate struct {
	mu       sync.Mutex
	inFlight int
	closed   bool
	idle     chan struct{} // made by close, closed when the last call has left
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inFlight++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inFlight--; g.closed && g.inFlight == 0 {
		close(g.idle)
	}
}

// close gives a channel that is closed once nobody is inside.
func (g *gate) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed, g.idle = true, make(chan struct{})
		if g.inFlight == 0 {
			close(g.idle)
		}
	}
	return g.idle
}

// admit lets calls through the gate, and tells of those that it does not; pages
// such as /readyz go around it.
func (g *gate) admit(told func(*http.Request, error) error, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1/") {
			next.ServeHTTP(w, r)
			return
		}
		if !g.enter() {
			f := fault.New(fault.ShuttingDown, "this replica is stopping: send the call again, to another")
			f.SafeToRetry = true
			w.Header().Set("Connection", "close")
			writeProblem(w, told(r, f))
			return
		}
		defer g.leave()
		next.ServeHTTP(w, r)
	})
}

// watchedHealth lets those who watch go when it has told them that the service
// stops: GracefulStop waits for every stream, and theirs never end by themselves.
type watchedHealth struct{ *health.Server }

func (h watchedHealth) Watch(in *healthv1.HealthCheckRequest, stream healthv1.Health_WatchServer) error {
	return h.Server.Watch(in, &lastWord{stream})
}

type lastWord struct{ healthv1.Health_WatchServer }

func (w *lastWord) Send(res *healthv1.HealthCheckResponse) error {
	if err := w.Health_WatchServer.Send(res); err != nil {
		return err
	}
	if res.GetStatus() == healthv1.HealthCheckResponse_NOT_SERVING {
		return errors.New("the service is stopping")
	}
	return nil
}
