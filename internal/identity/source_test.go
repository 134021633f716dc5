package identity

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// bubble runs a test on a clock of its own.
func bubble(t *testing.T, run func(t *testing.T, v *Verifier, keys *server)) {
	rsaKey() // made outside, where it takes no time
	synctest.Test(t, func(t *testing.T) {
		keys := &server{body: jwks(signer{"a", rsaKey()})}
		v := New(Config{Fetcher: keys})
		defer v.Close()
		v.Use(snapshot(t, jwtPolicy))
		run(t, v, keys)
	})
}

func lasting(s signer) string {
	return s.token("RS256", "exp", time.Now().Add(1000*time.Hour).Unix())
}

func TestUnknownKeys(t *testing.T) {
	bubble(t, func(t *testing.T, v *Verifier, keys *server) {
		a, b := signer{"a", rsaKey()}, signer{"b", must(rsa.GenerateKey(rand.Reader, 2048))}
		expect(t, v, Proof{Token: lasting(a)}, "billing", "")
		time.Sleep(fetchEvery)
		keys.hold = make(chan struct{})
		keys.set(jwks(a, b), nil)
		var all sync.WaitGroup
		for i := range 200 { // a storm: those of b are good, all others nobody's
			all.Go(func() {
				if i%2 == 0 {
					expect(t, v, Proof{Token: lasting(b)}, "billing", "")
					return
				}
				expect(t, v, Proof{Token: lasting(signer{fmt.Sprint("x", i), b.key})}, "", "no key")
			})
		}
		synctest.Wait()
		if n := keys.count(); n != 2 {
			t.Errorf("the keys were fetched %d times, want 2: one flight for all", n)
		}
		close(keys.hold)
		all.Wait()
		for range 100 {
			expect(t, v, Proof{Token: lasting(signer{"y", b.key})}, "", "no key")
		}
		if n := keys.count(); n != 2 {
			t.Errorf("the keys were fetched %d times, want 2: not again for 30 s", n)
		}
		time.Sleep(fetchEvery)
		expect(t, v, Proof{Token: lasting(signer{"y", b.key})}, "", "no key")
		if n := keys.count(); n != 3 {
			t.Errorf("the keys were fetched %d times, want 3", n)
		}
	})
}

// TestFetchIsATraceOfItsOwn: it has a link to the call that began it, which it may
// outlive.
func TestFetchIsATraceOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := &server{body: jwks(signer{"a", rsaKey()})}
		var own *telemetry.Trace
		v := New(Config{Fetcher: FetcherFunc(func(ctx context.Context, in *policy.Issuer) ([]byte, time.Duration, error) {
			own = telemetry.TraceFrom(ctx)
			return keys.Get(ctx, in)
		})})
		defer v.Close()
		v.Use(snapshot(t, jwtPolicy))
		cause := telemetry.NewTrace()
		if _, err := v.Verify(telemetry.WithTrace(t.Context(), cause), Proof{Token: lasting(signer{"a", rsaKey()})}); err != nil {
			t.Fatal(err)
		}
		if own == nil || own.ID == cause.ID || len(own.Links) != 1 || own.Links[0].SpanContext.SpanID() != cause.Span {
			t.Errorf("the fetch is of trace %+v, want another than %v with a link to its span", own, cause.ID)
		}
	})
}

// TestKeysAreTakenBack holds that a remembered token goes with its key.
func TestKeysAreTakenBack(t *testing.T) {
	bubble(t, func(t *testing.T, v *Verifier, keys *server) {
		token := lasting(signer{"a", rsaKey()})
		expect(t, v, Proof{Token: token}, "billing", "")
		keys.set(jwks(signer{"a", must(rsa.GenerateKey(rand.Reader, 2048))}), nil)
		expect(t, v, Proof{Token: token}, "billing", "")
		time.Sleep(usualLife)
		expect(t, v, Proof{Token: token}, "", "signature is not that")
	})
}

// TestKeysWithoutAName holds that a key that was exchanged is found without a kid.
func TestKeysWithoutAName(t *testing.T) {
	bubble(t, func(t *testing.T, v *Verifier, keys *server) {
		b := signer{"", must(rsa.GenerateKey(rand.Reader, 2048))}
		expect(t, v, Proof{Token: lasting(signer{"", rsaKey()})}, "billing", "")
		keys.set(jwks(b), nil)
		expect(t, v, Proof{Token: lasting(b)}, "", "signature is not that")
		time.Sleep(fetchEvery)
		expect(t, v, Proof{Token: lasting(b)}, "billing", "")
		keys.set(jwks(b, signer{"", rsaKey()}), nil)
		time.Sleep(usualLife)
		expect(t, v, Proof{Token: lasting(b)}, "", "has 2 keys")
	})
}

// TestRefresh holds that keys are fetched before they expire, and nobody waits.
func TestRefresh(t *testing.T) {
	bubble(t, func(t *testing.T, v *Verifier, keys *server) {
		keys.maxAge = 10 * time.Minute
		token := lasting(signer{"a", rsaKey()})
		expect(t, v, Proof{Token: token}, "billing", "")
		time.Sleep(8*time.Minute - time.Second)
		expect(t, v, Proof{Token: token}, "billing", "")
		if n := keys.count(); n != 1 {
			t.Errorf("the keys were fetched %d times before they were due", n)
		}
		time.Sleep(time.Second)
		keys.hold = make(chan struct{})
		before := time.Now()
		expect(t, v, Proof{Token: token}, "billing", "")
		synctest.Wait()
		if n := keys.count(); n != 2 || time.Since(before) != 0 {
			t.Errorf("the keys were fetched %d times, want 2; the caller waited %s", n, time.Since(before))
		}
		close(keys.hold)
	})
}

func TestKeysThatCannotBeFetched(t *testing.T) {
	bubble(t, func(t *testing.T, v *Verifier, keys *server) {
		token := lasting(signer{"a", rsaKey()})
		good := keys.body
		overloaded := func(words string) {
			t.Helper()
			_, err := v.Verify(t.Context(), Proof{Token: token})
			if f := fault.From(err); !errors.Is(err, fault.Overloaded) || !f.SafeToRetry || !strings.Contains(err.Error(), words) {
				t.Errorf("Verify gives %v, want Overloaded with %q", err, words)
			}
		}
		keys.set(nil, errors.New("the server is down"))
		for range 10 {
			overloaded("is down")
		}
		if n := keys.count(); n != 1 {
			t.Errorf("the keys were fetched %d times at once", n)
		}
		time.Sleep(firstEvery)
		keys.set([]byte(`{"keys":[]}`), nil)
		overloaded("none of the set's 0 keys")
		time.Sleep(firstEvery)
		keys.set(good, nil)
		expect(t, v, Proof{Token: token}, "billing", "")

		keys.set(nil, errors.New("the server is down again"))
		for elapsed := time.Duration(0); elapsed < staleLife-time.Hour; elapsed += time.Hour {
			time.Sleep(time.Hour)
			expect(t, v, Proof{Token: token}, "billing", "")
			synctest.Wait()
		}
		time.Sleep(time.Hour)
		overloaded("down again")
		time.Sleep(firstEvery)
		keys.set(good, nil)
		expect(t, v, Proof{Token: token}, "billing", "")
	})
}

// TestCallsThatEnd holds that a fetch is nobody's own: a call that ends does not end
// it, and a Verifier that is closed does.
func TestCallsThatEnd(t *testing.T) {
	bubble(t, func(t *testing.T, v *Verifier, keys *server) {
		keys.hold = make(chan struct{})
		token := lasting(signer{"a", rsaKey()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := v.Verify(ctx, Proof{Token: token}); !errors.Is(err, fault.Cancelled) {
			t.Errorf("Verify gives %v, want Cancelled", err)
		}
		var waits sync.WaitGroup
		waits.Go(func() { expect(t, v, Proof{Token: token}, "billing", "") })
		synctest.Wait()
		close(keys.hold)
		waits.Wait()
		if n := keys.count(); n != 1 {
			t.Errorf("the keys were fetched %d times, want once", n)
		}
		time.Sleep(usualLife)
		keys.hold = make(chan struct{})
		waits.Go(func() { expect(t, v, Proof{Token: token}, "billing", "") })
		synctest.Wait()
		v.Close()
		waits.Wait()
	})
}
