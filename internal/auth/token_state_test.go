package auth

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// says holds what a Keep says of its only credential that fetches.
func says(t *testing.T, k *Keep, when string, want TokenState) {
	t.Helper()
	if got := k.Tokens(); len(got) != 1 || got[0] != want {
		t.Errorf("%s: got %+v, want %+v alone", when, got, want)
	}
}

// TestTokenState: a token from before its first request to beyond its end, with
// fetches that fail.
func TestTokenState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuing{answer: slowly(time.Second, 100)}
		c := oauthCredential(t, server, plainClient)
		says(t, c.keep, "unused", TokenState{Credential: "partner"})
		c.want("token-1")
		c.Signer.(*oauth2).one.rest() // nothing renews it ahead
		says(t, c.keep, "fetched", TokenState{
			Credential: "partner", Held: true, Age: time.Second, Remaining: 94 * time.Second, Fetches: 1,
		})
		time.Sleep(44 * time.Second)
		says(t, c.keep, "older", TokenState{
			Credential: "partner", Held: true, Age: 45 * time.Second, Remaining: 50 * time.Second, Fetches: 1,
		})
		server.says(func(int, asked) (*http.Response, error) { return answered(503, ""), nil })
		time.Sleep(time.Minute)
		c.fails("503")
		says(t, c.keep, "ended", TokenState{Credential: "partner", Fetches: 2, Failures: 1})

		server.says(nil)
		time.Sleep(mostTrouble)
		o := c.want("token-3")
		c.Answered(t.Context(), o, &http.Response{StatusCode: 401})
		says(t, c.keep, "refused", TokenState{Credential: "partner", Fetches: 3, Failures: 1})
		c.keep.Prune(nil)
		if got := c.keep.Tokens(); len(got) != 0 {
			t.Errorf("of no policy any more: got %+v, want none", got)
		}
	})
}

// TestTokenStateGivenUp: what ends because the credential is gone is no failure.
func TestTokenStateGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuing{answer: slowly(time.Minute, 100)}
		c := oauthCredential(t, server, plainClient)
		ctx, cancel := context.WithCancel(t.Context())
		var call sync.WaitGroup
		call.Go(func() {
			if _, _, err := c.call(ctx, ""); err == nil {
				t.Error("a call that was cancelled is signed")
			}
		})
		synctest.Wait()
		cancel()
		call.Wait()
		a := c.Signer.(*oauth2)
		a.close()
		if got, _ := a.state(time.Now()); got != (TokenState{Credential: "partner"}) {
			t.Errorf("got %+v, want no fetch", got)
		}
	})
}

// TestTokenStateOfSubjects: the fetches of all, and the token that came last.
func TestTokenStateOfSubjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuing{}
		c := oauthCredential(t, server, policy.OAuth2{
			Grant: policy.GrantExchange, Exchange: policy.ExchangeGrant{SubjectType: "urn:ietf:params:oauth:token-type:jwt"},
		})
		says(t, c.keep, "unused", TokenState{Credential: "partner"})
		for i := range 3 {
			server.says(func(n int, _ asked) (*http.Response, error) { return issued(n, 1000*(i+1)), nil })
			for range 2 {
				if _, _, err := c.call(t.Context(), fmt.Sprint("caller-", i)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(10 * time.Second)
		}
		server.says(func(int, asked) (*http.Response, error) { return answered(400, `{"error":"invalid_grant"}`), nil })
		if _, _, err := c.call(t.Context(), "caller-x"); err == nil {
			t.Error("a subject that the server refuses is signed for")
		}
		says(t, c.keep, "three callers, and one who is refused", TokenState{
			Credential: "partner", Held: true, Age: 10 * time.Second, Remaining: 3000*time.Second - mostSkew - 10*time.Second, Fetches: 4, Failures: 1,
		})
	})
}

// TestTokenStateOfRole: the keys of a role; keys that nobody fetches are not there.
func TestTokenStateOfRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &sts{}
		a := roleSigner(t, peer, io.Discard)
		k := NewKeep(Config{Secrets: a.Secrets, Transport: a.Transport})
		t.Cleanup(k.Close)
		k.Signer(&policy.Credential{Name: "plain", ID: "1", Scheme: &policy.AWS{}})
		k.Signer(&policy.Credential{Name: "token", ID: "2", Scheme: &policy.Bearer{}})
		s := k.Signer(&policy.Credential{Name: "role", ID: "3", Scheme: a.scheme}).(*aws)
		says(t, k, "unused", TokenState{Credential: "role"})
		if _, err := signRole(t, t.Context(), s); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		says(t, k, "fetched", TokenState{
			Credential: "role", Held: true, Age: time.Minute, Remaining: time.Hour - stsEnd - time.Minute, Fetches: 1,
		})
		peer.mu.Lock()
		peer.answer = func(int, *http.Request) *http.Response { return stsSays(403, "") }
		peer.mu.Unlock()
		time.Sleep(time.Hour)
		if _, err := signRole(t, t.Context(), s); err == nil {
			t.Error("signed without keys")
		}
		says(t, k, "ended", TokenState{Credential: "role", Fetches: 2, Failures: 1})
	})
}

// TestTokenStateWhilePoliciesChange: a credential that is there as it was and as it
// is, is one.
func TestTokenStateWhilePoliciesChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuing{}
		c := oauthCredential(t, server, plainClient)
		c.want("token-1")
		time.Sleep(time.Minute)
		newer := *c.cred
		newer.ID = "partner-2"
		next := c.keep.Signer(&newer)
		held := TokenState{Credential: "partner", Held: true, Age: time.Minute, Remaining: time.Hour - mostSkew - time.Minute, Fetches: 1}
		says(t, c.keep, "the new one is unused", held)
		if err := next.Sign(t.Context(), outgoing(t, "GET", "https://a.example/", nil)); err != nil {
			t.Fatal(err)
		}
		held.Age, held.Remaining, held.Fetches = 0, time.Hour-mostSkew, 2
		says(t, c.keep, "the new one has a token", held)
		c.keep.Prune([]*policy.Credential{&newer})
		held.Fetches = 1
		says(t, c.keep, "the old one is gone", held)
	})
}

// BenchmarkTokens is what a scrape costs.
func BenchmarkTokens(b *testing.B) {
	k := NewKeep(Config{})
	for i := range 100 {
		k.Signer(&policy.Credential{Name: fmt.Sprint("c", i), ID: fmt.Sprint(i), Scheme: &policy.OAuth2{Grant: policy.GrantClientCredentials}})
	}
	b.Cleanup(k.Close)
	b.ReportAllocs()
	for b.Loop() {
		k.Tokens()
	}
}
