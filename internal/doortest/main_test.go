package doortest

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// service is built once for all tests; TestMain closes it.
var service testpeer.Service

// TestMain holds that nothing outlives the tests, on either side of the sockets.
func TestMain(m *testing.M) {
	// Rows that wait for a clock are more at once than there are cores.
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
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
