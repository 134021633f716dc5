package policy

import (
	"math/rand/v2"
	"testing"
)

// TestClaimsCover holds covers to what it promises: whatever meets the narrower set
// meets the wider one. It says nothing of sets that it cannot compare.
func TestClaimsCover(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	set := func() (s claimSet) {
		for _, name := range []string{"a", "b.c", "scope"} {
			if r.IntN(3) > 0 {
				s = append(s, claimGlob{name, pick("*", "x*", "x", "xy", "*y", "3", "true")})
			}
		}
		return s
	}
	value := func() any {
		return []any{"x", "xy", "xzy", "z x", float64(3), true, nil, []any{"q", "xy"}, []any{[]any{"x"}}}[r.IntN(9)]
	}
	covered, met := 0, 0
	for range 200_000 {
		wide, narrow := set(), set()
		claims := map[string]any{"a": value(), "scope": value(), "b": map[string]any{"c": value()}}
		if r.IntN(4) == 0 {
			claims["b.c"] = value()
		}
		if !wide.covers(narrow) {
			continue
		}
		covered++
		if narrow.missing(claims) != "" {
			continue
		}
		met++
		if missing := wide.missing(claims); missing != "" {
			t.Fatalf("%v covers %v, but of %v only the second is met: %s", wide.words(), narrow.words(), claims, missing)
		}
	}
	if covered < 1000 || met < 1000 {
		t.Errorf("only %d pairs were covered, and %d met: the test says little", covered, met)
	}
}

func TestSPIFFE(t *testing.T) {
	for id, good := range map[string]bool{
		"spiffe://example.org":           true,
		"spiffe://example.org/a/B-c.d_1": true,
		"spiffe://example.org/":          false,
		"spiffe://":                      false,
		"spiffe:///a":                    false,
		"SPIFFE://example.org/a":         false,
		"spiffe://example.org/a b":       false,
		"spiffe://example.org/ä":         false,
		"spiffe://example.org/...":       true,
		"spiffe://example.org/.":         false,
		"spiffe://example.org/a?b":       false,
		"spiffe://a@example.org/a":       false,
	} {
		if err := CheckSPIFFE(id); (err == nil) != good {
			t.Errorf("CheckSPIFFE(%q) gives %v, want good %v", id, err, good)
		}
	}
}
