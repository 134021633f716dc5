package secret

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// SourceState is how a source of secrets stands.
type SourceState struct {
	// Source is `env`, `file` or `vault NAME`.
	Source string
	// Oldest is the age of the oldest value that was asked for within the last hour: how
	// long ago it was last seen to be what the source has. It is less than a vault's
	// refresh while all is well, and grows while readings fail, also beyond the time that
	// a value stays in use. A file is looked at when it is asked for, so its age is that
	// which it had then; the environment is read each time, so its values have none.
	Oldest time.Duration
	// Reads are how often something was read, Failures how often that gave a value that
	// cannot be used, or none. A file is not read again while it looks the same; of a
	// vault a whole secret is read at once.
	Reads, Failures int64
}

// States are the sources that were read from, by name, with all vaults. It waits for
// no reading.
func (s *Store) States() []SourceState {
	now := time.Now()
	var all []SourceState
	if env := s.env.state("env"); env.Reads > 0 {
		all = append(all, env)
	}
	s.mu.Lock()
	if file := s.file.state("file"); file.Reads > 0 {
		for _, f := range s.files {
			if now.Sub(f.used) <= unused {
				file.Oldest = max(file.Oldest, time.Duration(f.age.Load()))
			}
		}
		all = append(all, file)
	}
	vaults := slices.Collect(maps.Values(s.vaults))
	s.mu.Unlock()
	for _, v := range vaults {
		state := v.tally.state("vault " + v.cfg.Name)
		state.Oldest = v.oldest(now)
		all = append(all, state)
	}
	slices.SortFunc(all, func(a, b SourceState) int { return strings.Compare(a.Source, b.Source) })
	return all
}

// oldest is how long ago the oldest value was read.
func (v *vault) oldest(now time.Time) (age time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range v.entries {
		for _, s := range e.slots {
			if !s.last.IsZero() && now.Sub(s.used) <= unused {
				age = max(age, now.Sub(s.read))
			}
		}
	}
	return age
}

// tally counts readings by what came of them. Safe for concurrent use; a nil one
// counts nothing.
type tally struct{ good, failed atomic.Int64 }

// count notes one that failed by err; nil: it did not.
func (t *tally) count(err error) {
	switch {
	case t == nil:
	case err != nil:
		t.failed.Add(1)
	default:
		t.good.Add(1)
	}
}

func (t *tally) state(source string) SourceState {
	good, failed := t.good.Load(), t.failed.Load()
	return SourceState{Source: source, Reads: good + failed, Failures: failed}
}
