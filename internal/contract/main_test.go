package contract

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain holds that nothing outlives the tests: every server that they start
// is shut down by then, every call ended, every connection closed.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
