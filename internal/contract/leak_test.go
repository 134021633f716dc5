package contract

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestManyCallersHalfOfThemGone: 2,000 calls at once to slow upstreams, half of
// them cancelled by their callers. Each ends as it should, the upstream sees the
// cancellations, and nothing is left: a connection that leaks has goroutines.
func TestManyCallersHalfOfThemGone(t *testing.T) {
	const calls = 2000
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { testpeer.NoLeaks(t, before) }) // after the servers' own
	w := newWorld(t)
	release := make(chan struct{})
	slow := testpeer.Slow(t, release)

	stay, stayed := context.WithTimeout(t.Context(), time.Minute)
	defer stayed()
	leave, gone := context.WithCancel(stay)
	defer gone()
	var all sync.WaitGroup
	problems := make(chan string, calls)
	for i := range calls {
		ctx, cancelled := stay, i%2 == 1
		if cancelled {
			ctx = leave
		}
		all.Go(func() {
			res, err := w.api.Fetch(ctx, &fetchsvcv1.FetchRequest{
				Url: slow.URL, Timeouts: &fetchsvcv1.Timeouts{Total: durationpb.New(time.Minute)},
			})
			switch {
			case cancelled && status.Code(err) != codes.Canceled:
				problems <- fmt.Sprintf("a cancelled call ended with %v, %v", res.GetStatus(), err)
			case !cancelled && (err != nil || res.GetStatus() != 200 || string(res.GetBody()) != "done"):
				problems <- fmt.Sprintf("a patient call ended with %d %q, %v", res.GetStatus(), res.GetBody(), err)
			}
		})
	}
	slow.AwaitActive(calls)
	gone()
	slow.AwaitCancelled(calls / 2)
	close(release)
	all.Wait()
	close(problems)
	n := 0
	for p := range problems {
		if n++; n <= 5 {
			t.Error(p)
		}
	}
	if n > 5 {
		t.Errorf("and %d more", n-5)
	}
	slow.AwaitActive(0)
	if got, want := slow.Done(), calls/2; got != want {
		t.Errorf("the upstream answered %d calls, want %d", got, want)
	}
	if got, want := slow.Cancelled(), calls/2; got != want {
		t.Errorf("the upstream saw %d cancellations, want %d", got, want)
	}
}
