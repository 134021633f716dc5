package oteltest

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestTelemetry holds what each scenario sends against its golden file, by both doors:
// what a call looks like must not depend on how it came in. All of it is held against
// the conventions, and all together against the catalogue.
func TestTelemetry(t *testing.T) {
	all := newSeen()
	var ran atomic.Int64
	t.Run("of", func(t *testing.T) {
		for _, s := range scenarios() {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				golden(t, s.name, s.run(t, all))
				ran.Add(1)
			})
		}
	})
	t.Run("inventions", func(t *testing.T) {
		invented(t, all)
		ran.Add(1)
	})
	if int(ran.Load()) == len(scenarios())+1 { // else -run chose some
		all.listed(t)
	}
}

// run gives a scenario's trees, by both doors.
func (s *scenario) run(t *testing.T, all *seen) string {
	t.Helper()
	var out strings.Builder
	out.WriteString("# " + s.about + "\n")
	before := ""
	for _, door := range []string{"grpc", "rest"} {
		w := s.enter(t, door)
		s.calls(w)
		tree := w.end()
		if s.wire {
			tree += w.wire(w.sink.Spans())
		}
		conventional(t, s.name+" by "+door, w.sink)
		all.add(w.sink)
		if strings.ReplaceAll(tree, `door = "rest"`, `door = "grpc"`) == before {
			tree = "the same, but for fetchsvc.door\n"
		}
		out.WriteString("\n== " + door + "\n" + tree)
		before = tree
	}
	return out.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(got, "\n"), strings.Split(string(want), "\n")); diff != "" {
		t.Errorf("%s: got -, want +; if it is meant to be so, go test ./internal/oteltest -run TestTelemetry -update\n%s", file, diff)
	}
}
