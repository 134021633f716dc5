package contract

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/identity"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/server"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// crowd is the service with callers that have limits. Whose a call is, its token
// says; how callers prove it is tested elsewhere.
type crowd struct {
	*world
	engine *fetch.Engine
	slow   *testpeer.SlowServer
	// release lets one call of slow end for each value, or all once it is closed.
	release chan struct{}

	mu      sync.Mutex
	refused []refusedCall
}

// refusedCall is what those who keep account are told.
type refusedCall struct {
	from server.Origin
	rpc  string
	kind fault.Kind
}

// tokenIsName takes a token for the caller's name.
type tokenIsName struct{}

func (tokenIsName) Verify(_ context.Context, p identity.Proof) (identity.Identity, error) {
	return identity.Identity{Caller: p.Token, How: "api_key"}, nil
}

func newCrowd(t *testing.T, limits string) *crowd {
	t.Helper()
	c := &crowd{release: make(chan struct{})}
	c.slow = testpeer.Slow(t, c.release)
	pools := egress.NewPools(egress.Config{Resolver: resolver{}})
	t.Cleanup(pools.Close)
	c.engine = fetch.New(fetch.Config{Pools: pools, UserAgent: userAgent})
	c.use(t, limits)
	c.world = serveAs(t, server.Config{
		Engine: c.engine, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Verifier: tokenIsName{},
		Refused: func(ctx context.Context, rpc string, f *fault.Error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.refused = append(c.refused, refusedCall{server.OriginOf(ctx), rpc, f.Kind})
		},
	})
	return c
}

// use puts limits of the caller loud in force; quiet has the default ones.
func (c *crowd) use(t *testing.T, limits string) {
	t.Helper()
	s, err := policy.Parse("crowd.yaml", []byte(`
callers: [{name: loud, common_names: [loud], limits: `+limits+`}, {name: quiet, common_names: [quiet]}]
upstreams: [{name: open, hosts: ["127.0.0.1:*"], schemes: [http], unsafe_allow_addresses: [127.0.0.0/8], timeouts: {total: 2m, max: {total: 10m}}}]
`), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.engine.Use(s)
}

// told gives what was refused since it was last asked.
func (c *crowd) told() []refusedCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.refused
	c.refused = nil
	return out
}

// as is ctx with the caller's proof.
func as(ctx context.Context, caller string) context.Context {
	return metadataOf(ctx, bearer(caller))
}

// fetch makes one call over gRPC; nil: it was answered with 200.
func (c *crowd) fetch(ctx context.Context, caller, url string) error {
	res, err := c.api.Fetch(as(ctx, caller), &fetchsvcv1.FetchRequest{Url: url})
	if err == nil && res.GetStatus() != http.StatusOK {
		return fmt.Errorf("status %d", res.GetStatus())
	}
	return err
}

// post sends a body to a path of the REST door and gives the answer whole.
func (c *crowd) post(ctx context.Context, caller, path string, body io.Reader) (*http.Response, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.rest+path, body)
	if err != nil {
		return nil, nil, err
	}
	r.Header = bearer(caller)
	res, err := c.web.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, text, err
}

// fetchREST is fetch over REST.
func (c *crowd) fetchREST(ctx context.Context, caller, url string) error {
	res, text, err := c.post(ctx, caller, "/v1/fetch", strings.NewReader(`{"url":"`+url+`"}`))
	if err == nil && !strings.Contains(string(text), `"status":200`) {
		return fmt.Errorf("HTTP %d: %s", res.StatusCode, text)
	}
	return err
}

// hold begins n calls of a caller that last until one value of release each, or
// until ctx ends, and waits until the upstream has as many more. Those that are
// refused try again: what was cancelled before may hold its place for a moment.
func (c *crowd) hold(ctx context.Context, t *testing.T, caller string, n int, all *sync.WaitGroup) {
	t.Helper()
	before := c.slow.Active()
	for i := range n {
		through := c.fetch
		if i%2 == 1 {
			through = c.fetchREST
		}
		all.Go(func() {
			err := through(ctx, caller, c.slow.URL)
			for ; isBusy(err); err = through(ctx, caller, c.slow.URL) {
				time.Sleep(time.Millisecond)
			}
			if err != nil && ctx.Err() == nil {
				t.Errorf("a call that was to be held ends with %v", err)
			}
		})
	}
	c.slow.AwaitActive(before + n)
}

// isBusy says that a call was refused for want of a place.
func isBusy(err error) bool { return err != nil && strings.Contains(err.Error(), "limits.concurrent") }

// eventually waits until ok, as long as a slow machine may need.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it did not come to that within 30 s", what)
		}
	}
}
