package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/signals"
)

// reloader puts a policy that changed in force. Where the new one is refused, the
// one before stays, and the refusal is remembered until a good one is there. Safe
// for concurrent use.
type reloader struct {
	// path is where the policy lies; empty: it never changes.
	path string
	load func() (*policy.Snapshot, error)
	// use puts a snapshot in force, and current gives the one that is.
	use     func(*policy.Snapshot)
	current func() *policy.Snapshot
	// accept says why a policy that can be used must not be in force here; nil: any may.
	accept func(*policy.Snapshot) error
	log    *slog.Logger
	level  *slog.LevelVar // policy's to set

	mu      sync.Mutex // held while reloading
	refused atomic.Pointer[refusal]
	// done are the policies that were put in force after the first, failed those that
	// were refused.
	done, failed atomic.Int64
}

// state is how the policy stands, for metrics.
func (r *reloader) state() signals.PolicyState {
	at, _ := r.rejected()
	now := r.current()
	return signals.PolicyState{
		Generation: now.Generation, Loaded: now.LoadedAt, Refused: !at.IsZero(),
		Reloads: r.done.Load(), Failures: r.failed.Load(),
	}
}

// refusal is a policy that was not put in force.
type refusal struct {
	at     time.Time
	reason string
	kept   int64 // the generation that stayed
}

// rejected gives the refusal that holds; the zero time: there is none.
func (r *reloader) rejected() (at time.Time, reason string) {
	f := r.refused.Load()
	if f == nil || f.kept != r.current().Generation {
		return time.Time{}, ""
	}
	return f.at, f.reason
}

// reload reads the policy. A text that is in force already is left alone, unless
// someone asked: then what it names (secrets, certificates) may have changed.
func (r *reloader) reload(asked bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.current()
	s, err := r.read()
	if err != nil {
		r.refuse(before, err, asked)
		return
	}
	if s.SHA256 == before.SHA256 && !asked {
		if r.refused.Swap(nil) != nil {
			r.log.Info("the policy is again what is in force", "generation", before.Generation, "sha256", before.SHA256)
		}
		return
	}
	s.Generation = before.Generation + 1
	r.level.Set(s.LogLevel)
	r.use(s)
	r.refused.Store(nil)
	r.done.Add(1)
	r.tell(before, s)
}

// tell says that s is in force instead of before. A level that silences such lines
// does not silence the one that tells of it.
func (r *reloader) tell(before, s *policy.Snapshot) {
	if min(before.LogLevel, s.LogLevel) > slog.LevelInfo {
		return
	}
	log := slog.New(loud{r.log.Handler()})
	if s.LogLevel != before.LogLevel {
		log = log.With("log_level", s.LogLevel.String())
	}
	log.Info("policy reloaded", "generation", s.Generation, "sha256", s.SHA256,
		"upstreams", len(s.Upstreams), "warnings", s.Warnings)
}

// loud takes lines of every level.
type loud struct{ slog.Handler }

func (loud) Enabled(context.Context, slog.Level) bool { return true }

func (l loud) WithAttrs(attrs []slog.Attr) slog.Handler { return loud{l.Handler.WithAttrs(attrs)} }

// errEmpty refuses what a write that has only begun looks like, or one to a full
// disk: in force, it would deny everything.
var errEmpty = errors.New("there is nothing in it; a policy that denies everything holds {}")

// read is load; a defect there is no reason to stop serving.
func (r *reloader) read() (s *policy.Snapshot, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a defect of fetchsvc: reading the policy panicked: %v", p)
			r.log.Error("reading the policy panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	if s, err = r.load(); err == nil && s.Blank {
		return nil, fmt.Errorf("policy: %s: %w", r.path, errEmpty)
	}
	if err == nil && r.accept != nil {
		err = r.accept(s)
	}
	return s, err
}

// refuse remembers the refusal, and says so unless that was said.
func (r *reloader) refuse(before *policy.Snapshot, err error, asked bool) {
	known := r.refused.Load()
	again := known != nil && known.kept == before.Generation && known.reason == err.Error()
	if !again || asked {
		r.failed.Add(1)
	}
	if !again {
		r.refused.Store(&refusal{time.Now(), err.Error(), before.Generation})
	}
	if !again || asked {
		r.log.Error("policy refused, the one before stays in force", "error", err.Error(), "generation", before.Generation)
	}
}

// start follows the policy until ctx ends: SIGHUP reloads it, and if watch is set,
// so does a change of its files. wait returns when all of it has ended.
func (r *reloader) start(ctx context.Context, watch bool) (wait func(), err error) {
	var all sync.WaitGroup
	if r.path == "" {
		return all.Wait, nil
	}
	var changed chan struct{} // nil: nothing is told
	if watch {
		w, err := newWatcher(r.path, r.log)
		if err != nil {
			return nil, err
		}
		changed = make(chan struct{}, 1)
		all.Go(func() { w.run(ctx, changed) })
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	all.Go(func() {
		defer signal.Stop(asked)
		r.follow(ctx, asked, changed)
	})
	return all.Wait, nil
}

// follow reloads when it is told to. A policy that was refused is tried again: it
// may wait for a secret that is mounted a little later.
func (r *reloader) follow(ctx context.Context, asked <-chan os.Signal, changed <-chan struct{}) {
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
			r.reload(true)
		case <-changed:
			r.reload(false)
		case <-again.C:
			if r.refused.Load() != nil && changed != nil {
				r.reload(false)
			}
		}
	}
}
