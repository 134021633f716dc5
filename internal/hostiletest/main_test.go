package hostiletest

import (
	"flag"
	"io"
	"log"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestMain holds that nothing outlives the tests, on either side of the sockets.
func TestMain(m *testing.M) {
	// Most rows wait for a clock: more of them run at once than there are cores.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	log.SetOutput(io.Discard) // net/http repeats there what peers say; the service has it at level debug
	testpeer.Main(m, service.Close)
}
