package secret

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/telemetry"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// stateOf is the one of source; zero: there is none.
func stateOf(s *Store, source string) SourceState {
	for _, state := range s.States() {
		if state.Source == source {
			return state
		}
	}
	return SourceState{}
}

// TestStateOfEnvironment: each use is a reading, and no value is old.
func TestStateOfEnvironment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := map[string]string{"GOOD": canary, "BAD": "\x00"}
		s := New(Config{LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
		if got := s.States(); len(got) != 0 {
			t.Errorf("of a store that nobody used: %+v", got)
		}
		for _, ref := range []string{"env:GOOD", "env:GOOD", "env:BAD", "env:NONE", "no reference"} {
			_, _ = s.Get(ref)
			time.Sleep(time.Minute)
		}
		if got, want := s.States(), []SourceState{{Source: "env", Reads: 4, Failures: 2}}; !slices.Equal(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// TestStateOfFiles: what is looked at and is as before was not read, a file that
// nobody asks for does not age, and one that cannot be read does with each use.
func TestStateOfFiles(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	old := time.Unix(1e8, 0) // before the bubble's clock begins, so that it is settled
	put := func(path, text string) {
		write(t, path, text)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	put(good, canary)
	put(bad, canary)
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		use := func(path string, times int) {
			for range times {
				_, _ = s.Get("file:" + path)
				time.Sleep(time.Second)
			}
		}
		want := func(when string, oldest time.Duration, reads, failures int64) {
			t.Helper()
			if got, want := s.States(), []SourceState{{"file", oldest, reads, failures}}; !slices.Equal(got, want) {
				t.Errorf("%s: got %+v, want %+v", when, got, want)
			}
		}
		use(good, 10)
		want("looked at ten times", 0, 1, 0)
		time.Sleep(50 * time.Minute)
		want("left alone", 0, 1, 0)
		put(good, canary+"2")
		use(good, 2)
		want("rotated", 0, 2, 0)

		use(bad, 5)
		if err := os.Remove(bad); err != nil {
			t.Fatal(err)
		}
		use(bad, 10)
		want("gone for ten seconds", 10*time.Second, 13, 10)
		time.Sleep(20 * time.Minute)
		want("gone, and left alone", 10*time.Second, 13, 10)
		use(bad, 1) // too old to be used by now
		want("gone for 20 minutes", 20*time.Minute+11*time.Second, 14, 11)
		use(filepath.Join(dir, "never"), 1)
		want("one that never was", 20*time.Minute+11*time.Second, 15, 12)
		put(bad, canary)
		use(bad, 1)
		want("back", 0, 16, 12)
		if err := os.Remove(bad); err != nil {
			t.Fatal(err)
		}
		use(bad, 10)
		time.Sleep(time.Hour)
		want("not asked for any more", 0, 26, 22)
	})
}

// TestStateOfVault: its values are as old as their last reading, whatever is asked for,
// and what is counted is counted on when the policy changes the vault.
func TestStateOfVault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testpeer.VaultLease{}, nil)
		defer w.Close()
		want := func(when string, least, most time.Duration, failures int64) SourceState {
			t.Helper()
			got := stateOf(w.Store, "vault vault")
			if got.Oldest < least || got.Oldest > most || got.Failures != failures && failures >= 0 {
				t.Errorf("%s: got %+v, want an age from %v to %v and %d failures", when, got, least, most, failures)
			}
			return got
		}
		if got := want("unused", 0, 0, 0); got.Source == "" || got.Reads != 0 {
			t.Errorf("unused: got %+v, want a state without readings", got)
		}
		w.peer.Put("secret/a", map[string]string{"k": "one", "l": "one"})
		w.is("vault:a#k", "one")
		w.is("vault:a#l", "one")
		time.Sleep(30 * time.Second)
		want("read once", 30*time.Second, 30*time.Second, 0)
		for range 100 {
			time.Sleep(7 * time.Second)
			want("read again and again", 0, time.Minute, 0)
		}

		w.peer.Seal(true)
		time.Sleep(4 * time.Minute)
		w.is("vault:a#k", "one")
		if sealed := want("sealed", 3*time.Minute, 5*time.Minute, -1); sealed.Failures == 0 {
			t.Errorf("sealed: got %+v, want failures", sealed)
		}
		time.Sleep(6 * time.Minute)
		w.fails("vault:a#k", "it is sealed")
		sealed := want("sealed for too long", 9*time.Minute, 11*time.Minute, -1)
		w.peer.Seal(false)
		time.Sleep(lastPause)
		again := want("again", 0, lastPause, -1)
		if good := again.Reads - again.Failures; good != sealed.Reads-sealed.Failures+1 {
			t.Errorf("again: got %+v after %+v, want one more that is good", again, sealed)
		}

		w.from.Vaults = []Vault{w.from.Vaults[0]}
		w.from.Vaults[0].ID = "2"
		w.Use(w.from)
		again.Oldest = 0
		if got := want("another policy", 0, 0, -1); got != again {
			t.Errorf("another policy: got %+v, want %+v", got, again)
		}
		w.from.Vaults = nil
		w.Use(w.from)
		if got := stateOf(w.Store, "vault vault"); got != (SourceState{}) {
			t.Errorf("of no policy any more: got %+v", got)
		}
	})
}

// TestStateOfKeys: a key that is gone ages while the others do not, until nobody has
// asked for it for an hour: then it is nobody's trouble.
func TestStateOfKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testpeer.VaultLease{}, nil)
		defer w.Close()
		w.peer.Put("secret/a", map[string]string{"k": "one", "l": "one"})
		w.is("vault:a#k", "one")
		w.is("vault:a#l", "one")
		w.peer.Put("secret/a", map[string]string{"l": "two"})
		time.Sleep(3 * time.Minute)
		w.is("vault:a#k", "one")
		w.is("vault:a#l", "two")
		if got := stateOf(w.Store, "vault vault"); got.Failures == 0 || got.Oldest < 2*time.Minute {
			t.Errorf("without a key: got %+v, want failures, and an age of its own", got)
		}
		for range 70 {
			time.Sleep(time.Minute)
			w.is("vault:a#l", "two")
		}
		before := stateOf(w.Store, "vault vault")
		time.Sleep(10 * time.Minute)
		if got := stateOf(w.Store, "vault vault"); got.Failures != before.Failures || got.Oldest > time.Minute || got.Reads-before.Reads > 15 {
			t.Errorf("after an hour: got %+v after %+v, want no failure, and a reading a minute", got, before)
		}
	})
}

// recorder notes what the Traces of requests are.
type recorder struct {
	http.RoundTripper
	mu  sync.Mutex
	all map[string][]*telemetry.Trace // by method and path
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	at := req.Method + " " + req.URL.Path
	r.all[at] = append(r.all[at], telemetry.TraceFrom(req.Context()))
	r.mu.Unlock()
	return r.RoundTripper.RoundTrip(req)
}

// TestVaultTraces: what is read for a call is a trace of its own, with the login that
// it needs, and has a link to the call; what is read by the clock has none.
func TestVaultTraces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{all: map[string][]*telemetry.Trace{}}
		w := newWorld(t, testpeer.VaultLease{TTL: 2 * time.Minute, Renewable: true}, func(v *Vault) {
			r.RoundTripper = v.Transport
			v.Transport = r
		})
		defer w.Close()
		w.peer.Put("secret/a", map[string]string{"k": "one"})
		cause := telemetry.NewTrace()
		if _, err := w.GetContext(telemetry.WithTrace(context.Background(), cause), "vault:a#k"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		w.Close()
		reads, logins, renewals := r.all[readA], r.all[login], r.all[renew]
		if len(reads) < 3 || len(logins) != 1 || len(renewals) == 0 {
			t.Fatalf("%d reads, %d logins, %d renewals", len(reads), len(logins), len(renewals))
		}
		first := reads[0]
		if first == nil || first.ID == cause.ID || logins[0] != first {
			t.Errorf("the first reading is of trace %v, its login of %v, want both of one that is not the call's", first, logins[0])
		} else if len(first.Links) != 1 || first.Links[0].SpanContext.SpanID() != cause.Span {
			t.Errorf("the first reading has links %v, want one to the call", first.Links)
		}
		seen := map[string]bool{fmt.Sprint(first.ID): true}
		for _, own := range append(reads[1:], renewals...) {
			if own == nil || len(own.Links) > 0 || seen[fmt.Sprint(own.ID)] {
				t.Errorf("what the clock began is of trace %+v, want one of its own without links", own)
				continue
			}
			seen[fmt.Sprint(own.ID)] = true
		}
	})
}

// BenchmarkStates is what a scrape costs.
func BenchmarkStates(b *testing.B) {
	s := New(Config{})
	path := filepath.Join(b.TempDir(), "f")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		b.Fatal(err)
	}
	if _, err := s.Get("file:" + path); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.States()
	}
}
