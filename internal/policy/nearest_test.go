package policy

import (
	"strings"
	"testing"
)

func TestDidYouMean(t *testing.T) {
	known := []string{"github", "billing", "billing-eu", "stripe", "a", "ci", "Über-uns"}
	for got, want := range map[string]string{
		"githib":    `; did you mean "github"?`,
		"gihtub":    `; did you mean "github"?`, // neighbours swapped: one slip
		"gthb":      `; did you mean "github"?`,
		"GitHub":    `; did you mean "github"?`,
		"billing_e": `; did you mean "billing-eu"?`,
		"bilings":   `; did you mean "billing"?`,
		"stirpes":   `; did you mean "stripe"?`,
		"A":         `; did you mean "a"?`,
		"über_uns":  `; did you mean "Über-uns"?`,
		"cj":        `; did you mean "ci"?`,
		"b":         "", // half the name is no slip
		"xy":        "",
		"github":    "", // known
		"gitlabxx":  "",
		"":          "",

		strings.Repeat("x", 65): "",
	} {
		if hint := didYouMean(got, known); hint != want {
			t.Errorf("didYouMean(%q) = %q, want %q", got, hint, want)
		}
	}
	if hint := didYouMean("githug", nil); hint != "" {
		t.Errorf("no name is known, and the hint is %q", hint)
	}
}

// TestDidYouMeanOrder holds that the nearest wins, then the alphabet, in
// whatever order the names come.
func TestDidYouMeanOrder(t *testing.T) {
	for _, c := range []struct {
		known []string
		want  string
	}{
		{[]string{"cart", "card", "cars"}, "card"},
		{[]string{"cars", "card", "cart"}, "card"},
		{[]string{"aart", "carx"}, "carx"}, // nearer, though later in the alphabet
		{[]string{"carx", "aart"}, "carx"},
	} {
		if got, want := didYouMean("carz", c.known), `; did you mean "`+c.want+`"?`; got != want {
			t.Errorf("didYouMean(carz, %v) = %q, want %q", c.known, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"ab", "ba", 1}, {"abc", "acb", 1}, {"kitten", "sitting", 3},
		{"ca", "abc", 3}, // optimal string alignment: no second slip inside a swap
		{"ä", "a", 1}, {"abcd", "badc", 2},
	} {
		a, b := []rune(c.a), []rune(c.b)
		if got, back := distance(a, b, 9), distance(b, a, 9); got != c.want || back != c.want {
			t.Errorf("distance(%q, %q) = %d, and back %d; want %d", c.a, c.b, got, back, c.want)
		}
		if got := distance(a, b, 1); got != min(c.want, 2) {
			t.Errorf("distance(%q, %q) bounded by 1 is %d, want %d", c.a, c.b, got, min(c.want, 2))
		}
	}
}
