package contract

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// quotaOf is `subject, description` of a QuotaFailure.
func quotaOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if q, ok := d.(*errdetails.QuotaFailure); ok && len(q.GetViolations()) == 1 {
			return q.GetViolations()[0].GetSubject() + ", " + q.GetViolations()[0].GetDescription()
		}
	}
	return ""
}

// delayOf is what RetryInfo says.
func delayOf(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*errdetails.RetryInfo); ok {
			return r.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// TestTooManyCalls: a caller whose places are taken is refused at both doors by
// every RPC that makes calls, before its message is read; it may still ask about
// policy, and others call as if nothing were.
func TestTooManyCalls(t *testing.T) {
	c := newCrowd(t, "{concurrent: 2}")
	var held sync.WaitGroup
	c.hold(t.Context(), t, "loud", 2, &held)
	loud := as(t.Context(), "loud")

	overGRPC := map[string]func() error{
		"Fetch": func() error { return c.fetch(t.Context(), "loud", c.slow.URL) },
		"Stream": func() error {
			st, err := c.api.Stream(loud)
			if err == nil {
				_, err = st.Recv() // nothing is sent
			}
			return err
		},
		"FetchBatch": func() error {
			st, err := c.api.FetchBatch(loud, &fetchsvcv1.FetchBatchRequest{Requests: []*fetchsvcv1.FetchRequest{{Url: c.slow.URL}}})
			if err == nil {
				_, err = st.Recv()
			}
			return err
		},
	}
	paths := map[string]string{"Fetch": "/v1/fetch", "Stream": "/v1/stream", "FetchBatch": "/v1/fetch:batch"}
	for rpc, call := range overGRPC {
		err := call()
		g := ofStatus(err, strings.NewReplacer())
		unsent, writer := io.Pipe() // the body does not come
		res, text, restErr := c.post(t.Context(), "loud", paths[rpc], unsent)
		_ = writer.Close()
		if restErr != nil {
			t.Fatalf("%s over REST: %v", rpc, restErr)
		}
		r := expectProblem(t, res, text, "TOO_MANY_CALLS")
		for door, a := range map[string]*answer{"gRPC": g, "REST": r} {
			if a.Kind != "TOO_MANY_CALLS" || a.RetryAfter != "1s" || !a.SafeToRetry || !strings.Contains(a.Message, "limits.concurrent") {
				t.Errorf("%s over %s: %s", rpc, door, a)
			}
		}
		if got := res.Header.Get("Retry-After"); res.StatusCode != http.StatusTooManyRequests || got != "1" {
			t.Errorf("%s over REST: HTTP %d with Retry-After %q, want 429 and 1", rpc, res.StatusCode, got)
		}
		if got := quotaOf(err); status.Code(err) != codes.ResourceExhausted || got != "caller:loud, limits.concurrent is 2" {
			t.Errorf("%s over gRPC: %v, QuotaFailure %q", rpc, status.Code(err), got)
		}
		told := c.told()
		if len(told) != 2 {
			t.Fatalf("%s: those who keep account are told %d times, want 2: %+v", rpc, len(told), told)
		}
		for i, door := range []string{"grpc", "rest"} {
			if o := told[i]; o.from.Caller != "loud" || o.from.Proof != "api_key" || o.from.Door != door ||
				o.rpc != "fetchsvc.v1.FetchService/"+rpc || o.kind != fault.TooManyCalls {
				t.Errorf("%s: those who keep account are told %+v", rpc, o)
			}
		}
	}

	if _, err := fetchsvcv1.NewPolicyServiceClient(c.grpc).ListUpstreams(loud, &fetchsvcv1.ListUpstreamsRequest{}); err != nil {
		t.Errorf("a question about policy is refused: %v", err)
	}
	if res, _, err := c.post(t.Context(), "loud", "/v1/policy:explain", strings.NewReader(question)); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("Explain over REST is refused: %v, %v", res, err)
	}
	c.hold(t.Context(), t, "quiet", 20, &held)
	close(c.release)
	held.Wait()
	eventually(t, "the places are free again", func() bool { return c.fetch(t.Context(), "loud", c.slow.URL) == nil })
}

// TestFloodOfOneCaller: who calls faster than it may is refused and told when to
// come again; when it does, it is let in. Nobody else notices.
func TestFloodOfOneCaller(t *testing.T) {
	c := newCrowd(t, "{per_second: 2, burst: 5}")
	close(c.release)
	var quiet sync.WaitGroup
	stop := make(chan struct{})
	quiet.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			through := c.fetch
			if n%2 == 1 {
				through = c.fetchREST
			}
			if err := through(t.Context(), "quiet", c.slow.URL); err != nil {
				t.Errorf("call %d of the quiet caller ends with %v", n, err)
				return
			}
		}
	})
	for door, flood := range map[string]func() (after time.Duration, refused bool){
		"gRPC": func() (time.Duration, bool) {
			err := c.fetch(t.Context(), "loud", c.slow.URL)
			if err == nil {
				return 0, false
			}
			a := ofStatus(err, strings.NewReplacer())
			if a.Kind != "RATE_LIMITED" || !a.SafeToRetry || quotaOf(err) != "caller:loud, limits.per_second is 2" {
				t.Fatalf("over gRPC the flood is refused with %s, quota %q", a, quotaOf(err))
			}
			return delayOf(err), true
		},
		"REST": func() (time.Duration, bool) {
			res, text, err := c.post(t.Context(), "loud", "/v1/fetch", strings.NewReader(`{"url":"`+c.slow.URL+`"}`))
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode == http.StatusOK {
				return 0, false
			}
			a := expectProblem(t, res, text, "RATE_LIMITED")
			var p struct {
				RetryAfter string `json:"retry_after"`
			}
			if err := json.Unmarshal(text, &p); err != nil {
				t.Fatal(err)
			}
			after, parseErr := time.ParseDuration(p.RetryAfter)
			if got := res.Header.Get("Retry-After"); res.StatusCode != http.StatusTooManyRequests || got != "1" || !a.SafeToRetry || parseErr != nil {
				t.Fatalf("over REST the flood is refused with HTTP %d, Retry-After %q, %s", res.StatusCode, got, a)
			}
			return after, true
		},
	} {
		refused, came := 0, 0
		for refused < 50 {
			after, no := flood()
			if !no {
				continue
			}
			refused++
			if after <= 0 || after > 500*time.Millisecond {
				t.Fatalf("over %s the time to wait is %s, want at most the half second between calls", door, after)
			}
			if refused%25 != 0 {
				continue
			}
			time.Sleep(after)
			if _, no := flood(); !no {
				came++
			}
		}
		if came != 2 {
			t.Errorf("over %s %d of 2 calls are let in that came when they were told to", door, came)
		}
	}
	close(stop)
	quiet.Wait()
}

// TestLimitsReload: what is in flight counts on, and new limits hold at once.
func TestLimitsReload(t *testing.T) {
	c := newCrowd(t, "{concurrent: 2}")
	var held sync.WaitGroup
	full := func(n int) {
		t.Helper()
		if err := c.fetch(t.Context(), "loud", c.slow.URL); ofStatus(err, strings.NewReplacer()).Kind != "TOO_MANY_CALLS" {
			t.Errorf("with %d calls in flight another one ends with %v", n, err)
		}
	}
	c.hold(t.Context(), t, "loud", 2, &held)
	full(2)
	c.use(t, "{concurrent: 5}")
	c.hold(t.Context(), t, "loud", 3, &held)
	full(5)
	c.use(t, "{concurrent: 1}")
	for range 4 {
		c.release <- struct{}{}
	}
	c.slow.AwaitActive(1)
	full(1)
	c.use(t, "{concurrent: 3, per_second: 1000000}")
	c.hold(t.Context(), t, "loud", 2, &held)
	close(c.release)
	held.Wait()
}

// TestStreamsHoldTheirPlace until they end, however they do.
func TestStreamsHoldTheirPlace(t *testing.T) {
	c := newCrowd(t, "{concurrent: 1}")
	big := testpeer.HTTP(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("first"))
		_ = http.NewResponseController(w).Flush()
		<-c.release
	}))
	occupied := func(how string) {
		t.Helper()
		for door, call := range map[string]func(context.Context, string, string) error{"gRPC": c.fetch, "REST": c.fetchREST} {
			if err := call(t.Context(), "loud", c.slow.URL); !isBusy(err) {
				t.Errorf("while a stream %s is open, a call over %s ends with %v", how, door, err)
			}
		}
	}
	free := func(how string) {
		t.Helper()
		eventually(t, "after a stream "+how, func() bool {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			st, err := c.api.Stream(as(ctx, "loud"))
			if err != nil {
				return false
			}
			if err := st.Send(start(big)); err != nil {
				return false
			}
			_, err = st.Recv()
			return err == nil
		})
		eventually(t, "after the stream that looked", func() bool {
			_, err := fetchsvcv1.NewFetchServiceClient(c.grpc).Fetch(as(t.Context(), "loud"), &fetchsvcv1.FetchRequest{Url: "http://nobody.test/"})
			return status.Code(err) == codes.PermissionDenied
		})
	}
	for how, end := range map[string]func(ctx context.Context, cancel func()){
		"over gRPC that its caller leaves": func(ctx context.Context, cancel func()) {
			st, err := c.api.Stream(as(ctx, "loud"))
			if err == nil {
				err = st.Send(start(big))
			}
			if err == nil {
				_, err = st.Recv()
			}
			if err != nil {
				t.Fatal(err)
			}
			occupied("over gRPC")
			cancel()
		},
		"over REST that its caller leaves": func(ctx context.Context, cancel func()) {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.rest+"/v1/stream", strings.NewReader(`{"start":{"url":"`+big+`"}}`))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = bearer("loud")
			res, err := c.web.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if _, err := res.Body.Read(make([]byte, 10)); err != nil {
				t.Fatal(err)
			}
			occupied("over REST")
			cancel()
		},
		"that sends no start": func(ctx context.Context, cancel func()) {
			var st fetchsvcv1.FetchService_StreamClient
			eventually(t, "the stream has begun", func() (begun bool) {
				var err error
				if st, err = c.api.Stream(as(ctx, "loud")); err != nil {
					t.Fatal(err)
				}
				if !isBusy(c.fetch(t.Context(), "loud", "http://nobody.test/")) { // which may have come before it
					_ = st.CloseSend()
					_, _ = st.Recv()
					return false
				}
				return true
			})
			_ = st.CloseSend()
			_, _ = st.Recv()
			cancel()
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		end(ctx, cancel)
		cancel()
		free(how)
	}
	close(c.release)
}

func start(url string) *fetchsvcv1.StreamRequest {
	return &fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_Start{Start: &fetchsvcv1.FetchRequest{Url: url}}}
}

// TestBatchesKeepToTheLimits: items wait for what their caller has left, and none
// is refused.
func TestBatchesKeepToTheLimits(t *testing.T) {
	c := newCrowd(t, "{concurrent: 3}")
	var inside, most atomic.Int64
	up := testpeer.HTTP(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if n := inside.Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(2 * time.Millisecond)
		inside.Add(-1)
	}))
	const items = 60
	requests := make([]*fetchsvcv1.FetchRequest, items)
	for i := range requests {
		requests[i] = &fetchsvcv1.FetchRequest{Url: up}
	}
	overGRPC := func() (answers, good int) {
		st, err := c.api.FetchBatch(as(t.Context(), "loud"), &fetchsvcv1.FetchBatchRequest{Requests: requests})
		for err == nil {
			var m *fetchsvcv1.FetchBatchResponse
			if m, err = st.Recv(); err == nil {
				answers++
				if m.GetResponse().GetStatus() == http.StatusOK {
					good++
				}
			}
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("the batch over gRPC ends with %v", err)
		}
		return answers, good
	}
	overREST := func() (answers, good int) {
		one := `{"url":"` + up + `"}`
		res, text, err := c.post(t.Context(), "loud", "/v1/fetch:batch", strings.NewReader(`{"requests":[`+strings.Repeat(one+",", items-1)+one+`]}`))
		if err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("the batch over REST ends with %v, %s", err, text)
		}
		answers = strings.Count(string(text), `"index"`)
		return answers, answers - strings.Count(string(text), `"error"`)
	}
	for door, batch := range map[string]func() (int, int){"gRPC": overGRPC, "REST": overREST} {
		if answers, good := batch(); answers != items || good != items {
			t.Errorf("over %s %d of %d items are answered, %d well", door, answers, items, good)
		}
	}
	if most.Load() > 3 {
		t.Errorf("%d calls of the caller were in flight at once, want 3 at most", most.Load())
	}
	c.use(t, "{per_second: 50, burst: 1}")
	begin := time.Now()
	if answers, good := overREST(); answers != items || good != items {
		t.Errorf("at a rate, %d of %d items are answered, %d well", answers, items, good)
	}
	if took, least := time.Since(begin), (items-1)*time.Second/50; took < least {
		t.Errorf("%d items at 50 a second take %s, want %s at least", items, took, least)
	}
}

// TestCancelledCallGivesItsPlaceBack, at both doors.
func TestCancelledCallGivesItsPlaceBack(t *testing.T) {
	c := newCrowd(t, "{concurrent: 2}")
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		var held sync.WaitGroup
		c.hold(ctx, t, "loud", 2, &held) // it needs both places
		if err := c.fetch(t.Context(), "loud", c.slow.URL); !isBusy(err) {
			t.Errorf("with 2 calls in flight another one ends with %v", err)
		}
		cancel()
		held.Wait()
		eventually(t, "the upstream is idle", func() bool { return c.slow.Active() == 0 })
	}
	close(c.release)
}

// TestNoPlaceLeaks: after ten thousand calls of all kinds at both doors a caller
// has as many places as at the start, and no more.
func TestNoPlaceLeaks(t *testing.T) {
	const places, workers, each = 16, 32, 320
	c := newCrowd(t, fmt.Sprintf("{concurrent: %d}", places))
	fast := testpeer.HTTP(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	var calls, answered, refused atomic.Int64
	post := func(ctx context.Context, path, body string) error {
		res, text, err := c.post(ctx, "loud", path, strings.NewReader(body))
		if err == nil && res.StatusCode != http.StatusOK {
			return errors.New(string(text))
		}
		return err
	}
	kinds := []func(ctx context.Context) error{
		func(ctx context.Context) error { return c.fetch(ctx, "loud", fast) },
		func(ctx context.Context) error { return c.fetchREST(ctx, "loud", fast) },
		func(ctx context.Context) error { return c.fetch(ctx, "loud", "http://nobody.test/") },
		func(ctx context.Context) error { return post(ctx, "/v1/fetch", `{"url":`) },
		func(ctx context.Context) error { return c.fetch(ctx, "loud", "no url") },
		func(ctx context.Context) error {
			short, cancel := context.WithTimeout(ctx, 2*time.Millisecond)
			defer cancel()
			return c.fetch(short, "loud", c.slow.URL)
		},
		func(ctx context.Context) error {
			short, cancel := context.WithTimeout(ctx, 2*time.Millisecond)
			defer cancel()
			return c.fetchREST(short, "loud", c.slow.URL)
		},
		func(ctx context.Context) error {
			return post(ctx, "/v1/fetch:batch", `{"requests":[{"url":"`+fast+`"},{"url":"http://nobody.test/"},{"url":"`+fast+`"}],"stop_on_error":true}`)
		},
		func(ctx context.Context) error { return post(ctx, "/v1/stream", `{"start":{"url":"`+fast+`"}}`) },
		func(ctx context.Context) error {
			leave, cancel := context.WithCancel(ctx)
			defer cancel()
			st, err := c.api.Stream(as(leave, "loud"))
			if err == nil {
				err = st.Send(start(fast))
			}
			if err == nil {
				_, err = st.Recv()
			}
			return err
		},
		func(ctx context.Context) error {
			_, err := fetchsvcv1.NewPolicyServiceClient(c.grpc).ListUpstreams(as(ctx, "loud"), &fetchsvcv1.ListUpstreamsRequest{})
			return err
		},
	}
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := range each {
				err := kinds[(w+i)%len(kinds)](t.Context())
				calls.Add(1)
				switch {
				case err == nil:
					answered.Add(1)
				case isBusy(err):
					refused.Add(1)
				}
			}
		})
	}
	all.Wait()
	if calls.Load() < 10_000 || answered.Load() < calls.Load()/5 {
		t.Errorf("%d calls were made and %d answered, want 10,000 and a good part", calls.Load(), answered.Load())
	}
	t.Logf("%d calls, %d answered well, %d refused for want of a place", calls.Load(), answered.Load(), refused.Load())
	eventually(t, "the upstream is idle", func() bool { return c.slow.Active() == 0 })
	var held sync.WaitGroup
	c.hold(t.Context(), t, "loud", places, &held)
	if err := c.fetch(t.Context(), "loud", fast); !isBusy(err) {
		t.Errorf("with %d calls in flight another one ends with %v: a place was given back twice", places, err)
	}
	close(c.release)
	held.Wait()
}
