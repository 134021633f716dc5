package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watching is a watcher that runs.
type watching struct {
	t       testing.TB
	path    string
	changed chan struct{}
	log     *stream
}

// watch runs a watcher until the test ends, with a look every so often.
func watch(t testing.TB, path string, every time.Duration, open func() (*fsnotify.Watcher, error)) *watching {
	t.Helper()
	w := &watching{t, path, make(chan struct{}, 1), newStream()}
	watcher, err := newWatcher(path, slog.New(slog.NewTextHandler(w.log, nil)))
	must(t, err)
	watcher.every, watcher.open = every, open
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { watcher.run(ctx, w.changed) })
	t.Cleanup(func() {
		cancel()
		all.Wait()
	})
	await(t, "the beginning", w.changed)
	return w
}

// awaitText blocks until a change was told after which the policy reads as text.
func (w *watching) awaitText(text string) {
	w.t.Helper()
	for late := time.After(patience); ; {
		select {
		case <-w.changed:
			if got, err := os.ReadFile(w.path); err == nil && string(got) == text {
				return
			}
		case <-late:
			w.t.Fatalf("nobody told that the policy became %q; log:\n%s", text, w.log)
		}
	}
}

// TestWatchTells changes a policy in the ways that people and machines do. That
// the events tell, and not a look, is sure as no look comes within the test.
func TestWatchTells(t *testing.T) {
	t.Parallel()
	plain := [][2]string{{"etc/policy.yaml", "1"}}
	mount := [][2]string{{"etc/..1/policy.yaml", "1"}, {"etc/..data", "->..1"}, {"etc/policy.yaml", "->..data/policy.yaml"}}
	tests := []struct {
		name   string
		files  [][2]string
		change func(t *testing.T, etc string) // makes it "2"
	}{
		{"written over", plain, func(t *testing.T, etc string) {
			must(t, os.WriteFile(filepath.Join(etc, "policy.yaml"), []byte("2"), 0o644))
		}},
		{"renamed over", plain, func(t *testing.T, etc string) {
			must(t, os.WriteFile(filepath.Join(etc, "new"), []byte("2"), 0o644))
			must(t, os.Rename(filepath.Join(etc, "new"), filepath.Join(etc, "policy.yaml")))
		}},
		{"moved away and written anew", plain, func(t *testing.T, etc string) {
			must(t, os.Rename(filepath.Join(etc, "policy.yaml"), filepath.Join(etc, "policy.yaml~")))
			must(t, os.WriteFile(filepath.Join(etc, "policy.yaml"), []byte("2"), 0o644))
		}},
		{"a ConfigMap swapped", mount, func(t *testing.T, etc string) { swapMount(t, etc, "policy.yaml", "2") }},
		{"a ConfigMap swapped twice", mount, func(t *testing.T, etc string) {
			swapMount(t, etc, "policy.yaml", "3")
			swapMount(t, etc, "policy.yaml", "2")
		}},
		{"its folder removed and made again", plain, func(t *testing.T, etc string) {
			must(t, os.RemoveAll(etc))
			must(t, os.Mkdir(etc, 0o755))
			must(t, os.WriteFile(filepath.Join(etc, "policy.yaml"), []byte("2"), 0o644))
		}},
		{"its folder replaced", plain, func(t *testing.T, etc string) {
			must(t, os.Mkdir(etc+".new", 0o755))
			must(t, os.WriteFile(filepath.Join(etc+".new", "policy.yaml"), []byte("2"), 0o644))
			must(t, os.Rename(etc, etc+".old"))
			must(t, os.Rename(etc+".new", etc))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := tree(t, tt.files...)
			w := watch(t, filepath.Join(root, "etc/policy.yaml"), time.Hour, fsnotify.NewWatcher)
			tt.change(t, filepath.Join(root, "etc"))
			w.awaitText("2")
			if w.log.String() != "" {
				t.Errorf("the log: got %s, want nothing", w.log)
			}
		})
	}
}

// swapMount is what the kubelet does with a new version of a ConfigMap.
func swapMount(t testing.TB, dir, name, text string) {
	t.Helper()
	before, err := os.Readlink(filepath.Join(dir, "..data"))
	must(t, err)
	version, err := os.MkdirTemp(dir, "..v")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(version, name), []byte(text), 0o644))
	must(t, os.Symlink(filepath.Base(version), filepath.Join(dir, "..data_tmp")))
	must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	must(t, os.RemoveAll(filepath.Join(dir, before)))
}

// TestWatchFolderGoneForLong lets the watcher see that the folder is missing
// before it is back.
func TestWatchFolderGoneForLong(t *testing.T) {
	t.Parallel()
	root := tree(t, [2]string{"a/etc/policy.yaml", "1"})
	w := watch(t, filepath.Join(root, "a/etc/policy.yaml"), time.Hour, fsnotify.NewWatcher)
	must(t, os.RemoveAll(filepath.Join(root, "a")))
	await(t, "the change to nothing", w.changed)
	must(t, os.MkdirAll(filepath.Join(root, "a/etc"), 0o755))
	await(t, "the change to an empty folder", w.changed)
	must(t, os.WriteFile(w.path, []byte("2"), 0o644))
	w.awaitText("2")
}

// TestWatchOnlyLooking has a machine that gives out no more watches.
func TestWatchOnlyLooking(t *testing.T) {
	t.Parallel()
	root := tree(t, [2]string{"policy.yaml", "1"})
	refused := make(chan struct{}, 1)
	w := watch(t, filepath.Join(root, "policy.yaml"), 10*time.Millisecond, func() (*fsnotify.Watcher, error) {
		select {
		case <-refused:
			return fsnotify.NewWatcher()
		default:
			return nil, errors.New("too many open files")
		}
	})
	for _, text := range []string{"2", "3", "44"} {
		must(t, os.WriteFile(w.path, []byte(text), 0o644))
		w.awaitText(text)
	}
	if n := strings.Count(w.log.String(), "cannot be watched"); n != 1 || !strings.Contains(w.log.String(), "too many open files") {
		t.Errorf("the log tells it %d times, want once, with the reason:\n%s", n, w.log)
	}
	refused <- struct{}{}
	(&child{t: t, ended: make(chan struct{})}).await(w.log, "watched again")
}

// TestWatchConcerns holds that a busy folder does not wake anyone.
func TestWatchConcerns(t *testing.T) {
	t.Parallel()
	root := tree(t, [2]string{"etc/policy.yaml", "1"}, [2]string{"policy.d/a.yaml", "1"})
	for _, tt := range []struct {
		policy, event string
		want          bool
	}{
		{"etc/policy.yaml", "etc/policy.yaml", true},
		{"etc/policy.yaml", "etc/.policy.yaml.swp", false},
		{"etc/policy.yaml", "etc/passwd", false},
		{"policy.d", "policy.d/b.yaml", true},
		{"policy.d", "policy.d/..data", true},
		{"policy.d", "policy.d", true},
		{"policy.d", "etc", false},
	} {
		w, err := newWatcher(filepath.Join(root, tt.policy), slog.New(slog.DiscardHandler))
		must(t, err)
		w.arm()
		got := w.concerns(fsnotify.Event{Name: filepath.Join(root, tt.event), Op: fsnotify.Create})
		w.close()
		if got != tt.want {
			t.Errorf("%s under --policy %s concerns it: got %t, want %t", tt.event, tt.policy, got, tt.want)
		}
	}
}
