package secret

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// File is a file that is read again when it changes, so that what it holds can
// be rotated while the process runs. It is looked at on use. Safe for concurrent
// use.
type File struct {
	// Path is absolute.
	Path string
	// Limit is the most that is read, in bytes.
	Limit int64
	// Check says whether the content can be used; nil: any can. Its error must not
	// quote the content.
	Check func([]byte) error
	// Every is the least time between two looks. Default: a second.
	Every time.Duration
	// Log hears of it when the content cannot be used; nil: nobody does.
	Log *slog.Logger

	tally *tally // of its readings; nil: nobody counts

	mu      sync.Mutex
	looked  time.Time
	seen    identity
	settled bool // seen cannot hide a change within the clock's grain
	last    Reading
}

// Reading is what a File last had to offer.
type Reading struct {
	// Data is the newest content that could be used; nil: there never was one.
	// It is shared: do not change it.
	Data []byte
	// Version counts the contents, from 1.
	Version uint64
	// Bad is why the file as it is now cannot be used, and Since is when that was
	// first seen; nil: Data is what it holds.
	Bad   error
	Since time.Time
	// Good is when Data was last seen to be what the file holds.
	Good time.Time
}

// identity tells one state of a file from another.
type identity struct {
	info os.FileInfo
	size int64
	time time.Time
}

func (i identity) same(o identity) bool {
	return i.info != nil && o.info != nil && os.SameFile(i.info, o.info) && i.size == o.size && i.time.Equal(o.time)
}

const (
	// lookEvery is how often a file is looked at unless it says otherwise.
	lookEvery = time.Second
	// grain is how long two writes may share one modification time.
	grain = 2 * time.Second
)

// Read gives the newest usable content.
func (f *File) Read() Reading {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if !f.looked.IsZero() && now.Sub(f.looked) < cmp.Or(f.Every, lookEvery) {
		return f.last
	}
	f.looked = now
	info, err := os.Stat(f.Path)
	if err != nil {
		return f.bad(now, identity{}, err)
	}
	at := identity{info, info.Size(), info.ModTime()}
	if f.settled && at.same(f.seen) {
		f.last.Good = now
		return f.last
	}
	data, err := f.load(info)
	if err != nil {
		return f.bad(now, at, err)
	}
	f.seen, f.settled = at, now.Sub(at.time) > grain
	if f.last.Bad != nil && f.Log != nil {
		f.Log.Info("a file can be used again", "file", f.Path)
	}
	if f.last.Version == 0 || string(data) != string(f.last.Data) {
		f.last.Data, f.last.Version = data, f.last.Version+1
	}
	f.last.Bad, f.last.Since, f.last.Good = nil, time.Time{}, now
	f.tally.count(nil)
	return f.last
}

// bad keeps what was there before, and says so once.
func (f *File) bad(now time.Time, at identity, err error) Reading {
	if f.Log != nil && (f.last.Bad == nil || f.last.Bad.Error() != err.Error()) {
		f.Log.Error("a file cannot be used; what it held before stays in use, if anything", "file", f.Path, "error", err.Error())
	}
	if f.last.Bad == nil {
		f.last.Since = now
	}
	f.last.Bad = err
	f.tally.count(err)
	// An error may pass without a trace in the file's identity: it is read again
	// each time.
	f.seen, f.settled = at, false
	return f.last
}

// load reads the file and has it checked.
func (f *File) load(info os.FileInfo) ([]byte, error) {
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", f.Path)
	}
	r, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, f.Limit+1))
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: f.Path, Err: err}
	}
	if int64(len(data)) > f.Limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", f.Path, f.Limit)
	}
	if f.Check == nil {
		return data, nil
	}
	return data, f.Check(data)
}
