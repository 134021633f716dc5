package secret

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// direct calls a handler without a network, so that a synctest bubble can hold both
// ends.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// logged is a log that may be read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// world is a Store with one vault, called vault.
type world struct {
	*testing.T
	*Store
	peer *testpeer.Vault
	log  *logged
	from Sources
}

const secretID = "secret-id-" + canary

// newWorld reaches its vault directly and logs in by AppRole with lease, unless change
// says otherwise.
func newWorld(t *testing.T, lease testpeer.VaultLease, change func(*Vault)) *world {
	t.Helper()
	peer := testpeer.NewVault()
	peer.AppRole("approle", "role", secretID, &lease)
	cfg := Vault{
		Name: "vault", ID: "1", Address: "http://vault.test", Transport: direct{peer}, Refresh: time.Minute,
		RoleID: "role", SecretID: "file:" + filepath.Join(t.TempDir(), "id"),
	}
	write(t, strings.TrimPrefix(cfg.SecretID, "file:"), secretID)
	if change != nil {
		change(&cfg)
	}
	w := &world{T: t, peer: peer, log: &logged{}, from: Sources{Keep: 5 * time.Minute, Vaults: []Vault{cfg}}}
	w.Store = New(Config{
		Log:       slog.New(slog.NewTextHandler(w.log, nil)),
		LookupEnv: func(string) (string, bool) { return "", false },
	})
	w.Use(w.from)
	t.Cleanup(func() {
		if got := w.log.String(); leaks(got) || strings.Contains(got, "hvs.") {
			t.Errorf("the log has a secret:\n%s", got)
		}
		if got := peer.Strange(); got != nil {
			t.Errorf("the vault was sent what it should not be: %q", got)
		}
	})
	return w
}

// is fails unless ref has text.
func (w *world) is(ref, text string) {
	w.Helper()
	got, err := w.Get(ref)
	if err != nil || got.Reveal() != text {
		w.Errorf("%s: got %q, %v; want %q", ref, got.Reveal(), err, text)
	}
}

// fails fails unless ref is an error that has text in it and no secret.
func (w *world) fails(ref, text string) {
	w.Helper()
	got, err := w.Get(ref)
	if err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), ref) {
		w.Errorf("%s: got %v, want an error with %q that names it", ref, err, text)
	}
	if !got.IsZero() || leaks(err.Error()) || strings.Contains(err.Error(), "hvs.") {
		w.Errorf("%s: a value, or an error with a secret: %v", ref, err)
	}
}

// counted fails unless there were n such requests.
func (w *world) counted(request string, n int) {
	w.Helper()
	if got := w.peer.Count(request); got != n {
		w.Errorf("%s: %d requests, want %d", request, got, n)
	}
}

// always is an answer with this status and body.
func always(status int, body string) func(*http.Request) *testpeer.VaultAnswer {
	return func(*http.Request) *testpeer.VaultAnswer { return &testpeer.VaultAnswer{Status: status, Body: body} }
}

// toReads is answer, to reads of secrets only.
func toReads(answer func(*http.Request) *testpeer.VaultAnswer) func(*http.Request) *testpeer.VaultAnswer {
	return func(r *http.Request) *testpeer.VaultAnswer {
		if !strings.Contains(r.URL.Path, "/data/") {
			return nil
		}
		return answer(r)
	}
}

const (
	login  = "POST /v1/auth/approle/login"
	renew  = "POST /v1/auth/token/renew-self"
	lookUp = "GET /v1/auth/token/lookup-self"
	readA  = "GET /v1/secret/data/a"
)

// kv is the answer to a read.
func kv(data string) string {
	return fmt.Sprintf(`{"data":{"data":%s,"metadata":{"version":3,"deletion_time":"","destroyed":false}}}`, data)
}
