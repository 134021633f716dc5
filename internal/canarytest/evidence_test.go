package canarytest

import (
	"maps"
	"slices"
	"sync"
	"testing"
)

// evidence is all that came out of the service.
type evidence struct {
	mu sync.Mutex
	// emitted went to operators: logs, audit, traces, the command line's own words.
	emitted map[string][]byte
	// returned went to callers, who may see what is their own.
	returned map[string][]byte
}

func newEvidence() *evidence {
	return &evidence{emitted: map[string][]byte{}, returned: map[string][]byte{}}
}

func (e *evidence) emit(what string, text []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.emitted[what] = append(append(e.emitted[what], text...), '\n')
}

func (e *evidence) give(what string, text []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.returned[what] = append(append(e.returned[what], text...), '\n')
}

// acquit fails the test for each canary that is in any of it.
func (e *evidence) acquit(t *testing.T, a *aviary) {
	t.Helper()
	all := a.list()
	s := newSearcher(all)
	size := 0
	for kind, texts := range map[string]map[string][]byte{"emitted": e.emitted, "returned": e.returned} {
		for what, text := range texts {
			size += len(text)
			said := map[string]bool{}
			hits := s.search(text)
			for _, f := range slices.SortedFunc(maps.Keys(hits), func(a, b found) int { return len(a.form) - len(b.form) }) {
				if said[f.canary] || kind == "returned" && all[f.canary].own {
					continue
				}
				said[f.canary] = true // the shortest way to it will do
				t.Errorf("%s by %s: %s, %s, in %s", kind, what, f.canary, f.form, hits[f])
			}
		}
	}
	t.Logf("searched %d bytes in %d places for %d canaries", size, len(e.emitted)+len(e.returned), len(all))
}
