package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// TestMain lets the test's own binary be the children, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == roleFloor || os.Args[1] == roleUpstream || os.Args[1] == roleFlood) {
		if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// It says nothing of speed: it only runs everything, for an instant.
func TestRun(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the binary")
	}
	if runtime.GOOS != "linux" {
		t.Skip("the CPU time of another process is read on Linux only")
	}
	for _, body := range []string{"1KiB", "64KiB"} {
		t.Run(body, func(t *testing.T) {
			var out, errs strings.Builder
			args := []string{"-c", "1,8", "-body", body, "-rounds", "2", "-duration", "50ms", "-bar", "1000"}
			if err := run(t.Context(), args, &out, &errs); err != nil {
				t.Fatalf("run: %v\n%s", err, errs.String())
			}
			for _, want := range []string{ // the bytes are a difference, which in an instant may come out below zero
				`(?m)^ +floor +1 +[0-9.]+ +1\.00 +\(1\.00-1\.00\) +[1-9][0-9]* +-?[0-9]+ `,
				`(?m)^ +fetchsvc +1 +[0-9.]+ +[0-9.]+ +\([0-9.]+-[0-9.]+\) +[1-9][0-9]* +-?[0-9]+ `,
				`(?m)^ +floor, GOGC=400 +8 `,
				`(?m)^ +fetchsvc, REST +8 +[0-9.]+ .* [1-9][0-9]* `,
				`(?m)^bar: fetchsvc at [0-9.]+ with 8 in flight is within 1000\.00$`,
			} {
				if !regexp.MustCompile(want).MatchString(out.String()) {
					t.Errorf("got\n%s\nwant a match of %s", out.String(), want)
				}
			}
		})
	}
}

func TestBadFlags(t *testing.T) {
	for _, args := range [][]string{
		{"-c", "0"}, {"-c", "many"}, {"-c", "1,,2"}, {"-body", "2KiB"}, {"-rounds", "0"}, {"-duration", "-1s"}, {"more"}, {"-no"},
	} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("run(%q) = nil, want an error", args)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{5, 1, 3}, 3}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(tt.in); got != tt.want {
			t.Errorf("median(%v) = %v, want %v", tt.in, got, tt.want)
		}
	}
}

// A child that cannot serve is told by its own last words.
func TestSpawnFails(t *testing.T) {
	c, err := spawn(t.Context(), nil, "/bin/sh", "-c", "echo no policy >&2; exit 3")
	if err == nil {
		c.stop()
	}
	if err == nil || !strings.Contains(err.Error(), "no policy") {
		t.Errorf("spawn = %v, want an error that says: no policy", err)
	}
}
