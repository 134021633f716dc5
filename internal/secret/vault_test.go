package secret

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

func TestVaultValues(t *testing.T) {
	tests := []struct {
		name, data string
		pem        bool
		want       string
		err        string // part of it
	}{
		{name: "string", data: `{"k":"` + canary + `"}`, want: canary},
		{name: "line end", data: `{"k":"x\n"}`, want: "x"},
		{name: "escapes", data: `{"k":"a\u0026\"b\\"}`, want: `a&"b\`},
		{name: "not ASCII", data: `{"k":"pässwörd 🔑"}`, want: "pässwörd 🔑"},
		{name: "pair of surrogates", data: `{"k":"\ud83d\udd11"}`, want: "🔑"},
		{name: "number as written", data: `{"k":12345678901234567890.10}`, want: "12345678901234567890.10"},
		{name: "exponent as written", data: `{"k":1E5}`, want: "1E5"},
		{name: "boolean", data: `{"k":true}`, want: "true"},
		{name: "PEM", data: `{"k":"-----BEGIN X-----\nabc\n"}`, pem: true, want: "-----BEGIN X-----\nabc"},
		{name: "key with a number sign", data: `{"k#2":"no","k":"x"}`, want: "x"},
		{name: "PEM asked for as a line", data: `{"k":"` + canary + `\nX: y"}`, err: "control character"},
		{name: "NUL", data: `{"k":"` + canary + `\u0000"}`, pem: true, err: "control character"},
		{name: "empty", data: `{"k":""}`, err: "it is empty"},
		{name: "too large", data: `{"k":"` + strings.Repeat("x", maxSize+1) + `"}`, err: "larger than 65536 bytes"},
		{name: "null", data: `{"k":null}`, err: "it is null"},
		{name: "object", data: `{"k":{"a":"` + canary + `"}}`, err: "not text"},
		{name: "list", data: `{"k":["` + canary + `"]}`, err: "not text"},
		{name: "half a pair", data: `{"k":"\ud83d` + canary + `"}`, err: "no character of Unicode"},
		{name: "no such key", data: `{"K":"` + canary + `"}`, err: "version 3 of the secret has no such key"},
		{name: "twice", data: `{"k":"` + canary + `","k":"x"}`, err: "a name twice"},
		{name: "data null", data: `null`, err: "data.data: that is no JSON object"},
		{name: "data list", data: `["` + canary + `"]`, err: "data.data: that is no JSON object"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, testpeer.VaultLease{}, nil)
			defer w.Close()
			w.peer.Answer(toReads(always(200, kv(tt.data))))
			if tt.err != "" {
				if tt.pem {
					if _, err := w.GetPEM("vault:a#k"); err == nil || !strings.Contains(err.Error(), tt.err) {
						t.Fatalf("got %v, want %q", err, tt.err)
					}
				}
				w.fails("vault:a#k", tt.err)
				return
			}
			get := w.Get
			if tt.pem {
				get = w.GetPEM
			}
			if got, err := get("vault:a#k"); err != nil || got.Reveal() != tt.want {
				t.Errorf("got %q, %v; want %q", got.Reveal(), err, tt.want)
			}
		})
	}
}

func TestVaultAnswers(t *testing.T) {
	body := `{"errors":["` + canary + `"]}`
	for _, tt := range []struct {
		status     int
		body, want string
	}{
		{400, body, "answered 400: the request is wrong"},
		{403, body, "forbids reading secret/data/a (403)"},
		{404, `{"errors":[]}`, "has no such secret (404)"},
		{404, `{"data":{"data":null,"metadata":{"version":4,"deletion_time":"2026-01-02T03:04:05Z","destroyed":false}}}`, "version 4 of the secret was deleted"},
		{404, `{"data":{"data":null,"metadata":{"version":4,"deletion_time":"","destroyed":true}}}`, "version 4 of the secret was destroyed"},
		{404, "<html>" + canary, "has no such secret (404)"},
		{405, body, "answered 405"},
		{412, body, "has not caught up"},
		{429, body, "a standby that serves nobody, or it was asked too often"},
		{472, body, "a standby"},
		{473, body, "a standby"},
		{474, body, "a standby"},
		{500, body, "answered 500: it is in trouble"},
		{501, body, "not initialised"},
		{502, body, "answered 502"},
		{503, body, "it is sealed"},
		{530, body, "removed from its cluster"},
		{307, "", "it sends elsewhere, which is not followed"},
		{204, "", "answered 204"},
		{200, "", "no JSON object"},
		{200, "<html>" + canary, "no JSON object"},
		{200, `{"data":"` + canary + `"}`, "data: that is no JSON object"},
		{200, kv(`{"k":"x"}`) + "{}", "no JSON object"},
		{200, "\xff" + kv(`{"k":"x"}`), "not UTF-8"},
		{200, `{"data":{"data":{"k":"x"}}}`, "is that an engine of KV version 2?"},
		{200, `{"data":{"data":{"k":"x"},"metadata":{"version":"` + canary + `"}}}`, "metadata.version is no version"},
		{200, `{"data":{"data":{"k":"x"},"metadata":{"version":0}}}`, "metadata.version is no version"},
		{200, `{"data":{"data":{"k":"x"},"metadata":{"version":1}},"data":{}}`, "a name twice"},
		{200, kv(`{"k":"` + strings.Repeat("x", maxAnswer) + `"}`), "larger than 1048576 bytes"},
	} {
		t.Run(fmt.Sprint(tt.status, " ", tt.want), func(t *testing.T) {
			w := newWorld(t, testpeer.VaultLease{}, nil)
			defer w.Close()
			w.peer.Answer(toReads(always(tt.status, tt.body)))
			w.fails("vault:a#k", tt.want)
		})
	}
}

func TestVaultLogins(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		write(t, filepath.Join(dir, name), text)
		return filepath.Join(dir, name)
	}
	appRole := func(secretID string) func(*Vault) {
		return func(v *Vault) { v.SecretID = "file:" + file("id", secretID) }
	}
	kubernetes := func(text string) func(*Vault) {
		return func(v *Vault) { v.RoleID, v.SecretID, v.Role, v.TokenFile = "", "", "app", file("jwt", text) }
	}
	given := func(text string) func(*Vault) {
		return func(v *Vault) { v.RoleID, v.SecretID, v.Token = "", "", "file:"+file("token", text) }
	}
	tests := []struct {
		name   string
		change func(*Vault)
		answer func(*http.Request) *testpeer.VaultAnswer
		err    string
	}{
		{name: "AppRole", change: nil},
		{name: "AppRole elsewhere", change: func(v *Vault) { v.AuthMount = "team/login-a" }},
		{name: "AppRole, wrong", change: appRole(canary), err: "refuses the login at auth/approle (400)"},
		{name: "AppRole, no secret id", change: func(v *Vault) { v.SecretID = "env:NONE" }, err: `the login to vault "vault": secret env:NONE: the environment has no such variable`},
		{name: "AppRole, secret id in a vault", change: func(v *Vault) { v.SecretID = "vault:b#c" }, err: "cannot itself be read from a vault"},
		{name: "Kubernetes", change: kubernetes("jwt-" + canary + "\n")},
		{name: "Kubernetes, wrong", change: kubernetes(canary), err: "refuses the login at auth/kubernetes (403)"},
		{name: "Kubernetes, no token", change: func(v *Vault) {
			kubernetes("")(v)
			v.TokenFile = dir + "/none"
		}, err: "the service account's token: stat"},
		{name: "Kubernetes, empty token", change: kubernetes(""), err: "the service account's token: it is empty"},
		{name: "token", change: given("hvs.testpeer-1\n")},
		{name: "token, wrong", change: given("hvs." + canary), err: "forbids reading secret/data/a (403)"},
		{name: "token in a vault", change: func(v *Vault) { v.RoleID, v.Token = "", "vault:b#c" }, err: "cannot itself be read from a vault"},
		{name: "no transport", change: func(v *Vault) { v.Transport = nil }, err: `no way to vault "vault"`},
		{name: "no address", change: func(v *Vault) { v.Address = "http://\x00" }, err: "its address is no URL"},
		{name: "sealed", answer: always(503, ""), err: "it is sealed"},
		{name: "404", answer: always(404, ""), err: "the login at auth/approle: vault \"vault\" answered 404"},
		{name: "no auth", answer: always(200, `{"auth":null}`), err: "in an unknown form: auth: that is no JSON object"},
		{name: "no token in it", answer: always(200, `{"auth":{"lease_duration":1,"renewable":true}}`), err: "it has no token"},
		{name: "bad token in it", answer: always(200, `{"auth":{"client_token":"`+canary+`\n","lease_duration":1,"renewable":true}}`), err: "auth.client_token is no token"},
		{name: "bad lease", answer: always(200, `{"auth":{"client_token":"x","lease_duration":-1,"renewable":true}}`), err: "lease_duration is no number of seconds"},
		{name: "bad renewable", answer: always(200, `{"auth":{"client_token":"x","lease_duration":1,"renewable":"yes"}}`), err: "renewable is neither"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, testpeer.VaultLease{}, tt.change)
			defer w.Close()
			w.peer.Token(testpeer.VaultLease{}) // hvs.testpeer-1
			w.peer.AppRole("team/login-a", "role", secretID, &testpeer.VaultLease{})
			w.peer.Kubernetes("kubernetes", "app", "jwt-"+canary, &testpeer.VaultLease{})
			w.peer.Put("secret/a", map[string]string{"k": "one"})
			w.peer.Answer(tt.answer)
			if tt.err != "" {
				w.fails("vault:a#k", tt.err)
				return
			}
			w.is("vault:a#k", "one")
		})
	}
}

func TestVaultRequests(t *testing.T) {
	w := newWorld(t, testpeer.VaultLease{}, func(v *Vault) { v.Namespace, v.Mount = "team/a", "kv/one two" })
	defer w.Close()
	w.peer.Namespace("team/a")
	w.peer.Put("kv/one two/a b/ü?x=%2f", map[string]string{"k#2": "one"})
	w.is("vault:a b/ü?x=%2f#k#2", "one")
	w.counted("GET /v1/kv/one%20two/data/a%20b/%C3%BC%3Fx=%252f", 1)
}

func TestVaultReferences(t *testing.T) {
	w := newWorld(t, testpeer.VaultLease{}, nil)
	defer w.Close()
	for _, ref := range []string{"vault:a#k", "vault:a/b c#k#l", "none:a#k", "v-1.x_y:a#k"} {
		if err := errors.Join(w.Check(ref), w.CheckPEM(ref)); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if n := w.peer.Total(); n != 0 {
		t.Errorf("the checks of form sent %d requests", n)
	}
	for _, path := range []string{"", "a", "#k", "a#", "/a#k", "a/#k", "a//b#k", "../a#k", "a/./b#k", "a/..#k", "a\n#k", "a#k\n"} {
		ref := "vault:" + canary + "/" + path
		if path == "" || path[0] == '#' || path[0] == '/' {
			ref = "vault:" + path
		}
		if err := w.Check(ref); err == nil || leaks(err.Error()) || !strings.Contains(err.Error(), "VAULT:PATH#KEY") {
			t.Errorf("%q: got %v, want how to write it and nothing of it", ref, err)
		}
	}
	for _, name := range []string{"Vault", "-v", "v-", "v v", ""} {
		if err := w.Check(name + ":a#" + canary); err == nil || leaks(err.Error()) {
			t.Errorf("%q: got %v, want an error without it", name, err)
		}
	}
	if _, err := w.Get(canary + ":a#k"); err == nil || leaks(err.Error()) || !strings.Contains(err.Error(), "does not have") {
		t.Errorf("unknown vault: got %v, want an error without its name", err)
	}
}

// TestFirstGetIsBounded: only the first waits, and only for so long; who waits may
// give up sooner.
func TestFirstGetIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testpeer.VaultLease{}, nil)
		defer w.Close()
		w.peer.Put("secret/a", map[string]string{"k": "one"})
		hang := make(chan struct{})
		w.peer.Answer(func(*http.Request) *testpeer.VaultAnswer { return &testpeer.VaultAnswer{Wait: hang, Pass: true} })

		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.GetContext(ctx, "vault:a#k"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("its own second: %v after %s", err, time.Since(begun))
		}
		w.fails("vault:a#k", "has not answered within 10s")
		if got := time.Since(begun); got != patience {
			t.Errorf("waited for %s, want %s", got, patience)
		}
		begun = time.Now()
		w.fails("vault:a#k", "has not answered within 10s")
		if got := time.Since(begun); got != 0 {
			t.Errorf("a later one waited for %s", got)
		}
		close(hang)
		time.Sleep(lastPause)
		w.is("vault:a#k", "one")
	})
}

// TestOneFlight: who asks at once for what is not there yet is served by one login and
// one read.
func TestOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testpeer.VaultLease{}, nil)
		defer w.Close()
		w.peer.Put("secret/a", map[string]string{"k": "one", "l": "two"})
		w.peer.Put("secret/b", map[string]string{"k": "three"})
		slow := make(chan struct{})
		w.peer.Answer(func(*http.Request) *testpeer.VaultAnswer { return &testpeer.VaultAnswer{Wait: slow, Pass: true} })
		for range 20 {
			go w.is("vault:a#k", "one")
			go w.is("vault:a#l", "two")
			go w.is("vault:b#k", "three")
		}
		synctest.Wait()
		close(slow)
		synctest.Wait()
		w.counted(login, 1)
		w.counted(readA, 1)
		w.counted("GET /v1/secret/data/b", 1)
	})
}

func TestCloseWaits(t *testing.T) {
	defer testpeer.NoLeaks(t)
	w := newWorld(t, testpeer.VaultLease{}, nil)
	asked := make(chan struct{}, 1)
	w.peer.Answer(func(*http.Request) *testpeer.VaultAnswer {
		asked <- struct{}{}
		return &testpeer.VaultAnswer{Wait: make(chan struct{})} // until the request ends
	})
	done := make(chan error)
	go func() {
		_, err := w.Get("vault:a#k")
		done <- err
	}()
	<-asked
	w.Close()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "does not have") {
		t.Errorf("who waited got %v, want that there is no such source", err)
	}
	if _, err := w.Get("vault:a#k"); err == nil {
		t.Error("a closed vault has a value")
	}
}

// TestLimitOfReadings: however many secrets there are, a vault is not asked for all of
// them at once.
func TestLimitOfReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testpeer.VaultLease{}, nil)
		defer w.Close()
		hold := make(chan struct{})
		w.peer.Answer(toReads(func(*http.Request) *testpeer.VaultAnswer { return &testpeer.VaultAnswer{Wait: hold, Pass: true} }))
		for i := range 50 {
			w.peer.Put(fmt.Sprint("secret/", i), map[string]string{"k": "one"})
			go w.is(fmt.Sprint("vault:", i, "#k"), "one")
		}
		synctest.Wait()
		if got := w.peer.Total() - w.peer.Count(login); got != atOnce {
			t.Errorf("%d readings at once, want %d", got, atOnce)
		}
		close(hold)
		synctest.Wait()
		if got := w.peer.Total() - w.peer.Count(login); got != 50 {
			t.Errorf("%d readings in all, want 50", got)
		}
	})
}
