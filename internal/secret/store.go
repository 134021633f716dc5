package secret

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// maxSize is the largest secret, in bytes.
	maxSize = 64 << 10
	// grace is how long a file that went bad keeps its last good value.
	grace = 5 * time.Minute
	// unused is how long a file that nobody asks for is remembered.
	unused = time.Hour
)

// Config says where a Store looks.
type Config struct {
	// LookupEnv reads the environment. Default: os.LookupEnv.
	LookupEnv func(name string) (string, bool)
	// Log hears of files that cannot be used any more. Default: nobody does.
	Log *slog.Logger
}

// Store reads secrets by reference:
//
//	env:NAME             a variable of the environment
//	file:/absolute/path  a file, less one line end at its end; at most 64 KiB
//
// Files are read again when they change. One that cannot be used any more keeps
// its last good value for five minutes, so that a rotation may take its time,
// and is an error after that. Safe for concurrent use.
type Store struct {
	cfg Config

	mu    sync.Mutex
	files map[fileKey]*storedFile
}

// fileKey is a path and what its content must be.
type fileKey struct {
	path string
	pem  bool
}

type storedFile struct {
	File
	used time.Time
}

// New makes a Store.
func New(cfg Config) *Store {
	if cfg.LookupEnv == nil {
		cfg.LookupEnv = os.LookupEnv
	}
	return &Store{cfg: cfg, files: map[fileKey]*storedFile{}}
}

// Get gives a value of one line: a control character in it is an error, so that
// it cannot end a header field early.
func (s *Store) Get(ref string) (Value, error) { return s.get(ref, false) }

// GetPEM is Get for values of several lines: keys and certificates.
func (s *Store) GetPEM(ref string) (Value, error) { return s.get(ref, true) }

// Check says whether Get would give a value now.
func (s *Store) Check(ref string) error {
	_, err := s.get(ref, false)
	return err
}

// CheckPEM says whether GetPEM would give a value now.
func (s *Store) CheckPEM(ref string) error {
	_, err := s.get(ref, true)
	return err
}

func (s *Store) get(ref string, pem bool) (Value, error) {
	scheme, name, err := split(ref)
	switch {
	case err != nil:
		return Value{}, err
	case scheme == "env":
		text, ok := s.cfg.LookupEnv(name)
		if !ok {
			return Value{}, fmt.Errorf("secret %s: the environment has no such variable; set it for this process", ref)
		}
		if err := usable(trim([]byte(text)), pem); err != nil {
			return Value{}, fmt.Errorf("secret %s: %w", ref, err)
		}
		return NewValue(string(trim([]byte(text)))), nil
	}
	now := time.Now()
	r := s.file(name, pem, now).Read()
	if r.Bad != nil && (r.Data == nil || now.Sub(r.Since) >= grace) {
		return Value{}, fmt.Errorf("secret %s: %w", ref, r.Bad)
	}
	return NewValue(string(trim(r.Data))), nil
}

// file gives the one reader of a path.
func (s *Store) file(path string, pem bool, now time.Time) *File {
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
		}}
		s.files[key] = f
	}
	f.used = now
	return &f.File
}

// Valid says whether ref is written as a reference is; it looks nothing up. A
// ref that is none is not quoted: it may be the secret itself, pasted into the
// wrong place.
func Valid(ref string) error {
	_, _, err := split(ref)
	return err
}

func split(ref string) (scheme, name string, err error) {
	scheme, name, _ = strings.Cut(ref, ":")
	switch {
	case ref == "":
		return "", "", errors.New("the secret's reference is empty; write env:NAME or file:/absolute/path")
	case scheme == "env" && !isVariable(name):
		return "", "", errors.New("a secret of the environment is written env:NAME, with a NAME of letters, digits and underscores (what stands there is not shown: it may be a secret)")
	case scheme == "file" && (!filepath.IsAbs(name) || strings.ContainsRune(name, 0)):
		return "", "", errors.New("a secret in a file is written file:/absolute/path (what stands there is not shown: it may be a secret)")
	case scheme != "env" && scheme != "file":
		return "", "", errors.New("no known kind of secret reference; write env:NAME or file:/absolute/path, never the secret itself (what stands there is not shown: it may be one)")
	}
	return scheme, name, nil
}

func isVariable(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
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
