package streamtest

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// quick is an upstream that says "ok".
func quick(t *testing.T) string {
	return testpeer.HTTP(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }))
}

// TestBatchOfAThousand: a tenth fails, a twentieth hangs, and at the deadline
// every item has been answered, each once.
func TestBatchOfAThousand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, d := range batchDoors() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			good, bad, hung := quick(t), testpeer.Raw(t, testpeer.ResetBeforeHead).URL, testpeer.Slow(t, make(chan struct{}))
			in := &fetchsvcv1.FetchBatchRequest{
				Requests: gets(good, 1000), MaxConcurrency: proto.Int32(60), Total: durationpb.New(20 * time.Second),
			}
			want := make([]string, 1000)
			for i := range in.Requests {
				switch want[i] = "200"; {
				case i%10 == 3:
					in.Requests[i].Url, want[i] = bad, "CONNECTION_RESET"
				case i%20 == 7:
					in.Requests[i].Url, want[i] = hung.URL, "TOTAL_TIMEOUT"
				}
			}
			b := d.open(t.Context(), t, w, in)
			defer b.close()
			answers := b.all(t, 1000)
			started := 0
			for i, a := range answers {
				switch {
				case want[i] == "200" && (a.status != 200 || a.body != "ok"), want[i] != "200" && (a.fail == nil || a.fail.Kind != want[i]):
					t.Errorf("item %d: %v, want %s", i, a, want[i])
				case want[i] == "TOTAL_TIMEOUT" && len(a.fail.Attempts) > 0:
					started++
				}
			}
			if started == 0 {
				t.Error("none of the items that hang says what it tried")
			}
			t.Logf("%d of the 50 items that hang were started", started)
			hung.AwaitActive(0)
		})
	}
}

// TestBatchByTheCallersDeadline: without total, the answers come within the
// caller's own deadline, and the batch ends well.
func TestBatchByTheCallersDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hung := testpeer.Slow(t, make(chan struct{}))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // a tenth of it is for the answers
	defer cancel()
	b := openGRPCBatch(ctx, t, w, &fetchsvcv1.FetchBatchRequest{Requests: gets(hung.URL, 20)})
	defer b.close()
	for i, a := range b.all(t, 20) {
		if a.fail == nil || a.fail.Kind != "TOTAL_TIMEOUT" {
			t.Errorf("item %d: %v, want TOTAL_TIMEOUT", i, a)
		}
	}
}

// TestBatchConcurrency: as many items are in flight as was asked for, and none
// more.
func TestBatchConcurrency(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		asked *int32
		want  int
	}{"asked": {proto.Int32(7), 7}, "one": {proto.Int32(1), 1}, "default": {nil, 16}, "most": {proto.Int32(100), 100}} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			slow := testpeer.Slow(t, release)
			const n = 150
			b := openGRPCBatch(t.Context(), t, w, &fetchsvcv1.FetchBatchRequest{Requests: gets(slow.URL, n), MaxConcurrency: c.asked})
			defer b.close()
			slow.AwaitActive(c.want)
			for range 20 { // one goes, one comes
				release <- struct{}{}
				if _, err := b.recv(); err != nil {
					t.Fatal(err)
				}
				slow.AwaitActive(c.want)
			}
			close(release)
			for range n - 20 {
				if m, err := b.recv(); err != nil || m.GetResponse().GetStatus() != 200 {
					t.Fatalf("got %v, %v; want 200", m, err)
				}
				if got := slow.Active(); got > c.want {
					t.Fatalf("%d are in flight at once, want %d at most", got, c.want)
				}
			}
		})
	}
}

// TestBatchFairness: every item of the quick host is answered while all of the
// slow one hang, although those come first.
func TestBatchFairness(t *testing.T) {
	w := newWorld(t)
	for name, host := range map[string]string{"two hosts of an upstream": "127.0.0.1", "two upstreams": "small.test"} {
		for _, d := range batchDoors() {
			t.Run(name+" over "+d.name, func(t *testing.T) {
				release := make(chan struct{})
				slow, fast := testpeer.Slow(t, release), strings.Replace(quick(t), "127.0.0.1", host, 1)
				const n = 50
				in := &fetchsvcv1.FetchBatchRequest{Requests: append(gets(slow.URL, n), gets(fast, n)...), MaxConcurrency: proto.Int32(10)}
				b := d.open(t.Context(), t, w, in)
				defer b.close()
				for range n {
					if m, err := b.recv(); err != nil || m.GetIndex() < n || m.GetResponse().GetStatus() != 200 {
						t.Fatalf("got %v, %v; want a quick item's answer: the slow host holds the batch", m, err)
					}
				}
				slow.AwaitActive(10) // the last one standing gets everything
				close(release)
				for range n {
					if m, err := b.recv(); err != nil || m.GetIndex() >= n || m.GetResponse().GetStatus() != 200 {
						t.Fatalf("got %v, %v; want a slow item's answer", m, err)
					}
				}
			})
		}
	}
}

// TestBatchStopOnError: what was not started when the first failed is not made.
func TestBatchStopOnError(t *testing.T) {
	w := newWorld(t)
	for name, bad := range map[string]string{"refused": "http://" + testpeer.ClosedPort(t), "invalid": "ftp://127.0.0.1/"} {
		for _, d := range batchDoors() {
			t.Run(name+" over "+d.name, func(t *testing.T) {
				good := testpeer.Raw(t, testpeer.OK)
				in := &fetchsvcv1.FetchBatchRequest{Requests: gets(good.URL, 5), MaxConcurrency: proto.Int32(1), StopOnError: true}
				in.Requests[0].Url = bad
				b := d.open(t.Context(), t, w, in)
				defer b.close()
				answers := b.all(t, 5)
				if answers[0].fail == nil {
					t.Errorf("item 0: %v, want an error", answers[0])
				}
				for i, a := range answers[1:] {
					if a.fail == nil || a.fail.Kind != "CANCELLED" || !a.fail.SafeToRetry || len(a.fail.Attempts) != 0 {
						t.Errorf("item %d: %v, want CANCELLED, safe to retry, not tried", i+1, a)
					}
				}
				if n := len(good.Requests()); n != 0 {
					t.Errorf("%d requests were made after the first error", n)
				}
			})
		}
	}
}

// TestBatchErrors: a faulty item is answered as Fetch would have answered it, and
// the others are made.
func TestBatchErrors(t *testing.T) {
	w := newWorld(t)
	peer := strings.TrimPrefix(quick(t), "http://")
	port := peer[strings.LastIndexByte(peer, ':'):]
	cut := testpeer.Raw(t, testpeer.CutBody).Addr
	refused := testpeer.ClosedPort(t)
	items := []string{
		`{"url":"http://{peer}/"}`,
		`{}`,
		`{"url":"ftp://{peer}/"}`,
		`{"url":"http://{peer}/","method":"CONNECT"}`,
		`{"url":"http://{peer}/","stream":{}}`,
		`{"url":"http://{peer}/","framing":"LINES"}`,
		`{"url":"http://{peer}/","timeouts":{"total":"0s"}}`,
		`{"url":"http://small.test{port}/","timeouts":{"total":"30s"}}`,
		`{"url":"http://small.test{port}/","max_response_bytes":4096}`,
		`{"url":"http://{peer}/","headers":[{"name":"Host","value":"x"}]}`,
		`{"url":"http://nobody.example/"}`,
		`{"url":"http://{refused}/"}`,
		`{"url":"http://{cut}/"}`,
		`{"url":"http://{peer}/","fail_on_status":true}`,
	}
	in := &fetchsvcv1.FetchBatchRequest{}
	for _, text := range items {
		r := &fetchsvcv1.FetchRequest{}
		text = strings.NewReplacer("{peer}", peer, "{port}", port, "{refused}", refused, "{cut}", cut).Replace(text)
		if err := protojson.Unmarshal([]byte(text), r); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		in.Requests = append(in.Requests, r)
	}
	for _, d := range batchDoors() {
		t.Run(d.name, func(t *testing.T) {
			b := d.open(t.Context(), t, w, in)
			defer b.close()
			for i, got := range b.all(t, len(items)) {
				res, err := w.api.Fetch(t.Context(), in.Requests[i])
				want := answer{status: res.GetStatus(), body: string(res.GetBody())}
				if err != nil {
					_ = asFailure(ofStatus(err), &want.fail)
				}
				if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{}, failure{})); diff != "" {
					t.Errorf("item %d, %s (-Fetch +batch):\n%s", i, items[i], diff)
				}
				if wantError := i > 0 && i < len(items)-1; (got.fail != nil) != wantError {
					t.Errorf("item %d, %s: got %v, want an error: %t", i, items[i], got, wantError)
				}
			}
		})
	}
}

// TestBatchRefused: what is wrong with the whole batch fails the whole batch.
func TestBatchRefused(t *testing.T) {
	w := newWorld(t)
	url := quick(t)
	for name, c := range map[string]struct {
		in    *fetchsvcv1.FetchBatchRequest
		field string
	}{
		"empty":             {&fetchsvcv1.FetchBatchRequest{}, "requests"},
		"too many":          {&fetchsvcv1.FetchBatchRequest{Requests: gets(url, 1001)}, "requests"},
		"no concurrency":    {&fetchsvcv1.FetchBatchRequest{Requests: gets(url, 1), MaxConcurrency: proto.Int32(0)}, "max_concurrency"},
		"concurrency":       {&fetchsvcv1.FetchBatchRequest{Requests: gets(url, 1), MaxConcurrency: proto.Int32(101)}, "max_concurrency"},
		"no time":           {&fetchsvcv1.FetchBatchRequest{Requests: gets(url, 1), Total: durationpb.New(0)}, "total"},
		"more than all day": {&fetchsvcv1.FetchBatchRequest{Requests: gets(url, 1), Total: durationpb.New(25 * time.Hour)}, "total"},
	} {
		for _, d := range batchDoors() {
			t.Run(name+" over "+d.name, func(t *testing.T) {
				b := d.open(t.Context(), t, w, c.in)
				defer b.close()
				m, err := b.recv()
				var f *failure
				if !asFailure(err, &f) || f.Kind != "INVALID_REQUEST" || len(f.Fields) != 1 || f.Fields[0] != c.field || len(f.odd) > 0 {
					t.Errorf("got %v, %v; want INVALID_REQUEST of %s", m, err, c.field)
				}
			})
		}
	}
}
