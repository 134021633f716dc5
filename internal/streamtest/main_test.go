package streamtest

import (
	"flag"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestMain holds that nothing outlives the tests: every stream that they open is
// ended by then, whatever became of it.
func TestMain(m *testing.M) {
	// Most cases wait for a clock: more of them run at once than there are cores.
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	testpeer.Main(m)
}

// patience bounds every wait. It is no part of any assertion: generous, for
// loaded machines.
const patience = 60 * time.Second
