package main

import (
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// It says nothing of speed: only that every call is answered whatever ails the
// collector, or run would fail.
func TestCollectors(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the binary")
	}
	if runtime.GOOS != "linux" {
		t.Skip("the CPU time of another process is read on Linux only")
	}
	var out, errs strings.Builder
	if err := run(t.Context(), []string{"-collector", "-c", "8", "-rounds", "1", "-duration", "200ms"}, &out, &errs); err != nil {
		t.Fatalf("run: %v\n%s", err, errs.String())
	}
	for _, name := range []string{"nothing sent", "well", "absent", "hanging", "slow", "failing", "absent, then back"} {
		if !regexp.MustCompile(`(?m)^ *` + name + ` +[1-9][0-9]* +[0-9.]+ .* [1-9][0-9]* +[0-9]+ +[1-9][0-9]* +[0-9]+$`).MatchString(out.String()) {
			t.Errorf("got\n%s\nwant a row %q", out.String(), name)
		}
	}
	if !regexp.MustCompile(`(?m)^ *nothing sent .* 1\.00 .* 0 +[0-9]+ +[0-9]+$`).MatchString(out.String()) {
		t.Errorf("got\n%s\nwant nothing lost where nothing is sent", out.String())
	}
}
