package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestWatchIsOffOnDemand looks for the watch among what the process has open.
func TestWatchIsOffOnDemand(t *testing.T) {
	t.Parallel()
	file := writeTemp(t, "policy.yaml", allowing("127.0.0.1:1"))
	for _, on := range []bool{true, false} {
		w := startServe(t, "--policy", file, fmt.Sprintf("--watch=%t", on))
		if on { // it begins beside serving
			must(t, os.WriteFile(file, []byte(allowing("127.0.0.1:2")), 0o644))
			w.awaitReload(2)
		}
		if got := watches(t, w.cmd.Process.Pid); got != on {
			t.Errorf("--watch=%t: the process watches: got %t", on, got)
		}
	}
}

func watches(t *testing.T, pid int) bool {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	must(t, err)
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && to == "anon_inode:inotify" {
			return true
		}
	}
	return false
}
