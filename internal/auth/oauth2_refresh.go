package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// maxStateFile is the largest state file, in bytes.
const maxStateFile = 64 << 10

// rotation keeps the newest refresh token of a credential. A server that rotates
// takes each only once (RFC 9700 section 4.14.2), so the one that came is on disk
// before anything that came with it is used, and a file is one process's at a time.
type rotation struct {
	path string // empty: in memory only

	mu   sync.Mutex // held as long as a request takes
	last refreshState
	// unsaved: last is newer than the file.
	unsaved bool
}

// refreshState is the state file.
type refreshState struct {
	Token string `json:"refresh_token"`
	// Origin is the digest of policy's token, with which it all began: where that is
	// another, policy's counts.
	Origin string `json:"origin_sha256"`
}

// use hands the newest refresh token to ask, and keeps the one that comes of it.
// original is policy's.
func (r *rotation) use(ctx context.Context, original string, ask func(refresh string) (tokenAnswer, error)) (tokenAnswer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := sha256.Sum256([]byte(original))
	begin := refreshState{original, hex.EncodeToString(sum[:])}
	if r.path == "" {
		return r.inMemory(begin, ask)
	}
	unlock, err := lockFile(ctx, r.path+".lock")
	if err != nil {
		return tokenAnswer{}, stateFault(err)
	}
	defer unlock()
	if err := r.load(begin); err != nil {
		return tokenAnswer{}, stateFault(err)
	}
	// A file that cannot be written is better known before the token is spent.
	draft, err := newDraft(r.path)
	if err != nil {
		return tokenAnswer{}, stateFault(err)
	}
	defer draft.drop()
	if r.unsaved {
		if err := draft.replace(r.last); err != nil {
			return tokenAnswer{}, stateFault(err)
		}
		r.unsaved = false
		if draft, err = newDraft(r.path); err != nil {
			return tokenAnswer{}, stateFault(err)
		}
		defer draft.drop()
	}
	answer, err := ask(r.last.Token)
	if err != nil || answer.refresh == "" || answer.refresh == r.last.Token {
		return answer, err
	}
	r.last.Token, r.unsaved = answer.refresh, true
	if err := draft.replace(r.last); err != nil {
		return tokenAnswer{}, stateFault(err)
	}
	r.unsaved = false
	return answer, nil
}

func (r *rotation) inMemory(begin refreshState, ask func(refresh string) (tokenAnswer, error)) (tokenAnswer, error) {
	if r.last.Origin != begin.Origin {
		r.last = begin
	}
	answer, err := ask(r.last.Token)
	if err == nil && answer.refresh != "" {
		r.last.Token = answer.refresh
	}
	return answer, err
}

// load takes over what the file has, which another process may have written, unless
// policy's token is another than the one it goes back to.
func (r *rotation) load(begin refreshState) error {
	if r.unsaved && r.last.Origin == begin.Origin {
		return nil
	}
	kept, err := readState(r.path)
	if err != nil {
		return err
	}
	r.unsaved = false
	if r.last = begin; kept.Origin == begin.Origin {
		r.last = kept
	}
	return nil
}

// readState reads a state file; the zero value: there is none yet. Its errors quote
// nothing.
func readState(path string) (s refreshState, err error) {
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return s, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxStateFile+1))
	switch {
	case err != nil:
		return s, err
	case len(data) == 0:
		return s, nil
	case len(data) > maxStateFile || json.Unmarshal(data, &s) != nil || !sendable(s.Token) || s.Origin == "":
		return s, fmt.Errorf("%s is no state file of a refresh token: move it away, and the one in the policy is used", path)
	}
	return s, nil
}

// draft is a file that will take the place of another.
type draft struct {
	file *os.File // nil: it has, or was given up
	path string
}

func newDraft(path string) (*draft, error) {
	name := path + ".new"
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &draft{f, path}, nil
}

// replace writes s, and puts the file in its place once it is on disk.
func (d *draft) replace(s refreshState) error {
	f := d.file
	d.file = nil
	data, err := json.Marshal(s)
	if err == nil {
		_, err = f.Write(append(data, '\n'))
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), d.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	return syncFolder(filepath.Dir(d.path))
}

// drop gives the draft up, if it is still one.
func (d *draft) drop() {
	if d.file != nil {
		_ = d.file.Close()
		_ = os.Remove(d.file.Name())
		d.file = nil
	}
}

// stateFault is why there is no token when the file is at fault.
func stateFault(err error) *noToken {
	return &noToken{what: "the state_file of its refresh token cannot be used; the log of fetchsvc says why", cause: err}
}
