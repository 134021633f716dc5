package main

import (
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// It says nothing of latency: only that who has limits is refused, that who has
// none is not, and that the quiet caller is answered throughout, or run would fail.
func TestFlood(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the binary")
	}
	if runtime.GOOS != "linux" {
		t.Skip("the CPU time of another process is read on Linux only")
	}
	var out, errs strings.Builder
	if err := run(t.Context(), []string{"-flood", "-rounds", "1", "-duration", "200ms"}, &out, &errs); err != nil {
		t.Fatalf("run: %v\n%s", err, errs.String())
	}
	for _, want := range []string{ // answered, refused, not sent, failed, CPU
		`(?m)^ +limits, flood by grpc .* [1-9][0-9]* +[1-9][0-9]* +[0-9]+ +0 +-?[0-9.]+$`,
		`(?m)^ +limits, flood by rest .* [1-9][0-9]* +[1-9][0-9]* +[0-9]+ +0 +-?[0-9.]+$`,
		`(?m)^ +defaults, flood by grpc .* [1-9][0-9]* +0 +[0-9]+ +0 +-?[0-9.]+$`,
		`(?m)^ +defaults, flood by rest .* [1-9][0-9]* +0 +[0-9]+ +0 +-?[0-9.]+$`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("got\n%s\nwant a match of %s", out.String(), want)
		}
	}
}

func TestBadFlood(t *testing.T) {
	for _, args := range [][]string{
		{roleFlood}, {roleFlood, "grpc", "127.0.0.1:1", "http://127.0.0.1:1/", "many", "1s"}, {roleFlood, "grpc", "127.0.0.1:1", "http://127.0.0.1:1/", "1", "soon"},
	} {
		if err := run(t.Context(), args, &strings.Builder{}, &strings.Builder{}); err == nil {
			t.Errorf("run(%q) = nil, want an error", args)
		}
	}
}
