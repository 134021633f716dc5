package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Options are what loading asks of its surroundings. The zero value asks
// nothing: the text alone is judged.
type Options struct {
	// CheckSecret says why the secret that ref names, such as `env:TOKEN` or
	// `file:/etc/token`, cannot be used. Default: not checked.
	CheckSecret func(ref string) error
	// CheckPEM is that for secrets of several lines: private keys.
	CheckPEM func(ref string) error
	// CheckKeyHash is that for the digests of callers' keys. Default: CheckSecret.
	CheckKeyHash func(ref string) error
}

// Bounds of what is read: a policy is written by people.
const (
	maxFile  = 16 << 20
	maxFiles = 1000
)

// Load reads and compiles the policy at path: a file, or a folder whose files
// `*.yaml` and `*.yml` are one policy together. A policy that is at fault gives
// an [*Error] with all its faults. Relative names in it start from its folder.
func Load(path string, opts Options) (*Snapshot, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if info.IsDir() {
		files, err := readFolder(path)
		if err != nil {
			return nil, err
		}
		return build(path, path, digestFolder(files), files, opts)
	}
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return parse(path, text, opts)
}

// Parse compiles the text of one policy file; name stands in errors, and
// relative names in the text start from its folder. Errors are as Load's.
func Parse(name string, text []byte, opts Options) (*Snapshot, error) {
	if len(text) > maxFile {
		return nil, tooLarge(name)
	}
	return parse(name, text, opts)
}

func parse(name string, text []byte, opts Options) (*Snapshot, error) {
	sum := sha256.Sum256(text)
	return build(name, filepath.Dir(name), hex.EncodeToString(sum[:]), []textFile{{name, text}}, opts)
}

// textFile is one file of a policy as it was read.
type textFile struct {
	name string
	text []byte
}

// build makes one snapshot of files, in order. Every stage goes on with what the
// one before could read, so that all faults come out at once.
func build(source, dir, digest string, files []textFile, opts Options) (*Snapshot, error) {
	b := newBundle(files)
	if err := b.validate(); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	var s *Snapshot
	if b.readable() {
		var found []problem
		s, found = compile(b.file, dir, opts)
		b.report(found)
	}
	faults, warnings := b.problems()
	if len(faults) > 0 {
		return nil, &Error{Problems: faults}
	}
	s.Blank = !slices.ContainsFunc(b.docs, func(d *document) bool { return d.root != nil })
	s.Generation, s.Source, s.SHA256, s.LoadedAt, s.Warnings = 1, source, digest, time.Now(), warnings
	return s, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if len(text) > maxFile {
		return nil, tooLarge(path)
	}
	return text, nil
}

func tooLarge(name string) error {
	return fmt.Errorf("policy: %s is larger than %s: split it into several files in a folder", name, FormatSize(maxFile))
}
