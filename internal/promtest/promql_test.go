package promtest

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// used is what a PromQL expression names: each metric with the labels that its
// selector looks at, and the labels by which it groups or joins. What is no PromQL at
// all promtool finds; this reads what it accepts.
type used struct {
	metrics map[string][]string
	groups  []string
}

var (
	quoted    = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	selectors = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)?\s*\{([^}]*)\}`)
	matcher   = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)`)
	grouping  = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	window    = regexp.MustCompile(`\[[^\]]*\]`)
	word      = regexp.MustCompile(`[0-9][0-9a-zA-Z_.]*|[a-zA-Z_:][a-zA-Z0-9_:]*(\s*\()?`)
	keywords  = []string{"and", "or", "unless", "offset", "bool"}
)

func parse(expr string) used {
	u := used{metrics: map[string][]string{}}
	expr = quoted.ReplaceAllString(expr, `""`)
	expr = selectors.ReplaceAllStringFunc(expr, func(s string) string {
		m := selectors.FindStringSubmatch(s)
		var labels []string
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			labels = append(labels, l[1])
		}
		if slices.Contains(keywords, m[1]) {
			u.metrics[""] = append(u.metrics[""], labels...)
			return m[1]
		}
		u.metrics[m[1]] = append(u.metrics[m[1]], labels...)
		return " "
	})
	expr = grouping.ReplaceAllStringFunc(expr, func(s string) string {
		for _, l := range strings.Split(grouping.FindStringSubmatch(s)[1], ",") {
			if l = strings.TrimSpace(l); l != "" {
				u.groups = append(u.groups, l)
			}
		}
		return " "
	})
	for _, w := range word.FindAllString(window.ReplaceAllString(expr, " "), -1) {
		if !strings.HasSuffix(w, "(") && (w[0] < '0' || w[0] > '9') && !slices.Contains(keywords, w) {
			u.metrics[w] = append(u.metrics[w], nil...)
		}
	}
	return u
}

func TestParse(t *testing.T) {
	u := parse(`histogram_quantile(0.9, sum by (job, le) (rate(a_bucket{x="}b{", y=~"c|d"}[5m]))) > 1e3
		and on (z) group_left () level:b:rate5m offset 10m unless c * 0 or {q!="r"} + time() - sum(d) without (w) + label_replace(e[$__rate_interval], "f", "$1", "g", ".*")`)
	want := map[string][]string{"a_bucket": {"x", "y"}, "level:b:rate5m": nil, "c": nil, "": {"q"}, "d": nil, "e": nil}
	if !maps.EqualFunc(u.metrics, want, slices.Equal) {
		t.Errorf("the metrics are %q, want %q", u.metrics, want)
	}
	if want := []string{"job", "le", "z", "w"}; !slices.Equal(u.groups, want) {
		t.Errorf("it groups by %q, want %q", u.groups, want)
	}
}
