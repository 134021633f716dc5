package faulttest

import (
	"flag"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestMain holds that nothing outlives the tests.
func TestMain(m *testing.M) {
	// Most rows wait for a clock: more of them run at once than there are cores.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	testpeer.Main(m)
}

// patience bounds every wait. It is no part of any assertion: generous, for loaded
// machines.
const patience = 30 * time.Second
