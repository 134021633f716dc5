package doortest

import (
	"flag"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// service is built once for all tests; TestMain closes it.
var service testpeer.Service

// lateness is of this process, over all tests.
var lateness = newSleeper()

// TestMain holds that nothing outlives the tests, on either side of the sockets.
func TestMain(m *testing.M) {
	// Rows that wait for a clock are more at once than there are cores.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	testpeer.Main(m, service.Close, lateness.close)
}
