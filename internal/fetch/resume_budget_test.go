package fetch

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestResumptionsAreBudgeted: also where nothing else is tried again, which is the
// default.
func TestResumptionsAreBudgeted(t *testing.T) {
	for _, attempts := range []int{1, 2} {
		t.Run(fmt.Sprint(attempts), func(t *testing.T) {
			text := strings.NewReplacer("max_attempts: 2", fmt.Sprintf("max_attempts: %d", attempts), "min: 1000", "min: 3, ratio: 0").Replace(resuming(""))
			f := &file{data: noise(64 << 10), cuts: 20}
			srv := testpeer.Raw(t, f.script)
			_, res, err := streamed(t.Context(), t, newEngine(t, text), request(t, "GET", srv.URL+"/"))
			if err == nil || !strings.Contains(err.Error(), "retry budget is spent") || len(res.Attempts) != 4 {
				t.Errorf("got %v after %d attempts, want the budget of 3 spent after 4", err, len(res.Attempts))
			}
		})
	}
}
