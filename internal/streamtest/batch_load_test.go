package streamtest

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

func asFailure(err error, f **failure) bool { return errors.As(err, f) }

// TestBatchCancel: a caller that hangs up stops what is in flight and starts no
// more.
func TestBatchCancel(t *testing.T) {
	w := newWorld(t)
	for _, d := range batchDoors() {
		t.Run(d.name, func(t *testing.T) {
			slow := testpeer.Slow(t, make(chan struct{}))
			b := d.open(t.Context(), t, w, &fetchsvcv1.FetchBatchRequest{Requests: gets(slow.URL, 100), MaxConcurrency: proto.Int32(10)})
			slow.AwaitActive(10)
			at := time.Now()
			b.cancel()
			slow.AwaitCancelled(10)
			t.Logf("the upstream saw all cancels after %v", time.Since(at))
			b.close()
			slow.AwaitActive(0)
			if n := slow.Cancelled() + slow.Done(); n != 10 {
				t.Errorf("%d requests reached the upstream, want the 10 in flight", n)
			}
		})
	}
}

// TestBatchBehindASlowCaller: answers that the caller has not taken hold the
// batch: it goes on only as far as the buffers between, and holds no more than
// its concurrency.
func TestBatchBehindASlowCaller(t *testing.T) {
	w := newWorld(t)
	const n, size, concurrency = 48, 1 << 20, 4
	// under way: what workers hold, and what gRPC and the sockets may buffer.
	const most = concurrency + 24
	text := strings.Repeat(kib64, size/len(kib64))
	for _, d := range batchDoors()[:2] {
		t.Run(d.name, func(t *testing.T) {
			var made atomic.Int64
			came := make(chan struct{}, n)
			url := testpeer.HTTP(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				made.Add(1)
				came <- struct{}{}
				_, _ = w.Write([]byte(text))
			}))
			before := liveHeap()
			b := d.open(t.Context(), t, w, &fetchsvcv1.FetchBatchRequest{Requests: gets(url, n), MaxConcurrency: proto.Int32(concurrency)})
			defer b.close()
			for standing := false; !standing; {
				select {
				case <-came:
				case <-time.After(standstill):
					standing = made.Load() >= concurrency
				}
			}
			after := liveHeap()
			t.Logf("the batch stood still after %d of %d items; the heap grew by %d KiB", made.Load(), n, (int64(after)-int64(before))>>10)
			if got := made.Load(); got > most {
				t.Errorf("%d items were made for a caller that took no answer, want %d at most", got, most)
			}
			for i, a := range b.all(t, n) {
				if a.status != 200 || len(a.body) != size {
					t.Errorf("item %d: status %d, %d bytes; want 200, %d", i, a.status, len(a.body), size)
				}
			}
		})
	}
}
