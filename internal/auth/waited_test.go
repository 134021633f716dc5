package auth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// traced is a call in a trace of its own.
func traced(t *testing.T) (context.Context, *telemetry.Trace) {
	of := telemetry.NewTrace()
	return telemetry.WithTrace(t.Context(), of), of
}

// begunBy holds that a request's trace is its own, and linked to cause; nil: to none.
// It gives the span of the request.
func begunBy(t *testing.T, ctx context.Context, cause *telemetry.Trace) trace.SpanContext {
	t.Helper()
	own := telemetry.TraceFrom(ctx)
	if own == nil {
		t.Fatal("the request is of no trace")
	}
	switch {
	case cause == nil && len(own.Links) > 0:
		t.Errorf("links lead to %v, want none: no call began the request", own.Links)
	case cause != nil && (own.ID == cause.ID || len(own.Links) != 1 || own.Links[0].SpanContext.SpanID() != cause.Span || own.Links[0].SpanContext.TraceID() != cause.ID):
		t.Errorf("the trace is %v with links to %v, want another than %v with a link to its span %v", own.ID, own.Links, cause.ID, cause.Span)
	}
	return own.Context()
}

// TestWaited: all who wait for a token say so, with the request that they wait for,
// which is linked to the one that began it; who finds a token does not wait.
func TestWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuing{answer: slowly(4*time.Second, 3600)}
		c := oauthCredential(t, server, plainClient)
		began := time.Now()
		first, cause := traced(t)
		var all sync.WaitGroup
		var waits [3]*Waited
		for i, ctx := range []context.Context{first, t.Context(), t.Context()} {
			time.Sleep(time.Second)
			all.Go(func() {
				o, _, err := c.call(ctx, "")
				if err != nil {
					t.Error(err)
				}
				waits[i] = o.Waited
			})
			synctest.Wait()
		}
		all.Wait()
		fetch := begunBy(t, server.requests()[0].Context(), cause)
		for i, w := range waits {
			want := Waited{began.Add(time.Duration(i+1) * time.Second), time.Duration(4-i) * time.Second, fetch}
			if w == nil || !w.Start.Equal(want.Start) || w.Took != want.Took || !w.Fetch.Equal(want.Fetch) {
				t.Errorf("call %d waited %+v, want %+v", i, w, want)
			}
		}
		if o := c.want("token-1"); o.Waited != nil {
			t.Errorf("a call that found a token waited %+v", o.Waited)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		begunBy(t, server.requests()[1].Context(), nil) // the clock did
		if o := c.want("token-2"); o.Waited != nil {
			t.Errorf("a call that found a token which was renewed ahead waited %+v", o.Waited)
		}
	})
}

// TestWaitedInVain: a wait that failed, one that the caller ended, and none where it
// is known that there is no token.
func TestWaitedInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuing{answer: func(n int, a asked) (*http.Response, error) {
			time.Sleep(2 * time.Second)
			return answered(503, ""), nil
		}}
		c := oauthCredential(t, server, plainClient)
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		for ctx, took := range map[context.Context]time.Duration{t.Context(): 2 * time.Second, impatient: time.Second} {
			all.Go(func() {
				o, _, err := c.call(ctx, "")
				if err == nil || o.Waited == nil || o.Waited.Took != took || !o.Waited.Fetch.IsValid() {
					t.Errorf("failed by %v after %+v, want a wait of %v", err, o.Waited, took)
				}
			})
		}
		all.Wait()
		if o, _, err := c.call(t.Context(), ""); err == nil || o.Waited != nil {
			t.Errorf("failed by %v after %+v, want no wait", err, o.Waited)
		}
	})
}

// TestWaitedLate: calls of an older policy fetch within the call.
func TestWaitedLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuing{answer: slowly(time.Second, 3600)}
		c := oauthCredential(t, server, plainClient)
		c.keep.Prune(nil)
		ctx, cause := traced(t)
		o, _, err := c.call(ctx, "")
		if err != nil || o.Waited == nil || o.Waited.Took != time.Second {
			t.Fatalf("got %v after %+v, want a wait of 1s", err, o.Waited)
		}
		if fetch := begunBy(t, server.requests()[0].Context(), cause); !fetch.Equal(o.Waited.Fetch) {
			t.Errorf("waited for %v, want %v", o.Waited.Fetch, fetch)
		}
	})
}

// TestWaitedForRole: as for tokens, also late.
func TestWaitedForRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []context.Context
		peer := &sts{answer: func(n int, r *http.Request) *http.Response {
			time.Sleep(time.Second)
			asked = append(asked, r.Context())
			return stsGives(n, time.Hour)
		}}
		a := roleSigner(t, peer, io.Discard)
		sign := func() {
			t.Helper()
			ctx, cause := traced(t)
			o := outgoing(t, "GET", "https://b.s3.amazonaws.com/k", nil)
			if err := a.Sign(ctx, o); err != nil || o.Waited == nil || o.Waited.Took != time.Second {
				t.Fatalf("got %v after %+v, want a wait of 1s", err, o.Waited)
			}
			if fetch := begunBy(t, asked[len(asked)-1], cause); !fetch.Equal(o.Waited.Fetch) {
				t.Errorf("waited for %v, want %v", o.Waited.Fetch, fetch)
			}
			if o = outgoing(t, "GET", "https://b.s3.amazonaws.com/k", nil); a.Sign(ctx, o) != nil || o.Waited != nil {
				t.Errorf("a call that found keys waited %+v", o.Waited)
			}
		}
		sign()
		a.close()
		time.Sleep(time.Hour)
		sign()
	})
}

// waiter is a member that waits, and then signs or fails.
type waiter struct {
	settled
	wait  time.Duration
	fetch trace.SpanContext
	err   error
}

func (s *waiter) Sign(_ context.Context, o *Outgoing) error {
	if s.wait > 0 {
		w := o.waits(time.Now())
		defer w.end(time.Now)
		w.Fetch = s.fetch
		time.Sleep(s.wait)
	}
	return s.err
}

// TestWaitedInPool: a pool waits as long as all its members together, also where none
// can sign.
func TestWaitedInPool(t *testing.T) {
	no := fault.Newf(fault.CredentialUnavailable, "no")
	one, two := telemetry.NewTrace().Context(), telemetry.NewTrace().Context()
	for _, tt := range []struct {
		name    string
		members [2]waiter
		took    time.Duration
		fetch   trace.SpanContext
		err     error
	}{
		{"none waits", [2]waiter{{err: no}, {}}, 0, trace.SpanContext{}, nil},
		{"the first", [2]waiter{{wait: time.Second, fetch: one, err: no}, {}}, time.Second, one, nil},
		{"the second", [2]waiter{{err: no}, {wait: time.Second, fetch: two}}, time.Second, two, nil},
		{"both", [2]waiter{{wait: time.Second, fetch: one, err: no}, {wait: time.Second, fetch: two}}, 2 * time.Second, two, nil},
		{"both in vain", [2]waiter{{wait: time.Second, fetch: one, err: no}, {wait: time.Second, fetch: two, err: no}}, 2 * time.Second, two, no},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				members, env := bearers("x", "y")
				p := pooled(t, "1m", env, nil, members)
				for i, m := range p.members {
					m.signer = &tt.members[i]
				}
				o := poolOutgoing(t, "GET", "https://a.example/")
				began := time.Now()
				if err := p.Sign(t.Context(), o); !errors.Is(err, tt.err) {
					t.Fatalf("got %v, want %v", err, tt.err)
				}
				switch w := o.Waited; {
				case tt.took == 0 && w != nil:
					t.Errorf("waited %+v, want none", w)
				case tt.took > 0 && (w == nil || !w.Start.Equal(began) || w.Took != tt.took || !w.Fetch.Equal(tt.fetch)):
					t.Errorf("waited %+v, want %v from %v for %v", w, tt.took, began, tt.fetch)
				}
			})
		})
	}
}
