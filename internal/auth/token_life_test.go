package auth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

var plainClient = policy.OAuth2{ClientID: "fetchsvc", ClientSecret: "env:SECRET"}

// slowly answers after a while, as a server on a network does.
func slowly(d time.Duration, seconds int) func(int, asked) (*http.Response, error) {
	return func(n int, a asked) (*http.Response, error) {
		select {
		case <-time.After(d):
			return issued(n, seconds), nil
		case <-a.Context().Done():
			return nil, context.Cause(a.Context())
		}
	}
}

// TestManyCallersOneTokenRequest: while there is no token, when it has ended, and
// when it was refused.
func TestManyCallersOneTokenRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuing{answer: slowly(time.Second, 3600)}
		c := oauthCredential(t, server, plainClient)
		want := func(when, token string, requests int) {
			t.Helper()
			if got := c.many(200); len(got) != 1 || got["Bearer "+token] != 200 || server.count() != requests {
				t.Errorf("%s: 200 calls got %v by %d token requests, want %s by %d", when, got, server.count(), token, requests)
			}
		}
		want("cold", "token-1", 1)
		want("warm", "token-1", 1)
		c.Signer.(*oauth2).one.rest() // nothing renews it ahead
		time.Sleep(time.Hour)
		want("ended", "token-2", 2)

		signed := make([]*Outgoing, 200)
		for i := range signed {
			signed[i] = c.want("token-2")
		}
		var wg sync.WaitGroup
		for _, o := range signed {
			wg.Go(func() {
				if v := c.Answered(t.Context(), o, &http.Response{StatusCode: 401}); !v.Again || v.Why == "" || v.Stale {
					t.Errorf("after 401: %+v, want to try again", v)
				}
				if _, token, err := c.call(t.Context(), ""); err != nil || token != "Bearer token-3" {
					t.Errorf("after 401: %q, %v, want token-3", token, err)
				}
			})
		}
		wg.Wait()
		want("refused", "token-3", 3)
	})
}

// TestTokenIsRenewedAhead: by the clock, while it is in use, so that no call waits.
func TestTokenIsRenewedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuing{answer: slowly(time.Second, 3600)}
		c := oauthCredential(t, server, plainClient)
		c.want("token-1")
		time.Sleep(58 * time.Minute)
		synctest.Wait()
		if n := server.count(); n != 1 {
			t.Fatalf("%d token requests within 58 minutes, want 1", n)
		}
		time.Sleep(2 * time.Minute)
		began := time.Now()
		c.want("token-2")
		if waited := time.Since(began); waited > 0 {
			t.Errorf("the call waited %v for a token that should have been there", waited)
		}
		// The second token was used, so there is a third; nobody uses that one.
		time.Sleep(5 * time.Hour)
		if n := server.count(); n != 3 {
			t.Errorf("%d token requests, want 3: a token that nobody uses is not renewed", n)
		}
		c.want("token-4")
	})
}

// TestTokenServesToItsEnd: where it cannot be renewed it goes on serving, and never
// beyond its end.
func TestTokenServesToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuing{}
		c := oauthCredential(t, server, plainClient)
		c.want("token-1")
		ends := time.Now().Add(time.Hour)
		server.says(func(int, asked) (*http.Response, error) { return answered(503, ""), nil })
		for time.Until(ends) > mostSkew {
			c.want("token-1")
			time.Sleep(time.Second)
		}
		for range 30 {
			c.fails("503")
			time.Sleep(time.Second)
		}
		if n := server.count(); n < 3 || n > 12 {
			t.Errorf("%d token requests within 90 s of trouble, want few and more than none", n)
		}
		server.says(nil)
		time.Sleep(mostTrouble)
		if _, got, err := c.call(t.Context(), ""); err != nil || !strings.HasPrefix(got, "Bearer token-") {
			t.Errorf("after the trouble: %q, %v", got, err)
		}
		if log := c.log.String(); strings.Count(log, "cannot be fetched") > 4 || !strings.Contains(log, "can be fetched again") {
			t.Errorf("the log should say once a minute what is wrong, and then that it is over:\n%s", log)
		}
	})
}

// TestShortLives: whatever the server says, the token is sent while it is good, and
// not after.
func TestShortLives(t *testing.T) {
	for _, seconds := range []int{1, 2, 10, 30, 100, 1000, 100_000} {
		synctest.Test(t, func(t *testing.T) {
			server := &issuing{answer: func(n int, _ asked) (*http.Response, error) { return issued(n, seconds), nil }}
			c := oauthCredential(t, server, plainClient)
			began, life := time.Now(), min(time.Duration(seconds)*time.Second, longestLife)
			c.want("token-1")
			first := c.Signer.(*oauth2).one.current.Load()
			if lead := first.expires.Sub(first.due); !first.due.After(began) || lead < 0 || first.expires.After(began.Add(life)) || first.expires.Before(began.Add(life*9/10-time.Second)) {
				t.Errorf("a token of %v is due after %v and ends after %v", life, first.due.Sub(began), first.expires.Sub(began))
			}
			c.Signer.(*oauth2).one.rest()
			time.Sleep(life)
			c.want("token-2")
		})
	}
}

// TestSlowServer: each call waits as long as its own clocks allow, and the request
// goes on for the others.
func TestSlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuing{answer: slowly(10*time.Second, 3600)}
		c := oauthCredential(t, server, plainClient)
		clock := fault.New(fault.AttemptTimeout, "the attempt's clock")
		var wg sync.WaitGroup
		waits := func(d time.Duration, want fault.Kind, ctx context.Context, cancel func()) {
			wg.Go(func() {
				defer cancel()
				began := time.Now()
				_, got, err := c.call(ctx, "")
				if waited := time.Since(began); waited != d || want == "" && (err != nil || got != "Bearer token-1") || want != "" && !errors.Is(err, want) {
					t.Errorf("got %q, %v after %v, want %q after %v", got, err, waited, want, d)
				}
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		waits(time.Second, fault.TotalTimeout, ctx, cancel) // it began the request
		synctest.Wait()
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second, cancel)
		waits(2*time.Second, fault.Cancelled, ctx, cancel)
		caused, end := context.WithCancelCause(t.Context())
		time.AfterFunc(3*time.Second, func() { end(clock) })
		waits(3*time.Second, fault.AttemptTimeout, caused, func() {})
		waits(10*time.Second, "", t.Context(), func() {})
		wg.Wait()
		if n := server.count(); n != 1 {
			t.Errorf("%d token requests, want 1", n)
		}
	})
}

// TestHangingServer: a token request ends by itself, and calls fail at once for a
// while.
func TestHangingServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuing{answer: func(_ int, a asked) (*http.Response, error) {
			<-a.Context().Done()
			return nil, a.Context().Err()
		}}
		c := oauthCredential(t, server, plainClient)
		began := time.Now()
		c.fails("no answer")
		if waited := time.Since(began); waited != fetchTime {
			t.Errorf("the call waited %v, want %v", waited, fetchTime)
		}
		if f := c.fails("no answer"); f.RetryAfter != firstTrouble || server.count() != 1 {
			t.Errorf("%d requests, and the next is to be in %v; want 1 and %v", server.count(), f.RetryAfter, firstTrouble)
		}
	})
}

// TestFailingServer: how calls fail, and how soon the server is asked again.
func TestFailingServer(t *testing.T) {
	broken := fault.New(fault.ConnectTimeout, "to canary.internal")
	tests := []struct {
		name   string
		answer *http.Response
		err    error
		says   []string
		log    []string
		first  time.Duration // when the next request may be
	}{
		{name: "internal error", answer: answered(500, "canary"), says: []string{"500"}, first: firstTrouble},
		{name: "page", answer: answered(200, "<html>canary</html>"), says: []string{"no JSON object"}, first: firstTrouble},
		{name: "page of an error", answer: answered(403, "<html>canary</html>"), says: []string{"403"}, first: firstRefusal},
		{name: "nothing", answer: answered(200, ""), says: []string{"no JSON object"}, first: firstTrouble},
		{name: "no token", answer: answered(200, `{"canary":1}`), says: []string{"access_token"}, first: firstTrouble},
		{name: "redirect", answer: answered(302, "", "Location: https://canary/"), says: []string{"302"}, first: firstTrouble},
		{name: "created", answer: answered(201, `{"access_token":"canary","token_type":"Bearer"}`), says: []string{"201"}, first: firstTrouble},
		{name: "huge", answer: answered(200, `{"access_token":"`+strings.Repeat("canary", maxTokenAnswer)+`"}`), says: []string{"too large"}, first: firstTrouble},
		{name: "DPoP", answer: answered(200, `{"access_token":"canary","token_type":"DPoP"}`), says: []string{"token_type"}, first: firstTrouble},
		{name: "expired", answer: answered(200, `{"access_token":"canary","token_type":"bearer","expires_in":-1}`), says: []string{"expired"}, first: firstTrouble},
		{name: "line break in the token", answer: answered(200, `{"access_token":"canary\r\nX: y","token_type":"bearer"}`), says: []string{"visible ASCII"}, first: firstTrouble},
		{name: "invalid client", answer: answered(401, `{"error":"invalid_client","error_description":"canary","error_uri":"canary"}`),
			says: []string{"(invalid_client)"}, log: []string{"check client_id", "status=401", "oauth_error=invalid_client", "credential=partner"}, first: firstRefusal},
		{name: "invalid client with 200", answer: answered(200, `{"error":"invalid_client"}`), says: []string{"(invalid_client)"}, first: firstRefusal},
		{name: "a secret as error code", answer: answered(400, `{"error":"s3cret-canary"}`), says: []string{"400"}, first: firstRefusal},
		{name: "an object as error code", answer: answered(400, `{"error":{"message":"canary"}}`), says: []string{"400"}, first: firstRefusal},
		{name: "too many requests", answer: answered(429, "", "Retry-After: 7"), says: []string{"429"}, first: 7 * time.Second},
		{name: "unavailable for long", answer: answered(503, "", "Retry-After: 86400"), says: []string{"503"}, first: mostAsked},
		{name: "unavailable till", answer: answered(503, "", "Retry-After: Sat, 01 Jan 2000 00:00:20 GMT"), says: []string{"503"}, first: 20 * time.Second},
		{name: "no connection", err: broken, says: []string{"(CONNECT_TIMEOUT)"}, first: firstTrouble},
		{name: "no HTTP", err: errors.New("malformed"), says: []string{"no answer"}, log: []string{"malformed"}, first: firstTrouble},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &issuing{answer: func(n int, _ asked) (*http.Response, error) {
					if n > 1 {
						return issued(n, 3600), nil
					}
					return tt.answer, tt.err
				}}
				c := oauthCredential(t, server, plainClient)
				_, _, err := c.call(t.Context(), "")
				f := fault.From(err)
				if f.Kind != fault.CredentialUnavailable || !f.SafeToRetry || f.RetryAfter != tt.first {
					t.Fatalf("got %+v, want CREDENTIAL_UNAVAILABLE for %v", f, tt.first)
				}
				for _, says := range tt.says {
					if !strings.Contains(f.Message, says) {
						t.Errorf("the caller hears %q, want %q in it", f.Message, says)
					}
				}
				c.hidden(f.Message)
				for _, says := range tt.log {
					if !strings.Contains(c.log.String(), says) {
						t.Errorf("the log has %q, want %q in it", c.log.String(), says)
					}
				}
				if tt.err != broken {
					c.hidden(c.log.String())
				}
				time.Sleep(tt.first - time.Millisecond)
				if _, _, err := c.call(t.Context(), ""); err == nil || server.count() != 1 {
					t.Errorf("%d requests before %v passed, and %v", server.count(), tt.first, err)
				}
				time.Sleep(time.Millisecond)
				c.want("token-2")
			})
		})
	}
}

// TestSetbackGrows: a server that goes on failing is asked less and less often.
func TestSetbackGrows(t *testing.T) {
	for _, tt := range []struct {
		status int
		want   []time.Duration
	}{
		{500, []time.Duration{1, 2, 4, 8, 16, 30, 30}},
		{400, []time.Duration{5, 10, 20, 40, 60, 60}},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := &issuing{answer: func(int, asked) (*http.Response, error) { return answered(tt.status, ""), nil }}
			c := oauthCredential(t, server, plainClient)
			for i, want := range tt.want {
				if f := c.fails(); f.RetryAfter != want*time.Second || server.count() != i+1 {
					t.Errorf("status %d: request %d is to be in %v, want %v", tt.status, server.count()+1, f.RetryAfter, want*time.Second)
				}
				time.Sleep(want * time.Second)
			}
			server.says(nil)
			c.Signer.(*oauth2).one.rest()
			if _, _, err := c.call(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			server.says(func(int, asked) (*http.Response, error) { return answered(tt.status, ""), nil })
			time.Sleep(time.Hour)
			if f := c.fails(); f.RetryAfter != tt.want[0]*time.Second {
				t.Errorf("status %d: after a success it is to be %v, want %v", tt.status, f.RetryAfter, tt.want[0]*time.Second)
			}
		})
	}
}

// TestClose: what runs in the background ends, its waiters go on alone, and calls of
// an older policy still get tokens.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuing{answer: slowly(5*time.Second, 3600)}
		c := oauthCredential(t, server, plainClient)
		var wg sync.WaitGroup
		wg.Go(func() {
			if got := c.many(50); len(got) != 1 || got["Bearer token-2"] != 50 {
				t.Errorf("50 calls got %v, want token-2", got)
			}
		})
		synctest.Wait()
		began := time.Now()
		c.keep.Prune(nil)
		if took := time.Since(began); took > 0 {
			t.Errorf("the end of a token request was waited for, %v", took)
		}
		wg.Wait()
		if n := server.count(); n != 2 {
			t.Errorf("%d token requests, want the one that was ended and one for all that waited", n)
		}
		time.Sleep(3 * time.Hour)
		if n := server.count(); n != 2 {
			t.Errorf("%d token requests of a credential that is gone", n)
		}
		c.want("token-3")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c.Answered(ctx, c.want("token-3"), &http.Response{StatusCode: 401})
		if _, _, err := c.call(ctx, ""); !errors.Is(err, fault.TotalTimeout) {
			t.Errorf("got %v, want TOTAL_TIMEOUT", err)
		}
	})
}

// BenchmarkSign is a call that has its token at hand.
func BenchmarkSign(b *testing.B) {
	a := newOAuth2(source{"partner", &Config{Now: time.Now}}, "", &policy.OAuth2{Grant: policy.GrantClientCredentials})
	b.Cleanup(a.close)
	a.one.mu.Lock()
	if _, err := a.one.land(b.Context(), newToken("token", time.Now(), time.Hour), nil); err != nil {
		b.Fatal(err)
	}
	a.one.mu.Unlock()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := &http.Request{Header: http.Header{}}
		for pb.Next() {
			if err := a.Sign(b.Context(), &Outgoing{Request: r}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
