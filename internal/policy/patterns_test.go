package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// lone is a policy of one upstream with these host patterns.
func lone(t testing.TB, schemes string, hosts ...string) *Upstream {
	t.Helper()
	text := fmt.Sprintf("upstreams: [{name: lone, schemes: [%s], hosts: [%q]}]", schemes, strings.Join(hosts, `","`))
	s, err := Parse("policy.yaml", []byte(strings.ReplaceAll(text, `\"`, `"`)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Upstreams[0]
}

// TestPatternIsWhatExplainNames: the pattern found by look-up is the one found by
// going through the list, for any mix of patterns.
func TestPatternIsWhatExplainNames(t *testing.T) {
	names := []string{"example.com", "a.example.com", "b.a.example.com", "example.org", "*.example.com", "*.a.example.com", "*", "192.0.2.1", "2001:db8::1"}
	ports := []string{"", ":8443", ":*"}
	asked := []string{
		"https://example.com/", "https://a.example.com/", "https://b.a.example.com/", "https://c.b.a.example.com:8443/", "https://x.example.com:1/",
		"https://example.org/", "https://192.0.2.1/", "https://192.0.2.2:8443/", "https://[2001:db8::1]/", "http://example.com/", "http://a.example.com:443/", "https://com/",
	}
	draw := rand.New(rand.NewPCG(1, 2))
	var found, not int
	for range 200 {
		var hosts []string
		for _, name := range names {
			for _, port := range ports {
				switch {
				case draw.IntN(4) > 0:
				case strings.Contains(name, ":") && port != "":
					hosts = append(hosts, "["+name+"]"+port)
				default:
					hosts = append(hosts, name+port)
				}
			}
		}
		if len(hosts) == 0 {
			continue
		}
		up := lone(t, []string{"https", "http", "http, https"}[draw.IntN(3)], hosts...)
		for _, raw := range asked {
			u := query(t, "", "", raw).URL
			want, wrong := up.nearest(u)
			at, _, err := parsePattern(want)
			if want = at.text(); err != nil || wrong != "" {
				want = ""
			}
			if want == "" {
				not++
			} else {
				found++
			}
			if got := up.Pattern(u); got != want {
				t.Errorf("of %v by %v, %s matches by %q, want %q", hosts, up.Schemes, raw, got, want)
			}
			if got := up.PatternOf(u.Host.Name, u.Port, u.Scheme == "https"); got != want {
				t.Errorf("of %v by %v, the host of %s matches by %q, want %q", hosts, up.Schemes, raw, got, want)
			}
		}
	}
	if found < 500 || not < 500 {
		t.Errorf("%d matched and %d did not: that says little", found, not)
	}
}

// TestPatternOfAnother: an upstream that does not have the host has no pattern for it,
// and neither has one that no file made.
func TestPatternOfAnother(t *testing.T) {
	u := query(t, "", "", "https://other.example.org/").URL
	for name, up := range map[string]*Upstream{"another": lone(t, "https", "a.example.com"), "hand-made": {Hosts: []string{"*"}}} {
		if got := up.Pattern(u); got != "" {
			t.Errorf("%s: it matches by %q, want none", name, got)
		}
	}
}

// TestNoWildcardEndsAsAnAddress: so none takes an address, though it is looked up as a
// name is.
func TestNoWildcardEndsAsAnAddress(t *testing.T) {
	for _, pattern := range []string{"*.1", "*.2.1", "*.0.2.1", "*.192.0.2.1", "*.0x1", "*.a.7", "*.[::1]", "*.::1", "*.1."} {
		if at, _, err := parsePattern(pattern); err == nil {
			t.Errorf("%s is taken, as %q: an address may match it", pattern, at.host)
		}
	}
}

// patterned is a call by the pattern that it matches.
type patterned struct {
	up           *Upstream
	url, pattern string
}

// patternedCalls are some to upstreams of one host and of many.
func patternedCalls(t testing.TB) map[string]patterned {
	t.Helper()
	many := make([]string, 100_000)
	for i := range many {
		many[i] = fmt.Sprintf("h%d.example.com", i)
		if i%10 == 9 {
			many[i] = "*." + many[i]
		}
	}
	crowd := lone(t, "https", many...)
	return map[string]patterned{
		"one":           {lone(t, "https", "api.example.com"), "https://api.example.com/", "api.example.com"},
		"one-wildcard":  {lone(t, "https", "*.example.com"), "https://a.b.c.example.com/", "*.example.com"},
		"any":           {lone(t, "https", "*"), "https://a.b.c.example.com/", "*"},
		"any-port":      {lone(t, "https", "*.example.com:*"), "https://a.example.com:8443/", "*.example.com"},
		"many":          {crowd, "https://h50000.example.com/", "h50000.example.com"},
		"many-wildcard": {crowd, "https://a.b.h99999.example.com/", "*.h99999.example.com"},
	}
}

func TestPatternDoesNotAllocate(t *testing.T) {
	for name, c := range patternedCalls(t) {
		u := query(t, "", "", c.url).URL
		var got string
		if n := testing.AllocsPerRun(100, func() { got = c.up.Pattern(u) }); n != 0 || got != c.pattern {
			t.Errorf("%s: it allocates %v times and gives %q, want %q", name, n, got, c.pattern)
		}
	}
}

func BenchmarkPattern(b *testing.B) {
	for name, c := range patternedCalls(b) {
		b.Run(name, func(b *testing.B) {
			u := query(b, "", "", c.url).URL
			b.ReportAllocs()
			for b.Loop() {
				if c.up.Pattern(u) != c.pattern {
					b.Fatal("it matches by another")
				}
			}
		})
	}
}
