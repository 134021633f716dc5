package policy

import (
	"log/slog"
	"testing"
)

// TestTracingWithoutPolicy: a service without a policy traces and logs as one whose
// policy says nothing of it. A share of 0 would be none.
func TestTracingWithoutPolicy(t *testing.T) {
	empty, err := Parse("policy.yaml", []byte("{}"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Snapshot{"no policy": DenyAll(), "an empty one": empty} {
		if s.Trace != builtinTracing() || s.LogLevel != slog.LevelInfo {
			t.Errorf("%s: it traces by %+v and logs from %v, want %+v and INFO", name, s.Trace, s.LogLevel, builtinTracing())
		}
	}
}
