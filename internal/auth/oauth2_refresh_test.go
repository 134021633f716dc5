package auth

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// firstRefresh is the refresh token that policy has.
const firstRefresh = "refresh-canary-0"

// rotating is an authorization server that takes each refresh token once, and gives
// another with each access token. One that comes again ends the whole line (RFC 9700
// section 4.14.2).
type rotating struct {
	issuing
	mu     sync.Mutex
	good   string // the one that is good
	given  int
	broken bool
	// before is called with the number of the request, before it is answered.
	before func(n int)
}

func newRotating() *rotating {
	r := &rotating{good: firstRefresh}
	r.answer = func(n int, a asked) (*http.Response, error) {
		if r.before != nil {
			r.before(n)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if a.form.Get("refresh_token") != r.good || r.broken {
			r.broken = true
			return answered(400, `{"error":"invalid_grant"}`), nil
		}
		r.given++
		r.good = "refresh-canary-" + strconv.Itoa(r.given)
		if err := a.Context().Err(); err != nil {
			return nil, err // the answer is lost, and the token is spent
		}
		return answered(200, `{"access_token":"token-`+strconv.Itoa(r.given)+`","token_type":"Bearer","expires_in":3600,"refresh_token":"`+r.good+`"}`), nil
	}
	return r
}

func refreshing(file string) policy.OAuth2 {
	return policy.OAuth2{Grant: policy.GrantRefresh, ClientID: "fetchsvc", Refresh: policy.RefreshGrant{Token: "env:REFRESH", StateFile: file}}
}

func stateOf(t *testing.T, file string) refreshState {
	t.Helper()
	data, err := os.ReadFile(file)
	var s refreshState
	if err != nil || json.Unmarshal(data, &s) != nil {
		t.Fatalf("the state file has %d bytes, %v", len(data), err)
	}
	return s
}

// TestRotation: each refresh token is sent once, and the newest outlasts the process.
func TestRotation(t *testing.T) {
	for _, kept := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			server, folder := newRotating(), t.TempDir()
			file := ""
			if kept {
				file = filepath.Join(folder, "state")
			}
			c := oauthCredential(t, server, refreshing(file))
			for i := 1; i <= 3; i++ {
				c.want("token-" + strconv.Itoa(i))
				if kept && stateOf(t, file).Token != server.good {
					t.Error("the state file has another token than the newest")
				}
				c.Signer.(*oauth2).one.rest()
				time.Sleep(time.Hour)
			}
			c.keep.Close()
			if c = oauthCredential(t, server, refreshing(file)); !kept {
				c.fails("(invalid_grant)")
				return
			}
			c.want("token-4")
			info, err := os.Stat(file)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the state file is %v, %v, want it readable by nobody else", info.Mode(), err)
			}
			if entries, _ := os.ReadDir(folder); len(entries) != 2 {
				t.Errorf("the folder has %v, want the file and its lock", entries)
			}
		})
	}
}

// TestNewRefreshTokenInPolicy: it counts from then on, and not what came of the one
// before, whether it came while the process ran or before.
func TestNewRefreshTokenInPolicy(t *testing.T) {
	for _, file := range []string{"", filepath.Join(t.TempDir(), "state")} {
		synctest.Test(t, func(t *testing.T) {
			server, secrets := newRotating(), secretsOf()
			c := secrets.credential(t, server, refreshing(file))
			c.want("token-1")
			consent := func(token string) { // a human gave it anew
				server.mu.Lock()
				server.good = token
				server.mu.Unlock()
				secrets.with("REFRESH", token)
				c.Signer.(*oauth2).one.rest()
				time.Sleep(time.Hour)
			}
			consent("second-canary")
			c.want("token-2")
			c = secrets.credential(t, server, refreshing(file))
			consent("third-canary")
			c.want("token-3")
		})
	}
}

// TestKeptBeforeUse: no access token is used whose refresh token is not on disk, and
// none is lost for good when the disk is full for a while.
func TestKeptBeforeUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, file := newRotating(), filepath.Join(t.TempDir(), "state")
		c := oauthCredential(t, server, refreshing(file))
		server.before = func(n int) {
			if n == 1 { // between the request and its answer something takes the file's place
				succeed(t, os.Mkdir(file, 0o700))
			}
		}
		c.fails("state_file")
		c.hidden(c.log.String())
		time.Sleep(firstTrouble)
		c.fails("state_file")
		if n := server.count(); n != 1 {
			t.Errorf("%d requests, want none while the file cannot be written", n)
		}
		succeed(t, os.Remove(file))
		time.Sleep(mostTrouble)
		c.want("token-2")
		if server.broken || stateOf(t, file).Token != server.good {
			t.Error("the refresh token that came first is lost")
		}
	})
}

// TestUnusableStateFile: nothing is spent.
func TestUnusableStateFile(t *testing.T) {
	for name, make := range map[string]func(file string) error{
		"no folder": func(file string) error { return os.Remove(filepath.Dir(file)) },
		"garbage":   func(file string) error { return os.WriteFile(file, []byte("canary"), 0o600) },
		"another's": func(file string) error { return os.WriteFile(file, []byte(`{"access_token":"canary"}`), 0o600) },
		"control": func(file string) error {
			return os.WriteFile(file, []byte(`{"refresh_token":"canary\n","origin_sha256":"x"}`), 0o600)
		},
		"a folder":        func(file string) error { return os.Mkdir(file, 0o700) },
		"larger than any": func(file string) error { return os.WriteFile(file, make200k(), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "f")
			succeed(t, os.Mkdir(folder, 0o700))
			file := filepath.Join(folder, "state")
			succeed(t, make(file))
			server := newRotating()
			c := oauthCredential(t, server, refreshing(file))
			c.fails("state_file")
			if server.count() > 0 {
				t.Error("a request was sent")
			}
			c.hidden(c.log.String())
		})
	}
	file := filepath.Join(t.TempDir(), "state")
	succeed(t, os.WriteFile(file, nil, 0o600)) // as of touch
	oauthCredential(t, newRotating(), refreshing(file)).want("token-1")
}

func make200k() []byte { return []byte(`{"refresh_token":"` + strings.Repeat("x", 200<<10) + `"}`) }

// TestOneStateFileForTwo: processes that share a file take turns, and each uses what
// the other left.
func TestOneStateFileForTwo(t *testing.T) {
	server, file := newRotating(), filepath.Join(t.TempDir(), "state")
	var wg sync.WaitGroup
	for range 10 {
		c := oauthCredential(t, server, refreshing(file))
		wg.Go(func() {
			for range 5 {
				if _, _, err := c.call(t.Context(), ""); err != nil {
					t.Errorf("no token: %v", err)
				}
				c.Signer.(*oauth2).one.current.Store(nil)
			}
		})
	}
	wg.Wait()
	if server.broken || server.count() != 50 || stateOf(t, file).Token != server.good {
		t.Errorf("after %d requests: broken %v", server.count(), server.broken)
	}
}

// TestLeftovers: what a process left behind that was killed stops nobody.
func TestLeftovers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state")
	succeed(t, os.WriteFile(file+".new", []byte("torn"), 0o644))
	succeed(t, os.WriteFile(file+".lock", nil, 0o600))
	oauthCredential(t, newRotating(), refreshing(file)).want("token-1")
	if _, err := os.Stat(file + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the leftover is still there: %v", err)
	}
}

// TestCloseLosesNoRefreshToken: a request that may have spent one is waited for.
func TestCloseLosesNoRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, file := newRotating(), filepath.Join(t.TempDir(), "state")
		server.before = func(int) { time.Sleep(5 * time.Second) }
		c := oauthCredential(t, server, refreshing(file))
		var wg sync.WaitGroup
		wg.Go(func() { c.want("token-1") })
		synctest.Wait()
		c.keep.Close()
		wg.Wait()
		if stateOf(t, file).Token != server.good {
			t.Error("the token that came is lost")
		}
	})
}

// TestNoRotation: a server that gives no new refresh token takes the first one again
// and again, and nothing is written.
func TestNoRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		file := filepath.Join(folder, "state")
		server := &issuing{}
		c := oauthCredential(t, server, refreshing(file))
		c.want("token-1")
		c.Signer.(*oauth2).one.rest()
		time.Sleep(time.Hour)
		c.want("token-2")
		for _, a := range server.requests() {
			if got := a.form.Get("refresh_token"); got != firstRefresh {
				t.Errorf("sent refresh token %q", got)
			}
		}
		if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 || entries[0].Name() != "state.lock" {
			t.Errorf("the folder has %v, %v, want the lock alone", entries, err)
		}
	})
}

// TestRefreshTokenOfOtherGrants: it is not heeded.
func TestRefreshTokenOfOtherGrants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuing{answer: func(int, asked) (*http.Response, error) {
			return answered(200, `{"access_token":"a","token_type":"Bearer","expires_in":60,"refresh_token":"r"}`), nil
		}}
		c := oauthCredential(t, server, plainClient)
		c.want("a")
		time.Sleep(time.Minute)
		c.want("a")
		for _, a := range server.requests() {
			if a.form.Get("grant_type") != "client_credentials" || a.form.Has("refresh_token") {
				t.Errorf("sent %v", a.form.Get("grant_type"))
			}
		}
	})
}

// TestUnreadableRefreshToken: whatever the state file has.
func TestUnreadableRefreshToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state")
	server := newRotating()
	oauthCredential(t, server, refreshing(file)).want("token-1")
	f := secretsOf().with("REFRESH", "").credential(t, server, refreshing(file)).fails("cannot be read")
	if f.Kind != fault.CredentialUnavailable || server.count() != 1 {
		t.Errorf("%v, %d requests", f, server.count())
	}
}

func succeed(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
