package contract

import (
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestMain holds that nothing outlives the tests: every server that they start
// is shut down by then, every call ended, every connection closed.
func TestMain(m *testing.M) { testpeer.Main(m) }
