package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// probe finds out, before a call is made, that its answer could not be written.
func probe(path string) error {
	place, err := placeOf(path)
	if err == nil && place.replace {
		var f *os.File
		if f, err = place.create(); err == nil {
			_ = f.Close()
			err = os.Remove(f.Name())
		}
	}
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	return nil
}

// outputFile is written beside its place and renamed, so that the place never
// holds half an answer. Devices and pipes are written to directly.
type outputFile struct {
	ctx   context.Context
	place place
	file  *os.File
}

// createOutput begins a file; keep or drop it.
func createOutput(ctx context.Context, path string) (*outputFile, error) {
	place, err := placeOf(path)
	if err != nil {
		return nil, err
	}
	var f *os.File
	if place.replace {
		f, err = place.create()
	} else { // opening a pipe waits for its reader
		f, err = interruptible(ctx, func() (*os.File, error) { return os.OpenFile(place.path, os.O_WRONLY, 0) })
	}
	if err != nil {
		return nil, err
	}
	return &outputFile{ctx, place, f}, nil
}

func (o *outputFile) Write(p []byte) (int, error) {
	if o.place.replace {
		return o.file.Write(p)
	}
	return interruptible(o.ctx, func() (int, error) { return o.file.Write(p) })
}

// keep puts the file in its place.
func (o *outputFile) keep() error {
	err := o.file.Close()
	if err == nil && o.place.replace {
		err = os.Rename(o.file.Name(), o.place.path)
	}
	return err
}

// drop leaves nothing behind. After keep has succeeded it does nothing.
func (o *outputFile) drop() {
	_ = o.file.Close()
	if o.place.replace {
		_ = os.Remove(o.file.Name())
	}
}

// place is where an output file goes.
type place struct {
	path string // behind symbolic links
	mode fs.FileMode
	// replace says that a new file takes its place.
	replace bool
}

func placeOf(path string) (place, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // the link stays, what it points to is replaced
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return place{path, 0o666, true}, nil
	case err != nil:
		return place{}, err
	case info.IsDir():
		return place{}, fmt.Errorf("%s is a folder: name a file in it", path)
	default:
		return place{path, info.Mode().Perm(), info.Mode().IsRegular()}, nil
	}
}

// create opens a new file beside the place. Unlike os.CreateTemp's its mode is
// that of the file it replaces, or what the umask leaves.
func (p place) create() (*os.File, error) {
	name := filepath.Join(filepath.Dir(p.path), "."+filepath.Base(p.path)+"."+rand.Text()[:8])
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, p.mode)
}
