package contract

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// callers make one call by each door and say how it ended for the caller.
func (w *world) callers() map[string]func(ctx context.Context, url string) error {
	return map[string]func(ctx context.Context, url string) error{
		"gRPC": func(ctx context.Context, url string) error {
			_, err := w.api.Fetch(ctx, &fetchsvcv1.FetchRequest{Url: url})
			return err
		},
		"REST": func(ctx context.Context, url string) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.rest+"/v1/fetch", bytes.NewReader([]byte(`{"url":"`+url+`"}`)))
			if err != nil {
				return err
			}
			res, err := w.web.Do(r)
			if err == nil {
				err = res.Body.Close()
			}
			return err
		},
	}
}

// TestCallerCancels: when the caller goes away the upstream sees its connection
// close, whichever phase the call is in.
func TestCallerCancels(t *testing.T) {
	w := newWorld(t)
	for door, call := range w.callers() {
		for phase, script := range map[string]testpeer.Script{
			"before the head": func(c *testpeer.RawConn) { c.ReadRequest(); c.Stall() },
			"within the head": testpeer.StallMidHead,
			"within the body": testpeer.StallMidBody,
		} {
			t.Run(door+" "+phase, func(t *testing.T) {
				t.Parallel()
				up := testpeer.Raw(t, script)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ended := make(chan error, 1)
				go func() { ended <- call(ctx, up.URL) }()
				up.AwaitRequests(1)
				cancel()
				if err := <-ended; status.Code(err) != codes.Canceled && !errors.Is(err, context.Canceled) {
					t.Errorf("the call ended with %v, want cancelled", err)
				}
				up.AwaitEnded(1)
			})
		}
	}
}

// TestCallerDeadline: a caller's own deadline ends the call and the upstream's
// connection, although every clock of the call is longer.
func TestCallerDeadline(t *testing.T) {
	w := newWorld(t)
	for door, call := range w.callers() {
		t.Run(door, func(t *testing.T) {
			t.Parallel()
			slow := testpeer.Slow(t, nil)
			ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
			defer cancel()
			err := call(ctx, slow.URL)
			if status.Code(err) != codes.DeadlineExceeded && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the call ended with %v, want the deadline", err)
			}
			slow.AwaitActive(0)
		})
	}
}

// TestClocksHangUp: a clock that ends a call ends the upstream's connection too,
// which there must be by then.
func TestClocksHangUp(t *testing.T) {
	w := newWorld(t)
	for _, script := range []testpeer.Script{testpeer.StallOnAccept, testpeer.StallMidHead, testpeer.StallMidBody} {
		up := testpeer.Raw(t, script)
		res, text := w.post(t, "/v1/fetch", `{"url":"`+up.URL+`","timeouts":{"attempt":"1s"}}`)
		expectProblem(t, res, text, "ATTEMPT_TIMEOUT")
		up.AwaitEnded(1)
	}
}
