package testpeer

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// leakPatience is how long goroutines have to end. goleak gives them 0.4 s, which a
// machine that is busy with other tests may not give any of them.
const leakPatience = 30 * time.Second

// Leaked says which goroutines are left once they have had their time.
func Leaked(options ...goleak.Option) error {
	deadline := time.Now().Add(leakPatience)
	for {
		err := goleak.Find(options...)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// NoLeaks fails t where goroutines are left.
func NoLeaks(t testing.TB, options ...goleak.Option) {
	t.Helper()
	if err := Leaked(options...); err != nil {
		t.Error(err)
	}
}

// Main runs a package's tests; it fails where they leave goroutines. cleanup runs
// after the tests and before that is looked at.
func Main(m *testing.M, cleanup ...func()) {
	code := m.Run()
	for _, f := range cleanup {
		f()
	}
	if code == 0 {
		if err := Leaked(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
