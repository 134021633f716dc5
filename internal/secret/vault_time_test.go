package secret

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestVaultRotation: a new version is there within Refresh, without anyone waiting for
// it; a vault that fails leaves what there was for Keep; then there is no value.
func TestVaultRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testpeer.VaultLease{}, nil)
		defer w.Close()
		w.peer.Put("secret/a", map[string]string{"k": "one"})
		w.is("vault:a#k", "one")
		w.peer.Put("secret/a", map[string]string{"k": "two"})
		w.is("vault:a#k", "one")
		time.Sleep(time.Minute)
		w.is("vault:a#k", "two")

		w.peer.Seal(true)
		begun := time.Now()
		time.Sleep(time.Minute)
		w.is("vault:a#k", "two")
		for time.Since(begun) < 5*time.Minute {
			time.Sleep(time.Second)
			w.is("vault:a#k", "two")
		}
		time.Sleep(time.Minute + time.Second) // Refresh and Keep behind the last reading
		w.fails("vault:a#k", "it is sealed")
		w.peer.Put("secret/a", map[string]string{"k": "three"})
		w.peer.Seal(false)
		time.Sleep(lastPause)
		w.is("vault:a#k", "three")
		if got := strings.Count(w.log.String(), "level=ERROR"); got != 1 {
			t.Errorf("%d errors are logged, want one for the whole failure:\n%s", got, w.log)
		}
		for _, said := range []string{`msg="a secret has a new version"`, `msg="a secret can be read again"`} {
			if !strings.Contains(w.log.String(), said) {
				t.Errorf("the log lacks %s:\n%s", said, w.log)
			}
		}
	})
}

// TestUnusableVersions: what is written wrongly leaves what there was for Keep, key by
// key, and is looked at again soon.
func TestUnusableVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testpeer.VaultLease{}, nil)
		defer w.Close()
		w.peer.Put("secret/a", map[string]string{"k": "one", "l": "one"})
		w.is("vault:a#k", "one")
		w.is("vault:a#l", "one")
		w.peer.Put("secret/a", map[string]string{"k": "t\nwo", "l": "two"})
		time.Sleep(time.Minute)
		w.is("vault:a#k", "one")
		w.is("vault:a#l", "two")
		w.peer.Put("secret/a", map[string]string{"l": "three"})
		time.Sleep(lastPause)
		w.is("vault:a#l", "three")
		w.is("vault:a#k", "one")
		time.Sleep(5 * time.Minute)
		w.fails("vault:a#k", "version 3 of the secret has no such key")
		w.is("vault:a#l", "three")
		w.peer.Put("secret/a", map[string]string{"k": "four"})
		time.Sleep(lastPause)
		w.is("vault:a#k", "four")
	})
}

// TestGone: a secret that was deleted, or that the token may not read any more, fails
// as any other, after Keep.
func TestGone(t *testing.T) {
	for want, take := range map[string]func(*testpeer.Vault){
		"version 1 of the secret was deleted":   func(v *testpeer.Vault) { v.Delete("secret/a", false) },
		"version 1 of the secret was destroyed": func(v *testpeer.Vault) { v.Delete("secret/a", true) },
		"forbids reading":                       func(v *testpeer.Vault) { v.Deny("secret/a", true) },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, testpeer.VaultLease{}, nil)
			defer w.Close()
			w.peer.Put("secret/a", map[string]string{"k": "one"})
			w.is("vault:a#k", "one")
			take(w.peer)
			time.Sleep(5 * time.Minute)
			w.is("vault:a#k", "one")
			time.Sleep(time.Minute)
			w.fails("vault:a#k", want)
		})
	}
}

// TestKeepNothing: with Keep at zero nothing outlives its Refresh, files included.
func TestKeepNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	write(t, path, "one")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testpeer.VaultLease{}, nil)
		defer w.Close()
		w.from.Keep = 0
		w.Use(w.from)
		w.peer.Put("secret/a", map[string]string{"k": "one"})
		w.is("vault:a#k", "one")
		w.is("file:"+path, "one")
		w.peer.Seal(true)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		w.fails("file:"+path, "stat")
		time.Sleep(time.Minute)
		w.fails("vault:a#k", "it is sealed")
	})
}

// TestDeadVault: a vault in trouble is asked once per pause, however many secrets wait
// for it and however often they are asked for.
func TestDeadVault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testpeer.VaultLease{}, nil)
		defer w.Close()
		w.peer.Seal(true)
		refs := []string{"vault:a#k", "vault:b#k", "vault:c#k", "vault:d#k", "vault:e#k"}
		begun := time.Now()
		for time.Since(begun) < 5*time.Minute {
			for _, ref := range refs {
				w.fails(ref, "it is sealed")
			}
			time.Sleep(100 * time.Millisecond)
		}
		most := 5*60/5 + 4 // the first pauses are shorter
		if got := w.peer.Total(); got > most || got < most/2 {
			t.Errorf("%d requests in five minutes, want about %d", got, most)
		}
		// Nobody asks any more: nor do we, after a while.
		time.Sleep(2 * hopeless)
		before := w.peer.Total()
		time.Sleep(time.Hour)
		if got := w.peer.Total(); got != before {
			t.Errorf("%d requests for what nobody wants", got-before)
		}
		w.peer.Seal(false)
		w.peer.Put("secret/a", map[string]string{"k": "one"})
		w.is("vault:a#k", "one") // at once: it is a first Get again
	})
}

// TestUnusedSecretsAreForgotten: after an hour nothing is read or renewed any more.
func TestUnusedSecretsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testpeer.VaultLease{TTL: time.Hour, Renewable: true}, nil)
		defer w.Close()
		w.peer.Put("secret/a", map[string]string{"k": "one"})
		w.is("vault:a#k", "one")
		time.Sleep(unused + 2*time.Minute)
		if got := w.peer.Count(readA); got < 60 || got > 90 {
			t.Errorf("%d readings in its hour, want about 72", got)
		}
		before := w.peer.Total()
		time.Sleep(10 * time.Hour)
		if got := w.peer.Total(); got != before {
			t.Errorf("%d requests for what nobody uses", got-before)
		}
		w.is("vault:a#k", "one")
		w.counted(login, 2) // the first token has ended meanwhile
	})
}

// TestRenewal: a token is renewed at two thirds of its time, and replaced by a login
// when it comes to its longest.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testpeer.VaultLease{TTL: 30 * time.Minute, Max: 2 * time.Hour, Renewable: true}, nil)
		defer w.Close()
		w.peer.Put("secret/a", map[string]string{"k": "one"})
		w.is("vault:a#k", "one")
		time.Sleep(20*time.Minute - time.Second)
		w.counted(renew, 0)
		time.Sleep(2 * time.Second)
		w.counted(renew, 1)
		for range 10 * 60 {
			time.Sleep(time.Minute)
			w.is("vault:a#k", "one")
		}
		if got := w.peer.Count(login); got < 5 || got > 7 {
			t.Errorf("%d logins in ten hours with tokens of two, want 5 to 7", got)
		}
		if strings.Contains(w.log.String(), "ERROR") || strings.Contains(w.log.String(), "WARN") {
			t.Errorf("nothing failed, but the log has:\n%s", w.log)
		}
	})
}

// TestTokensThatCannotBeRenewed are replaced in time.
func TestTokensThatCannotBeRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testpeer.VaultLease{TTL: 30 * time.Minute}, nil)
		defer w.Close()
		w.peer.Put("secret/a", map[string]string{"k": "one"})
		for range 50 {
			w.is("vault:a#k", "one")
			time.Sleep(time.Minute)
		}
		w.counted(renew, 0)
		w.counted(login, 3) // at 0, 20 and 40 minutes
	})
}

// TestFailedRenewal: renewals that fail are tried again before the token ends, and a
// login takes their place.
func TestFailedRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testpeer.VaultLease{TTL: 30 * time.Minute, Renewable: true}, nil)
		defer w.Close()
		w.peer.Put("secret/a", map[string]string{"k": "one"})
		w.is("vault:a#k", "one")
		w.peer.Answer(func(r *http.Request) *testpeer.VaultAnswer {
			if strings.Contains(r.URL.Path, "renew-self") {
				return &testpeer.VaultAnswer{Status: 500}
			}
			return nil
		})
		for range 50 {
			time.Sleep(time.Minute)
			w.is("vault:a#k", "one")
		}
		w.counted(renew, 2)
		w.counted(login, 3)
	})
}

// TestGivenToken: it is renewed even while nobody asks for a secret, and a new one in
// its file takes effect.
func TestGivenToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testpeer.VaultLease{}, func(v *Vault) { v.RoleID, v.SecretID, v.Token = "", "", "file:"+path })
		defer w.Close()
		write(t, path, w.peer.Token(testpeer.VaultLease{TTL: time.Hour, Max: 5 * time.Hour, Renewable: true}))
		w.peer.Put("secret/a", map[string]string{"k": "one"})
		time.Sleep(4 * time.Hour)
		w.counted(lookUp, 1)
		if got := w.peer.Count(renew); got < 4 || got > 7 {
			t.Errorf("%d renewals in four hours of a token that is good for one, want 4 to 7", got)
		}
		w.is("vault:a#k", "one")

		time.Sleep(2 * time.Hour) // the token has come to its longest, and the value was forgotten
		w.fails("vault:a#k", "forbids reading")
		write(t, path, w.peer.Token(testpeer.VaultLease{TTL: time.Hour}))
		time.Sleep(lastPause + time.Second)
		w.is("vault:a#k", "one")
		time.Sleep(time.Minute)
		w.counted(lookUp, 2)
		if !strings.Contains(w.log.String(), "cannot be renewed; replace it before") {
			t.Errorf("the log does not say that the token cannot be renewed:\n%s", w.log)
		}
	})
}

// TestRevokedToken: a token that is refused is replaced at once; a secret that stays
// forbidden costs a login a minute, not one each time.
func TestRevokedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testpeer.VaultLease{}, nil)
		defer w.Close()
		w.peer.Put("secret/a", map[string]string{"k": "one"})
		w.is("vault:a#k", "one")
		w.peer.Revoke()
		w.peer.Put("secret/b", map[string]string{"k": "two"})
		w.is("vault:b#k", "two")
		w.counted(login, 2)

		w.peer.Deny("secret/c", true)
		begun := time.Now()
		for time.Since(begun) < 10*time.Minute {
			w.fails("vault:c#k", "forbids reading secret/data/c (403)")
			time.Sleep(time.Second)
		}
		if got := w.peer.Count(login); got < 10 || got > 13 {
			t.Errorf("%d logins in ten minutes of a forbidden secret, want about 12", got)
		}
		w.is("vault:a#k", "one")
	})
}

// TestServiceAccountToken: the file is read anew for each login.
func TestServiceAccountToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jwt")
	synctest.Test(t, func(t *testing.T) {
		write(t, path, "jwt-1")
		lease := testpeer.VaultLease{TTL: time.Hour}
		w := newWorld(t, lease, func(v *Vault) { v.RoleID, v.SecretID, v.Role, v.TokenFile = "", "", "app", path })
		defer w.Close()
		w.peer.Put("secret/a", map[string]string{"k": "one"})
		w.peer.Kubernetes("kubernetes", "app", "jwt-1", &lease)
		w.is("vault:a#k", "one")
		w.peer.Kubernetes("kubernetes", "app", "jwt-1", nil)
		w.peer.Kubernetes("kubernetes", "app", "jwt-2", &lease)
		write(t, path, "jwt-2")
		w.peer.Revoke()
		time.Sleep(time.Minute)
		w.is("vault:a#k", "one")
		w.counted("POST /v1/auth/kubernetes/login", 2)
		if strings.Contains(w.log.String(), "ERROR") {
			t.Errorf("nothing failed, but the log has:\n%s", w.log)
		}
	})
}

// TestReload: a vault keeps its token and values while its ID stays, whatever its
// transport; another ID begins anew, and who waited is served by the new one.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testpeer.VaultLease{}, nil)
		defer w.Close()
		w.peer.Put("secret/a", map[string]string{"k": "one"})
		w.is("vault:a#k", "one")
		before := w.peer.Total()
		for range 3 {
			w.from.Vaults[0].Transport = direct{w.peer}
			w.Use(w.from)
			w.is("vault:a#k", "one")
		}
		if got := w.peer.Total(); got != before {
			t.Errorf("reloads without a change cost %d requests", got-before)
		}

		hang := make(chan struct{})
		w.peer.Answer(func(*http.Request) *testpeer.VaultAnswer { return &testpeer.VaultAnswer{Wait: hang, Pass: true} })
		w.peer.Put("secret/b", map[string]string{"k": "two"})
		go w.is("vault:b#k", "two")
		synctest.Wait()
		w.peer.Answer(nil)
		w.from.Vaults = []Vault{w.from.Vaults[0]}
		w.from.Vaults[0].ID = "2"
		w.Use(w.from)
		synctest.Wait() // the one that waited has its value
		w.counted(login, 2)
		w.is("vault:a#k", "one")

		w.Use(Sources{Keep: time.Minute})
		if _, err := w.Get("vault:a#k"); err == nil || !strings.Contains(err.Error(), "does not have") {
			t.Errorf("a vault that is gone: got %v", err)
		}
		close(hang)
	})
}
