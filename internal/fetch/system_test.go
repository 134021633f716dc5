package fetch

import (
	"net/http"
	"testing"
	"time"
)

func TestFreshFor(t *testing.T) {
	tests := []struct {
		name         string
		control, age string
		want         time.Duration
	}{
		{"nothing said", "", "", 0},
		{"max-age", "public, max-age=300", "", 5 * time.Minute},
		{"in another case, quoted", `Max-Age="60"`, "", time.Minute},
		{"less its age", "max-age=300", "100", 200 * time.Second},
		{"too old", "max-age=300", "301", 0},
		{"no number", "max-age=soon", "", 0},
		{"negative", "max-age=-1", "", 0},
		{"beyond all time", "max-age=99999999999999999999", "", 0},
		{"shared caches only", "s-maxage=300", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			h.Set("Cache-Control", tt.control)
			h.Set("Age", tt.age)
			if got := freshFor(h); got != tt.want {
				t.Errorf("freshFor gives %s, want %s", got, tt.want)
			}
		})
	}
}
