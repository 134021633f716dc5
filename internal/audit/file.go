package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

var errLocked = errors.New("another process writes it: give each its own file")

// File is the file of a log. It follows its path: once something else is there, or
// nothing, as when logrotate moved it away, lines go to a new file. Safe for
// concurrent use.
type File struct {
	path  string
	chain bool
	moved func(error)

	mu     sync.Mutex
	f      *os.File
	info   os.FileInfo // of f when it was opened: says which file it is
	adrift bool        // the path is elsewhere and could not be followed
}

// regular says that there is a file, and no device or pipe.
func (f *File) regular() bool { return f.info.Mode().IsRegular() }

// OpenFile opens the file at path, made with mode 0600 if it is missing, for this
// process alone, and gives what stands in it; past is that of a chained log only.
// moved is told, with nil, that lines go to a new file, and, once until they do,
// why they cannot.
func OpenFile(path string, chain bool, moved func(error)) (f *File, past Past, err error) {
	f = &File{path: path, chain: chain, moved: moved}
	if f.f, f.info, err = open(path); err != nil {
		return nil, Past{}, err
	}
	if f.regular() {
		if past, err = resume(f.f, chain); err != nil {
			_ = f.f.Close()
			return nil, Past{}, err
		}
	}
	return f, past, nil
}

// open opens and locks; what is no regular file has no lock.
func open(path string) (f *os.File, info os.FileInfo, err error) {
	f, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, err
	}
	info, err = f.Stat()
	if err == nil && info.Mode().IsRegular() {
		err = lock(f)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, info, nil
}

// resume reads what the lines to come follow, and ends a line that was cut off.
func resume(f *os.File, chain bool) (past Past, err error) {
	if chain {
		done, err := read(f, Anything)
		if err != nil && !done.torn {
			return Past{}, fmt.Errorf("%s cannot be continued: %w; move it away", f.Name(), err)
		}
		past.Last = done.Last
		if done.torn {
			past.Torn = tornReason(done.fragment)
		}
	}
	return past, endLine(f)
}

// endLine ends the last line of what a crash cut off.
func endLine(f *os.File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], size-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = f.Write([]byte{'\n'})
	return err
}

// Write writes lines. Of what could not be written whole, as on a full disk, it
// takes the last line's part away again: the next would stand behind it, and the
// chain be torn.
func (f *File) Write(lines []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.follow()
	n, err := f.f.Write(lines)
	if err == nil || !f.regular() {
		return n, err
	}
	return f.keepWhole(lines[:n]), err
}

// keepWhole takes away the last line of what was written unless it is whole, and
// gives how much stays.
func (f *File) keepWhole(written []byte) int {
	whole := bytes.LastIndexByte(written, '\n') + 1
	if part := len(written) - whole; part > 0 {
		if size, err := f.f.Seek(0, io.SeekEnd); err == nil {
			_ = f.f.Truncate(size - int64(part))
		}
	}
	return whole
}

// Follow opens the path anew if another file is there by now. Each Write does, so
// this is for logs that have nothing to write.
func (f *File) Follow() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.follow()
}

func (f *File) follow() {
	if !f.regular() {
		return
	}
	moved, err := f.reopen()
	if f.moved != nil && (moved || err != nil && !f.adrift) {
		f.moved(err)
	}
	f.adrift = err != nil
}

// reopen says whether lines go elsewhere now. They go on to the file that is open
// unless all is well with the new one.
func (f *File) reopen() (moved bool, err error) {
	if now, err := os.Stat(f.path); err == nil && os.SameFile(f.info, now) {
		return false, nil
	}
	next, info, err := open(f.path)
	if err != nil {
		return false, err
	}
	if info.Mode().IsRegular() {
		err = f.fits(next, info.Size())
	}
	if err != nil {
		_ = next.Close()
		return false, err
	}
	_ = f.f.Close()
	f.f, f.info = next, info
	return true, nil
}

// fits says why lines cannot go on in next, which has so many bytes.
func (f *File) fits(next *os.File, size int64) error {
	if f.chain && size > 0 {
		return fmt.Errorf("%s is not empty, and what stands in it is not what the chain goes on from: move it away; until then lines go to the file that was there before", f.path)
	}
	return endLine(next)
}

// Close closes the file, and with it the lock.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.f.Close()
}
