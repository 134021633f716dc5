package canarytest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// program is fetchsvc, built once.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "fetchsvc-canary")
	if err == nil {
		program = filepath.Join(dir, "fetchsvc")
		build := exec.Command("go", "build", "-trimpath", "-o", program, "github.com/fetchsvc/fetchsvc/cmd/fetchsvc")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		var out []byte
		if out, err = build.CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the service:", err)
		os.Exit(1)
	}
	testpeer.Main(m, func() { _ = os.RemoveAll(dir) })
}
