package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

const fetchMethod = fetchsvcv1.FetchService_Fetch_FullMethodName

// limited is callerLimits under a policy that can be exchanged.
type limited struct {
	*callerLimits
	snapshot atomic.Pointer[policy.Snapshot]
}

// underLimits has callers a and b; limits is what the file has beside them.
func underLimits(t testing.TB, limits string) *limited {
	t.Helper()
	l := &limited{}
	l.use(t, limits)
	l.callerLimits = newCallerLimits(l.snapshot.Load)
	return l
}

func (l *limited) use(t testing.TB, limits string) {
	t.Helper()
	s, err := policy.Parse("p.yaml", []byte("callers: [{name: a, common_names: [a]}, {name: b, common_names: [b]}]\n"+limits), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.snapshot.Store(s)
}

// call begins one call of a caller.
func (l *limited) call(name string) (seat, error) { return l.enter(&caller{name: name}, fetchMethod) }

// begin begins calls until one is refused, at most most of them.
func (l *limited) begin(name string, most int) (seats []seat, refusal error) {
	for range most {
		s, err := l.call(name)
		if err != nil {
			return seats, err
		}
		seats = append(seats, s)
	}
	return seats, nil
}

func leaveAll(seats []seat) {
	for _, s := range seats {
		s.leave()
	}
}

// expectRefusal says how err is not a refusal of kind with a wait.
func expectRefusal(t *testing.T, err error, kind fault.Kind, wait time.Duration) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != kind || f.RetryAfter != wait || !f.SafeToRetry {
		t.Errorf("the refusal is %v (%+v), want %s, safe to retry after %s", err, f, kind, wait)
	}
}

func TestConcurrentCallsAreBounded(t *testing.T) {
	l := underLimits(t, "caller_limits: {concurrent: 3}")
	seats, err := l.begin("a", 10)
	expectRefusal(t, err, fault.TooManyCalls, time.Second)
	if len(seats) != 3 {
		t.Errorf("%d calls are in flight, want 3", len(seats))
	}
	others, err := l.begin("b", 3)
	if err != nil {
		t.Errorf("another caller is refused: %v", err)
	}
	leaveAll(others)
	seats[0].leave()
	if s, err := l.call("a"); err != nil {
		t.Errorf("one is over, and the next is refused: %v", err)
	} else {
		seats[0] = s
	}
	leaveAll(seats)
	if n := l.find("a").inFlight.Load(); n != 0 {
		t.Errorf("%d calls are in flight after the last", n)
	}
}

func TestDefaultIsThousandAndNoRate(t *testing.T) {
	l := underLimits(t, "")
	seats, err := l.begin(anonymous, 1001)
	expectRefusal(t, err, fault.TooManyCalls, time.Second)
	if len(seats) != 1000 {
		t.Errorf("%d calls are in flight, want 1000", len(seats))
	}
}

// TestRate: a burst, then one call an interval, and the refusal says exactly when.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := underLimits(t, "caller_limits: {per_second: 4, burst: 10}")
		for _, name := range []string{"at the start", "after a minute"} { // in this order
			if name == "after a minute" {
				time.Sleep(time.Minute)
			}
			seats, err := l.begin("a", 100)
			expectRefusal(t, err, fault.RateLimited, 250*time.Millisecond)
			if len(seats) != 10 {
				t.Errorf("%s %d calls begin at once, want 10", name, len(seats))
			}
			time.Sleep(100 * time.Millisecond)
			_, err = l.call("a")
			expectRefusal(t, err, fault.RateLimited, 150*time.Millisecond)
			time.Sleep(150 * time.Millisecond) // as it says
			seats, err = l.begin("a", 100)
			expectRefusal(t, err, fault.RateLimited, 250*time.Millisecond)
			if len(seats) != 1 {
				t.Errorf("%s, at the time that the refusal said, %d calls begin, want 1", name, len(seats))
			}
			if _, err := l.begin("b", 1); err != nil {
				t.Errorf("another caller is refused: %v", err)
			}
		}
	})
}

// TestRateIsExactInTheLongRun: whoever asks all the time gets the burst and then the
// rate, and who comes back when told is never refused twice.
func TestRateIsExactInTheLongRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := underLimits(t, "caller_limits: {per_second: 30, burst: 5}")
		const seconds = 100
		begun, refused := 0, 0
		for start := time.Now(); time.Since(start) < seconds*time.Second; {
			s, err := l.call("a")
			if err == nil {
				s.leave()
				begun++
				continue
			}
			var f *fault.Error
			errors.As(err, &f)
			time.Sleep(f.RetryAfter)
			refused++
		}
		if want := 30*seconds + 5; begun < want-1 || begun > want {
			t.Errorf("%d calls begin in %d s, want %d", begun, seconds, want)
		}
		if refused > begun {
			t.Errorf("%d calls are refused for %d that begin: the time that they are told is too short", refused, begun)
		}
	})
}

// TestRefusedCallsCostNothing: neither a place nor a part of the rate.
func TestRefusedCallsCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := underLimits(t, "caller_limits: {concurrent: 2, per_second: 1, burst: 4}")
		seats, _ := l.begin("a", 2)
		for range 100 {
			_, err := l.call("a")
			expectRefusal(t, err, fault.TooManyCalls, time.Second)
		}
		leaveAll(seats)
		seats, err := l.begin("a", 2)
		if err != nil {
			t.Errorf("calls that were refused for want of a place cost the rate: %v", err)
		}
		leaveAll(seats)
		for range 100 {
			_, err := l.call("a")
			expectRefusal(t, err, fault.RateLimited, time.Second)
		}
		if n := l.find("a").inFlight.Load(); n != 0 {
			t.Errorf("calls that were refused by the rate hold %d places", n)
		}
	})
}

// TestReload: what is in flight and what is spent outlive the policy, and the new
// limits hold from the next call on.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := underLimits(t, "caller_limits: {concurrent: 2}")
		seats, _ := l.begin("a", 2)
		l.use(t, "caller_limits: {concurrent: 4}")
		more, err := l.begin("a", 10)
		expectRefusal(t, err, fault.TooManyCalls, time.Second)
		if len(more) != 2 {
			t.Errorf("%d calls begin after the limit was raised from 2 to 4, want 2", len(more))
		}
		l.use(t, "caller_limits: {concurrent: 1}")
		leaveAll(more)
		seats[0].leave()
		_, err = l.call("a") // one is left of before
		expectRefusal(t, err, fault.TooManyCalls, time.Second)
		seats[1].leave()
		if _, err := l.call("a"); err != nil {
			t.Errorf("no call is in flight, and one is refused: %v", err)
		}
	})
}

func TestReloadOfTheRate(t *testing.T) {
	for name, c := range map[string]struct {
		before, after string
		begun         int // calls that begin at once after the reload
		wait          time.Duration
	}{
		"the same":          {"{per_second: 2, burst: 4}", "{per_second: 2, burst: 4}", 0, 500 * time.Millisecond},
		"faster":            {"{per_second: 1, burst: 100}", "{per_second: 1000, burst: 100}", 0, time.Millisecond},
		"slower":            {"{per_second: 1000, burst: 100}", "{per_second: 1, burst: 100}", 0, time.Second},
		"a larger burst":    {"{per_second: 2, burst: 4}", "{per_second: 2, burst: 6}", 2, 500 * time.Millisecond},
		"a smaller burst":   {"{per_second: 2, burst: 100}", "{per_second: 2, burst: 3}", 0, 500 * time.Millisecond},
		"none, then one":    {"{concurrent: 5000}", "{per_second: 2, burst: 3}", 3, 500 * time.Millisecond},
		"one, then none":    {"{per_second: 1}", "{concurrent: 1000}", 1000, time.Second},
		"one, none and one": {"{per_second: 1}", "{per_second: 1, burst: 1000000}", 999999, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := underLimits(t, "caller_limits: "+c.before)
				seats, _ := l.begin("a", 2000)
				leaveAll(seats)
				l.use(t, "caller_limits: "+c.after)
				begun := 0
				for {
					s, err := l.call("a")
					if err == nil && begun < c.begun {
						begun++
						if l.find("a").bounds.Load().interval > 0 {
							s.leave()
						}
						continue
					}
					kind := fault.RateLimited
					if name == "one, then none" {
						kind = fault.TooManyCalls
					}
					expectRefusal(t, err, kind, c.wait)
					break
				}
				if begun != c.begun {
					t.Errorf("%d calls begin, want %d", begun, c.begun)
				}
			})
		})
	}
}

// TestOnlyCallersOfThePolicyAreKept: the memory is bounded by the policy, whatever
// names come.
func TestOnlyCallersOfThePolicyAreKept(t *testing.T) {
	l := underLimits(t, "caller_limits: {concurrent: 2}")
	kept := l.find("a")
	var lost []seat
	for i := range 1000 {
		if s, err := l.call(fmt.Sprint("stranger-", i)); err == nil {
			lost = append(lost, s)
		}
	}
	if n := len(l.table.Load().of); n != 3 || len(lost) != 2 {
		t.Errorf("%d callers are kept and %d calls of strangers begin, want a, b and anonymous, and 2", n, len(lost))
	}
	s, err := policy.Parse("p.yaml", []byte("callers: [{name: a, common_names: [a]}]"), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	gone, _ := l.call("b")
	l.snapshot.Store(s)
	if l.find("a") != kept || l.table.Load().of["b"] != nil {
		t.Error("after a reload without b, want a's state kept and b's forgotten")
	}
	gone.leave() // its call ends well
}

// TestEnterDoesNotAllocate, whatever the limits are.
func TestEnterDoesNotAllocate(t *testing.T) {
	for _, limits := range []string{"", "caller_limits: {concurrent: 10, per_second: 1000000, burst: 1000000}"} {
		l := underLimits(t, limits)
		c := &caller{name: "a"}
		if n := testing.AllocsPerRun(1000, func() {
			c.quota, c.seated = nil, false
			s, err := l.enter(c, fetchMethod)
			if err != nil {
				t.Fatal(err)
			}
			s.leave()
		}); n != 0 {
			t.Errorf("under %q a call allocates %v times", limits, n)
		}
	}
}

// TestNeverMoreThanThePlaces: under contention too.
func TestNeverMoreThanThePlaces(t *testing.T) {
	l := underLimits(t, "caller_limits: {concurrent: 3}")
	var inside, most atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 2000 {
				s, err := l.call("a")
				if err != nil {
					continue
				}
				if n := inside.Add(1); n > most.Load() {
					most.Store(n)
				}
				runtime.Gosched()
				inside.Add(-1)
				s.leave()
			}
		})
	}
	all.Wait()
	if most.Load() > 3 || l.find("a").inFlight.Load() != 0 {
		t.Errorf("%d calls were in flight at once and %d are left, want 3 at most and none", most.Load(), l.find("a").inFlight.Load())
	}
}

// limitedPipeline is the interceptors of a service with one caller.
func limitedPipeline(t *testing.T, limits string) (*interceptors, *[]fault.Kind) {
	t.Helper()
	i := pipeline(t)
	s, err := policy.Parse("p.yaml", []byte("callers: [{name: billing, common_names: [billing], limits: "+limits+"}]"), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	i.engine.Use(s)
	i.log = slog.New(slog.DiscardHandler)
	told := &[]fault.Kind{}
	i.refused = func(_ context.Context, _ string, f *fault.Error) { *told = append(*told, f.Kind) }
	return i, told
}

// calls makes one call of the caller billing through the interceptors.
func (i *interceptors) calls(t *testing.T, method string, handler func(context.Context) error) error {
	t.Helper()
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer billing"))
	return i.stream(nil, contextStream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: method},
		func(_ any, st grpc.ServerStream) error { return handler(st.Context()) })
}

// TestPlacesComeBack: however a call ends.
func TestPlacesComeBack(t *testing.T) {
	i, _ := limitedPipeline(t, "{concurrent: 1}")
	for name, handler := range map[string]func(context.Context) error{
		"well":           func(context.Context) error { return nil },
		"with an error":  func(context.Context) error { return fault.New(fault.DNSError, "x") },
		"with a panic":   func(context.Context) error { panic("x") },
		"with an abort":  func(context.Context) error { runtime.Goexit(); return nil },
		"by its context": func(ctx context.Context) error { return context.Canceled },
	} {
		var held int64
		done := make(chan struct{})
		go func() { // Goexit ends it
			defer close(done)
			_ = i.calls(t, fetchMethod, func(ctx context.Context) error {
				held = callerOf(ctx).quota.inFlight.Load()
				return handler(ctx)
			})
		}()
		<-done
		if left := i.limits.find("billing").inFlight.Load(); held != 1 || left != 0 {
			t.Errorf("%s: %d places are held within the call and %d after it, want 1 and 0", name, held, left)
		}
	}
}

// TestWhatCounts: calls take a place and a part of the rate, questions about policy
// only the latter, and the health of the service is free.
func TestWhatCounts(t *testing.T) {
	for method, c := range map[string]struct{ place, rate bool }{
		fetchMethod: {true, true},
		fetchsvcv1.FetchService_Stream_FullMethodName:       {true, true},
		fetchsvcv1.FetchService_FetchBatch_FullMethodName:   {true, true},
		fetchsvcv1.PolicyService_Explain_FullMethodName:     {false, true},
		healthv1.Health_Watch_FullMethodName:                {true, true}, // it has no end
		"/grpc.reflection.v1.ServerReflection/Reflection":   {true, true}, // likewise
		"/fetchsvc.v1.FetchService/Unknown":                 {true, true},
		healthv1.Health_Check_FullMethodName:                {false, false},
		fetchsvcv1.PolicyService_GetSnapshot_FullMethodName: {false, true},
	} {
		i, told := limitedPipeline(t, "{concurrent: 1, per_second: 1, burst: 1}")
		err := i.calls(t, method, func(ctx context.Context) error {
			if took := i.limits.find("billing").inFlight.Load() == 1; took != c.place {
				t.Errorf("%s takes a place: %v, want %v", method, took, c.place)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s is refused at first: %v", method, err)
		}
		err = i.calls(t, method, func(context.Context) error { return nil })
		if limited := status.Code(err) == codes.ResourceExhausted; limited != c.rate {
			t.Errorf("%s, the second at once, ends with %v, want it refused: %v", method, err, c.rate)
		}
		if want := []fault.Kind{fault.RateLimited}; c.rate && !slices.Equal(*told, want) {
			t.Errorf("%s: those who keep account are told of %v, want %v", method, *told, want)
		}
	}
}

func TestPolicyMethods(t *testing.T) {
	if want := "/" + fetchsvcv1.PolicyService_ServiceDesc.ServiceName + "/"; policyMethods != want {
		t.Errorf("policyMethods is %q, want %q", policyMethods, want)
	}
}

// TestRefusalSaysWhoAndWhat: the status has it for machines.
func TestRefusalSaysWhoAndWhat(t *testing.T) {
	i, _ := limitedPipeline(t, "{concurrent: 1, per_second: 100, burst: 2}")
	var inner error
	err := i.calls(t, fetchMethod, func(context.Context) error {
		inner = i.calls(t, fetchMethod, func(context.Context) error { return nil })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	st := status.Convert(inner)
	got := map[string]string{}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			got["info"] = d.GetReason() + " " + d.GetMetadata()["source"] + " " + d.GetMetadata()["safe_to_retry"]
		case *errdetails.RetryInfo:
			got["retry"] = d.GetRetryDelay().AsDuration().String()
		case *errdetails.QuotaFailure:
			got["quota"] = d.GetViolations()[0].GetSubject() + ", " + d.GetViolations()[0].GetDescription()
		}
	}
	for name, want := range map[string]string{
		"info": "TOO_MANY_CALLS gateway true", "retry": "1s", "quota": "caller:billing, limits.concurrent is 1",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if st.Code() != codes.ResourceExhausted || !strings.Contains(st.Message(), `"billing"`) {
		t.Errorf("the status is %v %q", st.Code(), st.Message())
	}
}

// BenchmarkEnter is what the limits cost a call.
func BenchmarkEnter(b *testing.B) {
	for name, limits := range map[string]string{
		"default": "", "limits": "caller_limits: {concurrent: 100, per_second: 1000000, burst: 1000000}",
	} {
		b.Run(name, func(b *testing.B) {
			l := underLimits(b, limits)
			b.ReportAllocs()
			c := &caller{name: "a"}
			for b.Loop() {
				c.quota, c.seated = nil, false
				s, err := l.enter(c, fetchMethod)
				if err != nil {
					b.Fatal(err)
				}
				s.leave()
				c.quota.full.Store(0) // else it would end in a refusal
			}
		})
	}
}

// BenchmarkRefused is what a refused call costs on its way in and out, without the
// network.
func BenchmarkRefused(b *testing.B) {
	l := underLimits(b, "caller_limits: {per_second: 1}")
	i := &interceptors{log: slog.New(slog.DiscardHandler), limits: l.callerLimits, verifier: tokenIsName{}}
	ctx := metadata.NewIncomingContext(b.Context(), metadata.Pairs("authorization", "Bearer a"))
	info := &grpc.StreamServerInfo{FullMethod: fetchMethod}
	handler := func(any, grpc.ServerStream) error { return nil }
	l.find("a").full.Store(1 << 60)
	b.ReportAllocs()
	for b.Loop() {
		err := i.stream(nil, contextStream{ctx: ctx}, info, handler)
		st, _ := status.FromError(err)
		if _, err := proto.Marshal(st.Proto()); err != nil || st.Code() != codes.ResourceExhausted {
			b.Fatalf("it ends with %v, %v", st, err)
		}
	}
}
