package policy

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// units are the words that a size may end with, longest first.
var units = []struct {
	suffix string
	factor int64
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

// parseSize reads `3MiB`. A number without a unit is refused: nobody should
// have to guess whether 64 means bytes or megabytes.
func parseSize(s string) (int64, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n <= 0 || n > math.MaxInt64/u.factor {
			return 0, fmt.Errorf("%q is not a size: write a whole number above zero and a unit, such as 3MiB", s)
		}
		return n * u.factor, nil
	}
	return 0, fmt.Errorf("%q has no unit: write B, KiB, MiB or GiB, such as 3MiB", s)
}

// FormatSize writes n as the policy file would.
func FormatSize(n int64) string {
	const readable = 10_000
	for _, u := range units[:3] {
		if n >= u.factor && n%u.factor == 0 && n/u.factor < readable {
			return strconv.FormatInt(n/u.factor, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}
