package secret

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxSize is the largest secret, in bytes.
	maxSize = 64 << 10
	// keepByDefault is Sources.Keep where there was no Use.
	keepByDefault = 5 * time.Minute
	// unused is how long a secret that nobody asks for is remembered.
	unused = time.Hour
)

// Config says where a Store looks.
type Config struct {
	// LookupEnv reads the environment. Default: os.LookupEnv.
	LookupEnv func(name string) (string, bool)
	// Log hears of what cannot be read any more. Default: nobody does.
	Log *slog.Logger
}

// Store reads secrets by reference:
//
//	env:NAME             a variable of the environment
//	file:/absolute/path  a file, less one line end at its end; at most 64 KiB
//	NAME:PATH#KEY        what KEY has in the secret at PATH of the vault NAME, see Use
//
// Files are read again when they change, and vaults now and then. A secret that
// cannot be read any more keeps its last good value for a while (Sources.Keep), so
// that a rotation may take its time, and is an error after that. Safe for
// concurrent use.
type Store struct {
	cfg Config

	using sync.Mutex // held by Use

	env, file tally // of all readings

	mu     sync.Mutex
	keep   time.Duration
	files  map[fileKey]*storedFile
	vaults map[string]*vault // by name
}

// fileKey is a path and what its content must be.
type fileKey struct {
	path string
	pem  bool
}

type storedFile struct {
	File
	used time.Time
	// age is how old the value was when it was used last, in nanoseconds; below 0: there
	// was none yet.
	age atomic.Int64
}

// New makes a Store without vaults.
func New(cfg Config) *Store {
	if cfg.LookupEnv == nil {
		cfg.LookupEnv = os.LookupEnv
	}
	return &Store{cfg: cfg, keep: keepByDefault, files: map[fileKey]*storedFile{}, vaults: map[string]*vault{}}
}

// Get gives a value of one line: a control character in it is an error, so that
// it cannot end a header field early. The first Get of a vault's secret waits for
// the vault, at most ten seconds; later ones do not wait.
func (s *Store) Get(ref string) (Value, error) { return s.get(context.Background(), ref, false) }

// GetPEM is Get for values of several lines: keys and certificates.
func (s *Store) GetPEM(ref string) (Value, error) { return s.get(context.Background(), ref, true) }

// GetContext is Get that waits no longer than ctx.
func (s *Store) GetContext(ctx context.Context, ref string) (Value, error) {
	return s.get(ctx, ref, false)
}

// GetPEMContext is GetPEM that waits no longer than ctx.
func (s *Store) GetPEMContext(ctx context.Context, ref string) (Value, error) {
	return s.get(ctx, ref, true)
}

// Check says whether Get would give a value now. Of a vault's secret it says only
// whether the reference is well written.
func (s *Store) Check(ref string) error { return s.check(ref, false) }

// CheckPEM is Check for GetPEM.
func (s *Store) CheckPEM(ref string) error { return s.check(ref, true) }

func (s *Store) check(ref string, pem bool) error {
	r, err := parse(ref)
	if err != nil || r.isVault() {
		return err
	}
	_, err = s.local(r, pem)
	return err
}

func (s *Store) get(ctx context.Context, ref string, pem bool) (Value, error) {
	r, err := parse(ref)
	switch {
	case err != nil:
		return Value{}, err
	case r.isVault():
		return s.vaultValue(ctx, r, pem)
	}
	return s.local(r, pem)
}

// local reads what is on this machine.
func (s *Store) local(r reference, pem bool) (Value, error) {
	if r.source == "env" {
		value, err := s.variable(r, pem)
		s.env.count(err)
		return value, err
	}
	now := time.Now()
	f, keep := s.stored(r.name, pem, now)
	read := f.Read()
	if !read.Good.IsZero() {
		f.age.Store(int64(max(now.Sub(read.Good), 0)))
	}
	if read.Bad != nil && (read.Data == nil || now.Sub(read.Since) >= keep) {
		return Value{}, fmt.Errorf("secret %s: %w", r, read.Bad)
	}
	return NewValue(string(trim(read.Data))), nil
}

func (s *Store) variable(r reference, pem bool) (Value, error) {
	text, ok := s.cfg.LookupEnv(r.name)
	if !ok {
		return Value{}, fmt.Errorf("secret %s: the environment has no such variable; set it for this process", r)
	}
	if err := usable(trim([]byte(text)), pem); err != nil {
		return Value{}, fmt.Errorf("secret %s: %w", r, err)
	}
	return NewValue(string(trim([]byte(text)))), nil
}

// stored gives the one reader of a path, and how long it keeps what it read.
func (s *Store) stored(path string, pem bool, now time.Time) (*storedFile, time.Duration) {
	key := fileKey{path, pem}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[key]
	if f == nil {
		for k, old := range s.files {
			if now.Sub(old.used) > unused {
				delete(s.files, k)
			}
		}
		f = &storedFile{File: File{
			Path: path, Limit: maxSize, Log: s.cfg.Log,
			Check: func(data []byte) error { return usable(trim(data), pem) },
			tally: &s.file,
		}}
		f.age.Store(-1)
		s.files[key] = f
	}
	f.used = now
	return f, s.keep
}

// trim takes off the one line end that editors and `echo` leave.
func trim(data []byte) []byte {
	n := len(data)
	if n > 0 && data[n-1] == '\n' {
		n--
		if n > 0 && data[n-1] == '\r' {
			n--
		}
	}
	return data[:n]
}

// usable says what is wrong with a value, without showing any of it.
func usable(data []byte, pem bool) error {
	if len(data) == 0 {
		return errors.New("it is empty")
	}
	if len(data) > maxSize {
		return fmt.Errorf("it is larger than %d bytes", maxSize)
	}
	for _, c := range data {
		if pem && (c == '\n' || c == '\r' || c == '\t') {
			continue
		}
		if c < ' ' || c == 0x7f {
			return errors.New("it holds a control character (a line break, perhaps), which cannot be sent; one line end at its end is taken off")
		}
	}
	return nil
}
