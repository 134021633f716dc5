package hostiletest

import (
	"flag"
	"io"
	"log"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain holds that nothing outlives the tests, on either side of the sockets.
func TestMain(m *testing.M) {
	// Most rows wait for a clock: more of them run at once than there are cores.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	log.SetOutput(io.Discard) // net/http repeats there what peers say; the service has it at level debug
	code := m.Run()
	service.Close()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			println(err.Error())
			code = 1
		}
	}
	os.Exit(code)
}
