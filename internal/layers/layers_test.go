package layers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// floor is where each package below internal/ stands. It imports what stands
// lower, never its own floor. A new package is added here, on the lowest floor
// that serves all who need it.
var floor = map[string]int{
	"fault": 0, "telemetry": 0, "target": 0,
	"policy": 1, "secret": 1, "content": 1,
	"auth": 2, "egress": 2, "identity": 2,
	"fetch":     3,
	"operation": 4, "aigw": 4, "delivery": 4, "audit": 4, "signals": 4,
	"server": 5,
}

// tool are the packages that build, measure or test the others. They import
// what they like; only tests, each other and cmd import them.
var tool = map[string]bool{
	"protodeps": true, "openapigen": true, "bench": true,
	"testpeer": true, "layers": true, "contract": true, "streamtest": true, "memtest": true, "faulttest": true, "ssrftest": true, "hostiletest": true, "canarytest": true, "doortest": true, "oteltest": true, "promtest": true, "collectortest": true,
}

// violation says why the package in directory from must not import the one in
// directory to, or "". Both are of this module; tests are free.
func violation(from, to string) string {
	free := within(from, "cmd") || tool[internalName(from)] || within(from, "gen")
	name := internalName(to)
	switch {
	case internalName(from) != "" && !known(internalName(from)):
		return "" // said once, by unknown
	case within(to, "gen/fetchsvc/policy"):
		if !free && !within(from, "internal/policy") {
			return "the policy schema belongs to internal/policy alone; ask it for values"
		}
	case within(to, "gen"):
		if !free && !within(from, "internal/server") && !within(from, "client") {
			return "the API's messages end at internal/server; below it everything speaks net/http"
		}
	case within(to, "cmd"):
		return "nobody imports a command"
	case within(to, "client"):
		if !free {
			return "client is for callers"
		}
	case within(to, "api"):
		if !free && !within(from, "internal/server") {
			return "the OpenAPI document is internal/server's to serve"
		}
	case tool[name]:
		if !free {
			return "it is a tool, for tests and cmd only"
		}
	case name == "" || free || name == internalName(from) || !known(name):
	case within(from, "client"):
		if floor[name] > 0 {
			return "client is linked into callers: floor 0 at most"
		}
	case internalName(from) == "":
		return "only cmd and client import internal packages from outside internal/"
	case floor[name] == floor[internalName(from)]:
		return fmt.Sprintf("both are on floor %d", floor[name])
	case floor[name] > floor[internalName(from)]:
		return fmt.Sprintf("that is upward, from floor %d to floor %d: declare a small interface and let cmd inject it",
			floor[internalName(from)], floor[name])
	}
	return ""
}

func known(name string) bool {
	_, ok := floor[name]
	return ok || tool[name]
}

func TestImportsGoDown(t *testing.T) {
	found := map[string]bool{}
	for _, s := range sources(t) {
		if name := internalName(s.dir()); name != "" && !known(name) {
			found[fmt.Sprintf("internal/%s: not in the floor plan: add it to the table in internal/layers/layers_test.go", name)] = true
		}
		if s.isTest() {
			continue
		}
		for _, spec := range s.syntax.Imports {
			to, ok := strings.CutPrefix(importPath(spec), module+"/")
			if !ok {
				continue
			}
			if why := violation(s.dir(), to); why != "" {
				found[fmt.Sprintf("%s: %s must not import %s: %s", s.set.Position(spec.Pos()), s.dir(), to, why)] = true
			}
		}
	}
	report(t, found)
}

// report fails once, with every line.
func report(t *testing.T, found map[string]bool) {
	t.Helper()
	if len(found) == 0 {
		return
	}
	var lines []string
	for line := range found {
		lines = append(lines, strings.ReplaceAll(line, "../../", ""))
	}
	slices.Sort(lines)
	t.Errorf("%d violations:\n%s", len(lines), strings.Join(lines, "\n"))
}

func TestRules(t *testing.T) {
	tests := []struct {
		from, to string
		allowed  bool
	}{
		{"internal/server", "internal/fetch", true},
		{"internal/server", "internal/fault", true},
		{"internal/delivery", "internal/fetch", true},
		{"internal/fetch", "internal/server", false},
		{"internal/fetch", "internal/delivery", false},
		{"internal/fetch", "internal/egress", true},
		{"internal/policy", "internal/fetch", false},
		{"internal/policy", "internal/content", false},
		{"internal/policy", "internal/target", true},
		{"internal/auth", "internal/egress", false},
		{"internal/fault", "internal/telemetry", false},
		{"internal/fetch", "internal/fetch/ledger", true},
		{"internal/fetch/ledger", "internal/auth", true},
		{"internal/server", "gen/fetchsvc/v1", true},
		{"client", "gen/fetchsvc/v1", true},
		{"cmd/fetchsvc", "gen/fetchsvc/v1", true},
		{"internal/bench", "gen/fetchsvc/v1", true},
		{"internal/fetch", "gen/fetchsvc/v1", false},
		{"internal/policy", "gen/fetchsvc/v1", false},
		{"internal/policy", "gen/fetchsvc/policy/v1", true},
		{"cmd/fetchsvc", "gen/fetchsvc/policy/v1", true},
		{"internal/server", "gen/fetchsvc/policy/v1", false},
		{"internal/server", "internal/testpeer", false},
		{"client", "internal/testpeer", false},
		{"cmd/fetchsvc", "internal/testpeer", true},
		{"internal/bench", "internal/testpeer", true},
		{"internal/contract", "internal/server", true},
		{"internal/openapigen", "internal/fault", true},
		{"internal/server", "api", true},
		{"internal/fetch", "api", false},
		{"api", "internal/fault", false},
		{"client", "internal/fault", true},
		{"client", "internal/fetch", false},
		{"internal/fetch", "client", false},
		{"cmd/fetchsvc", "client", true},
		{"internal/bench", "cmd/fetchsvc", false},
	}
	for _, tt := range tests {
		t.Run(tt.from+" to "+tt.to, func(t *testing.T) {
			if why := violation(tt.from, tt.to); (why == "") != tt.allowed {
				t.Errorf("violation: got %q, want allowed %v", why, tt.allowed)
			}
		})
	}
}
