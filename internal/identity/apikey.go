package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// rereadEvery is how often the digests of keys are asked for again.
const rereadEvery = time.Second

// digest is the SHA-256 of an API key.
type digest = [sha256.Size]byte

// keyTable finds callers by their API keys. What is kept is the keys' digests;
// they are asked for again as time goes by, so that keys can be rotated.
type keyTable struct {
	cfg  Config
	refs []keyRef

	mu      sync.Mutex // held while reading
	said    map[policy.SecretRef]string
	current atomic.Pointer[readKeys]
}

type keyRef struct {
	caller string
	ref    policy.SecretRef
}

// readKeys are the digests as they were at one time.
type readKeys struct {
	at     time.Time
	owners map[digest]*keyOwner
	// unread counts the keys that could not be read.
	unread int
}

type keyOwner struct {
	digest digest
	// caller is empty if several have the key.
	caller string
}

func newKeyTable(callers []*policy.Caller, cfg Config) *keyTable {
	t := &keyTable{cfg: cfg, said: map[policy.SecretRef]string{}}
	for _, c := range callers {
		for _, ref := range c.Keys {
			t.refs = append(t.refs, keyRef{c.Name, ref})
		}
	}
	return t
}

// owner finds whose key has the digest. It is looked up as it is: a key has too much
// chance in it for the time of that to tell anything of it.
func (k *readKeys) owner(sum digest) *keyOwner {
	owner := k.owners[sum]
	if owner == nil || subtle.ConstantTimeCompare(owner.digest[:], sum[:]) != 1 {
		return nil
	}
	return owner
}

// identify says who owner is; nil: nobody.
func (k *readKeys) identify(owner *keyOwner) (Identity, error) {
	switch {
	case owner != nil && owner.caller != "":
		return Identity{Caller: owner.caller, How: ByAPIKey}, nil
	case owner != nil:
		return Identity{}, refused("the API key is that of several callers, so it proves nothing: each needs its own")
	case k.unread > 0:
		return Identity{}, refused("no caller has this API key; those of some callers cannot be read at the moment, the log says why")
	default:
		return Identity{}, refused("no caller has this API key")
	}
}

// read gives the digests, at most a second old, or a little more while another
// reads them.
func (t *keyTable) read(now time.Time) *readKeys {
	last := t.current.Load()
	if last != nil && now.Sub(last.at) < rereadEvery {
		return last
	}
	if last == nil {
		t.mu.Lock()
	} else if !t.mu.TryLock() {
		return last
	}
	defer t.mu.Unlock()
	if newer := t.current.Load(); newer != last {
		return newer
	}
	out := &readKeys{at: now, owners: make(map[digest]*keyOwner, len(t.refs))}
	for _, r := range t.refs {
		sum, err := readDigest(t.cfg.Secrets, string(r.ref))
		t.say(r, err)
		switch owner := out.owners[sum]; {
		case err != nil:
			out.unread++
		case owner == nil:
			out.owners[sum] = &keyOwner{sum, r.caller}
		case owner.caller != r.caller:
			owner.caller = ""
			t.cfg.Log.Error("two callers have the same API key: neither can use it", "caller", r.caller)
		}
	}
	t.current.Store(out)
	return out
}

// say logs that a key cannot be read, or can be again, once.
func (t *keyTable) say(r keyRef, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if t.said[r.ref] == text {
		return
	}
	t.said[r.ref] = text
	if err != nil {
		t.cfg.Log.Error("a caller's API key cannot be used", "caller", r.caller, "error", text)
		return
	}
	t.cfg.Log.Info("a caller's API key can be used again", "caller", r.caller)
}

// CheckKeyHash gives policy.Options.CheckKeyHash: whether a reference leads to what
// is kept of an API key.
func CheckKeyHash(secrets Secrets) func(ref string) error {
	return func(ref string) error {
		_, err := readDigest(secrets, ref)
		return err
	}
}

// readDigest reads 64 hexadecimal digits. Its error does not show what is there:
// it may be the key itself.
func readDigest(secrets Secrets, ref string) (sum digest, err error) {
	if secrets == nil {
		return sum, errors.New("there is nothing to read secrets with")
	}
	value, err := secrets.Get(ref)
	if err != nil {
		return sum, err
	}
	text := value.Reveal()
	if n, err := hex.Decode(sum[:], []byte(text[:min(len(text), 2*len(sum))])); err != nil || n != len(sum) || len(text) != 2*len(sum) {
		return digest{}, fmt.Errorf("secret %s: it must be the SHA-256 of the key, not the key: 64 hexadecimal digits and nothing else, as `printf %%s \"$KEY\" | sha256sum | cut -c1-64` prints them", ref)
	}
	return sum, nil
}
