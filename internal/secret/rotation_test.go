package secret

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// volume is a directory as Kubernetes mounts a Secret: each file is a symbolic link
// into ..data, which is a link to a directory that is replaced as a whole.
type volume struct {
	*testing.T
	dir string
	n   int
}

func newVolume(t *testing.T, text string) *volume {
	v := &volume{T: t, dir: t.TempDir()}
	v.put(text)
	if err := os.Symlink("..data/key", v.path()); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *volume) path() string { return filepath.Join(v.dir, "key") }

// put replaces the content as kubelet does.
func (v *volume) put(text string) {
	v.Helper()
	data := filepath.Join(v.dir, "..data")
	old, _ := os.Readlink(data)
	v.n++
	next := "..version_" + strconv.Itoa(v.n)
	for _, err := range []error{
		os.Mkdir(filepath.Join(v.dir, next), 0o755),
		os.WriteFile(filepath.Join(v.dir, next, "key"), []byte(text), 0o644),
		os.Symlink(next, data+"_tmp"),
		os.Rename(data+"_tmp", data),
	} {
		if err != nil {
			v.Error(err)
		}
	}
	if old != "" {
		if err := os.RemoveAll(filepath.Join(v.dir, old)); err != nil {
			v.Error(err)
		}
	}
}

// TestKubernetesVolume: the swap is seen even if the new file has the size and the
// time of the old one, long ago.
func TestKubernetesVolume(t *testing.T) {
	v := newVolume(t, "one")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(v.path(), old, old); err != nil {
		t.Fatal(err)
	}
	f := &File{Path: v.path(), Limit: 10}
	look := func(want string) {
		t.Helper()
		f.looked = time.Time{} // a second ago
		if r := f.Read(); r.Bad != nil || string(r.Data) != want {
			t.Errorf("got %q, %v; want %q", r.Data, r.Bad, want)
		}
	}
	look("one")
	if !f.settled {
		t.Fatal("an old file is not settled")
	}
	v.put("two")
	if err := os.Chtimes(v.path(), old, old); err != nil {
		t.Fatal(err)
	}
	look("two")
	v.put("three")
	look("three")
}

// history is when which generation of a secret was written.
type history struct {
	mu    sync.Mutex
	times []time.Time
}

func (h *history) write(put func(generation int)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	put(len(h.times))
	h.times = append(h.times, time.Now())
}

// generation is the value of one: long, so that a torn one would show.
func generation(n int) string { return strings.Repeat(strconv.Itoa(n)+",", 5000) }

// judge fails unless text is a generation that was replaced no longer than bound ago.
func (h *history) judge(t *testing.T, what, text string, asked time.Time, bound time.Duration) {
	first, _, _ := strings.Cut(text, ",")
	n, err := strconv.Atoi(first)
	if err != nil || text != generation(n) {
		t.Errorf("%s: torn: %d bytes that begin with %.20q", what, len(text), text)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if n+1 < len(h.times) && asked.Sub(h.times[n+1]) > bound {
		t.Errorf("%s: generation %d was given %s after it was replaced, want at most %s", what, n, asked.Sub(h.times[n+1]), bound)
	}
}

// TestRotationUnderLoad: fifty who ask all the time for a file and a vault's secret see
// no error, no torn value and none that is out of date for longer than is promised.
// Meanwhile tokens end, are renewed and revoked.
func TestRotationUnderLoad(t *testing.T) {
	volume := newVolume(t, generation(0))
	ofVolume, ofVault := &history{}, &history{}
	synctest.Test(t, func(t *testing.T) {
		const refresh = 10 * time.Second
		w := newWorld(t, testpeer.VaultLease{TTL: 30 * time.Second, Max: 2 * time.Minute, Renewable: true}, func(v *Vault) { v.Refresh = refresh })
		defer w.Close()
		ofVolume.write(func(int) {})
		ofVault.write(func(n int) { w.peer.Put("secret/a", map[string]string{"k": generation(n)}) })

		end := time.Now().Add(3 * time.Minute)
		var readers sync.WaitGroup
		for i := range 50 {
			readers.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				for time.Now().Before(end) {
					asked := time.Now()
					for what, of := range map[string]struct {
						*history
						bound time.Duration
					}{"file:" + volume.path(): {ofVolume, lookEvery}, "vault:a#k": {ofVault, refresh}} {
						got, err := w.Get(what)
						if err != nil {
							t.Errorf("%s: %v", what, err)
							return
						}
						of.judge(t, what, got.Reveal(), asked, of.bound)
					}
					time.Sleep(250 * time.Millisecond)
				}
			})
		}
		for n := 0; time.Now().Before(end); n++ {
			time.Sleep(3*time.Second + 7*time.Millisecond)
			ofVolume.write(func(n int) { volume.put(generation(n)) })
			ofVault.write(func(n int) { w.peer.Put("secret/a", map[string]string{"k": generation(n)}) })
			if n%10 == 5 {
				w.peer.Revoke()
			}
		}
		readers.Wait()
		if n := len(ofVault.times); n < 50 {
			t.Errorf("only %d rotations", n)
		}
	})
}
