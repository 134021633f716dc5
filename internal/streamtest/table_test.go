package streamtest

import (
	"slices"
	"testing"
)

// table is all the misbehaviours, by theme.
func table() []testCase {
	return slices.Concat(
		cutCases(), stallCases(), uploadCases(), tornCases(), continueCases(), trailerCases(), framingCases(),
		codingCases(), emptyCases(), redirectCases(), limitCases(), headCases(),
	)
}

// TestStreams runs every case through every door.
func TestStreams(t *testing.T) {
	w := newWorld(t)
	all := table()
	if len(all) < 45 {
		t.Errorf("the table has %d cases, want 45 at least", len(all))
	}
	seen := map[string]bool{}
	for _, c := range all {
		if seen[c.name] {
			t.Errorf("two cases are called %q", c.name)
		}
		seen[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, w)
		})
	}
	t.Logf("%d cases through %d doors", len(all), len(doors()))
}
