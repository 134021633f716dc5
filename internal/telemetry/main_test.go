package telemetry

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/otel"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestMain also fails where OpenTelemetry's global handler is told anything: it would
// print it on standard error, past our log.
func TestMain(m *testing.M) {
	var told atomic.Int64
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		told.Add(1)
		fmt.Fprintln(os.Stderr, "OpenTelemetry's global handler was told:", err)
	}))
	testpeer.Main(m, func() {
		if told.Load() > 0 {
			os.Exit(1)
		}
	})
}
