package promtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

func TestMain(m *testing.M) { testpeer.Main(m) }

const (
	prometheusFolder = "../../deploy/observability/prometheus"
	rulesFile        = prometheusFolder + "/rules.yaml"
	dashboardFile    = "../../deploy/observability/grafana/fetchsvc.json"
	collectorFile    = "../../deploy/observability/collector.yaml"
	datasourcesFile  = "../../deploy/observability/grafana/datasources.yaml"
)

// tool finds a program of Debian's package prometheus. CI has it; a developer may
// not.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is missing: `make .build/peers` installs it", name)
	default:
		t.Skipf("no %s here: apt-get install --no-install-recommends prometheus", name)
	}
	return ""
}

// promtool runs it, and fails the test where it finds fault.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), tool(t, "promtool"), args...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %q: %v\n%s", args, err, out)
	}
}

// read gives a file's text.
func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// write makes a file of the test's own and gives its path.
func write(t *testing.T, dir, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
