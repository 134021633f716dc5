package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quiet is how long nothing must happen before a change is told: a write is
	// several events.
	quiet = 100 * time.Millisecond
	// restless is how long it waits for that at most.
	restless = time.Second
	// lookEvery is how often it looks for itself.
	lookEvery = 5 * time.Second
)

// watcher tells that the policy at a path may have changed. The kernel says so
// where it can. Besides, it looks for itself: what another machine changes on a
// shared disk, or the host behind a container's mount, is not announced. Make one
// with newWatcher and run it.
type watcher struct {
	path  string
	every time.Duration // between two looks
	open  func() (*fsnotify.Watcher, error)
	log   *slog.Logger

	events *fsnotify.Watcher      // nil: there are none
	dirs   map[string]os.FileInfo // what events watches, as it was then
	names  map[string]bool        // what counts in them
	deaf   bool                   // said that looking is all there is
	last   sight
}

// newWatcher makes a watcher; path is a file or a folder, and may be behind links.
func newWatcher(path string, log *slog.Logger) (*watcher, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return &watcher{path: path, every: lookEvery, open: fsnotify.NewWatcher, log: log, dirs: map[string]os.FileInfo{}}, nil
}

// run watches until ctx ends, and fills changed, which holds one, once watching
// has begun and after every change.
func (w *watcher) run(ctx context.Context, changed chan<- struct{}) {
	defer w.close()
	look := time.NewTicker(w.every)
	defer look.Stop()
	settled := time.NewTimer(0) // what changed before the watch began counts too
	defer settled.Stop()
	var since time.Time // the first event that was not told; zero: all are
	for {
		events, failed := w.channels()
		select {
		case <-ctx.Done():
			return
		case e, open := <-events:
			if !open {
				w.close()
			} else if !w.concerns(e) {
				continue
			}
		case <-failed: // events were lost
			w.close()
		case <-look.C:
			w.arm()
			if w.look() {
				tell(changed)
			}
			continue
		case <-settled.C:
			since = time.Time{}
			w.arm()
			w.look()
			tell(changed)
			continue
		}
		if since.IsZero() {
			since = time.Now()
		}
		settled.Reset(min(quiet, max(0, restless-time.Since(since))))
	}
}

func tell(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default: // it was told and did not look yet
	}
}

func (w *watcher) channels() (<-chan fsnotify.Event, <-chan error) {
	if w.events == nil {
		return nil, nil
	}
	return w.events.Events, w.events.Errors
}

func (w *watcher) close() {
	if w.events != nil {
		_ = w.events.Close() // waits for its goroutine
	}
	w.events = nil
	clear(w.dirs)
}

// concerns says whether an event can have changed the policy. A folder that went
// away takes its watch with it.
func (w *watcher) concerns(e fsnotify.Event) bool {
	name := filepath.Clean(e.Name)
	if w.dirs[name] != nil && (e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)) {
		_ = w.events.Remove(name) // it may be gone already
		delete(w.dirs, name)
		return true
	}
	return w.names[name] || w.names[filepath.Dir(name)+"/*"]
}

// arm watches what is on the way to the policy now.
func (w *watcher) arm() {
	err := w.listen()
	switch {
	case err != nil && !w.deaf:
		w.log.Warn("the policy cannot be watched; it is looked at now and then instead", "every", w.every.String(), "error", err.Error())
	case err == nil && w.deaf:
		w.log.Info("the policy is watched again")
	}
	w.deaf = err != nil
}

func (w *watcher) listen() (err error) {
	if w.events == nil {
		if w.events, err = w.open(); err != nil {
			w.events = nil
			return err
		}
	}
	var dirs map[string]bool
	dirs, w.names = trail(w.path)
	for dir, then := range w.dirs {
		now, err := os.Stat(dir)
		if !dirs[dir] || err != nil || !os.SameFile(then, now) {
			_ = w.events.Remove(dir) // it may be gone already
			delete(w.dirs, dir)
		}
	}
	var failures []error
	for dir := range dirs {
		if w.dirs[dir] != nil {
			continue
		}
		info, err := os.Stat(dir)
		if err == nil {
			err = w.events.Add(dir)
		}
		if err != nil {
			failures = append(failures, &fs.PathError{Op: "watch", Path: dir, Err: err})
			continue
		}
		w.dirs[dir] = info
	}
	return errors.Join(failures...)
}

// look says whether the policy's files look other than the last time.
func (w *watcher) look() bool {
	before := w.last
	w.last = see(w.path)
	return !w.last.same(before)
}

// sight is how the files of a policy look from outside.
type sight struct {
	files map[string]os.FileInfo // nil: not there
	fresh bool                   // one changed just now: its time may hide a second change
}

func (s sight) same(o sight) bool {
	return !o.fresh && maps.EqualFunc(s.files, o.files, func(a, b os.FileInfo) bool {
		return a == nil && b == nil ||
			a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
	})
}

// see looks at path, and at all that lies in it if it is a folder.
func see(path string) sight {
	const grain = 2 * time.Second // of the coarsest file systems
	s := sight{files: map[string]os.FileInfo{path: nil}}
	entries, _ := os.ReadDir(path) // a file has none
	for _, e := range entries {
		s.files[filepath.Join(path, e.Name())] = nil
	}
	for name := range s.files {
		if info, err := os.Stat(name); err == nil {
			s.files[name] = info
			s.fresh = s.fresh || time.Since(info.ModTime()) < grain
		}
	}
	return s
}
