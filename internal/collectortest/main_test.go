package collectortest

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// program is fetchsvc, built once, without the race detector: its memory is measured.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "fetchsvc-collector")
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
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // they wait for the most part
		panic(err)
	}
	testpeer.Main(m, func() { _ = os.RemoveAll(dir) })
}
