package policy

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func mustGlob(t testing.TB, pattern string) glob {
	t.Helper()
	g, err := parseGlob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGlobMatch(t *testing.T) {
	for _, c := range []struct{ pattern, yes, no string }{ // paths as on the wire, parted by spaces
		{"/", "/", "/a"},
		{"/admin", "/admin /admin/ /%61dmin", "/ /admins /admin/x /Admin"},
		{"/admin/", "/admin /admin/", "/admin/x"},
		{"/*", "/a /a/ /%20x /%3F", "/ /a/b"},
		{"/**", "/ /a /a/b/c/", ""},
		{"/**/", "/ /a /a/b/c/", ""},
		{"/admin/**", "/admin /admin/ /admin/x /admin/x/y", "/administrator /x/admin"},
		{"/**/logs", "/logs /a/logs /a/b/logs/", "/ /log /logs/a"},
		{"/v1/**/logs/*", "/v1/logs/a /v1/a/logs/logs /v1/logs/logs/logs", "/v1/logs /v1/a/logs /v2/logs/a"},
		{"/**/a/**/b", "/a/b /x/a/a/y/b /a/b/b", "/b/a /a /b"},
		{"/*/**", "/a /a/b", "/"},
		{"/**/*", "/a /a/b", "/"},
		{"/v*/x-*.json", "/v1/x-.json /v/x-a.json /v1/x-a.json.json", "/1/x-a.json /v1/x-a.jso /v1/a/x-a.json"},
		{"/a*b*c", "/abc /axbxc /abbcc", "/ab /acb /abcd"},
		{"/a b/ä", "/a%20b/%C3%A4 /a%20b/%c3%a4/", "/a+b/%C3%A4"},
		{"/v1/items:batch", "/v1/items:batch /v1/items%3Abatch", "/v1/items"},
	} {
		g := mustGlob(t, c.pattern)
		for _, path := range strings.Fields(c.yes) {
			if p, doubt := decodePath(path); !g.match(p) || doubt != "" {
				t.Errorf("%s does not match %s (ambiguous: %q)", c.pattern, path, doubt)
			}
		}
		for _, path := range strings.Fields(c.no) {
			if p, _ := decodePath(path); g.match(p) {
				t.Errorf("%s matches %s", c.pattern, path)
			}
		}
	}
}

func TestParseGlobRefuses(t *testing.T) {
	for pattern, want := range map[string]string{
		"":                                  "begins with a slash",
		"admin":                             "begins with a slash",
		"**":                                "begins with a slash",
		"//":                                "empty segment",
		"/a//b":                             "empty segment",
		"/a//":                              "empty segment",
		"/a/./b":                            "dot segment",
		"/..":                               "dot segment",
		"/a**":                              "stands alone",
		"/***":                              "stands alone",
		"/a/**/**":                          "write it once",
		"/a%20b":                            `write "/a b"`,
		"/100%25":                           "`*` for the percent sign",
		"/a%":                               "`*` for the percent sign",
		"/a?b=c":                            "query is not matched",
		"/a#b":                              "fragment is never sent",
		"/[ab]":                             "one pattern per alternative",
		"/{a,b}":                            "one pattern per alternative",
		`/a\*`:                              "backslash",
		"/a;b":                              "cut a segment",
		"/a\x00":                            "control character at byte 2",
		"/a\xff":                            "UTF-8",
		"/" + strings.Repeat("a", 1024):     "at most 1024 bytes",
		strings.Repeat("/a", 65):            "at most 64 segments",
		strings.Repeat("/**/a", 5):          "at most 4 of them are `**`",
		"/a/" + strings.Repeat("**/b/", 5):  "at most 4 of them are `**`",
		strings.Repeat("/a", 64) + "/**":    "at most 64 segments",
		"/admin/" + strings.Repeat("*", 20): "stands alone",
	} {
		if g, err := parseGlob(pattern); err == nil {
			t.Errorf("parseGlob(%q) = %v, want an error", pattern, g)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("parseGlob(%q) says %q, want it to say %q", pattern, err, want)
		}
	}
	for _, pattern := range []string{strings.Repeat("/a", 64) + "/", strings.Repeat("/**/a", 4)} {
		mustGlob(t, pattern) // the limits themselves are allowed
	}
}

func TestGlobString(t *testing.T) {
	for in, want := range map[string]string{"/": "/", "/a/": "/a", "/*/**/v*": "/*/**/v*"} {
		if got := mustGlob(t, in).String(); got != want {
			t.Errorf("%s reads as %s, want %s", in, got, want)
		}
	}
}

func TestGlobCovers(t *testing.T) {
	for _, c := range []struct {
		g, h string
		want bool
	}{
		{"/**", "/", true},
		{"/**", "/**/a/v*", true},
		{"/a", "/a/", true},
		{"/a", "/b", false},
		{"/a/**", "/a", true},
		{"/a/**", "/a/b/*", true},
		{"/a/*", "/a/b", true},
		{"/a/*", "/a/**", false},
		{"/a/b", "/a/*", false},
		{"/*/**", "/**", false},
		{"/*/**", "/**/*", true},
		{"/**/*", "/*/**", true},
		{"/*/**", "/**/a", true},
		{"/*/*/**", "/**/a", false},
		{"/**/a/**", "/x/**/a", true},
		{"/**/a/*", "/**/a/**", false},
		{"/v*", "/v1", true},
		{"/v*", "/v1*", true},
		{"/v1*", "/v*", false},
		{"/v*", "/*", false},
		{"/*a*", "/*aa*", true},
		{"/*aa*", "/*a*a*", false},
	} {
		if got := mustGlob(t, c.g).covers(mustGlob(t, c.h)); got != c.want {
			t.Errorf("%s covers %s: %v, want %v", c.g, c.h, got, c.want)
		}
	}
}

func TestGlobMoreSpecific(t *testing.T) {
	descending := []string{
		"/a/b/c", "/a/b/*", "/a/b", "/a/b/**", "/a/vv*", "/a/v*x", "/a/v*", "/a/*/c", "/a/*", "/a",
		"/a/**/long", "/a/**/c/*", "/a/**/c", "/a/**/c/**", "/a/**", "/v*", "/*", "/", "/*/**", "/**",
	}
	for i, g := range descending {
		for j, h := range descending {
			want := 0
			if i != j {
				want = -1
			}
			if i > j {
				want = 1
			}
			if got := mustGlob(t, g).moreSpecific(mustGlob(t, h)); got != want {
				t.Errorf("moreSpecific(%s, %s) = %d, want %d", g, h, got, want)
			}
		}
	}
	for g, h := range map[string]string{"/a/": "/a", "/*/**": "/**/*", "/a/x": "/b/y", "/**/a": "/**/b"} {
		if got := mustGlob(t, g).moreSpecific(mustGlob(t, h)); got != 0 {
			t.Errorf("moreSpecific(%s, %s) = %d, want 0", g, h, got)
		}
	}
}

// language is what patterns match of every path up to a length: one bit each.
type language []uint64

// within says whether every path of l is in m.
func (l language) within(m language) bool {
	for i := range l {
		if l[i]&^m[i] != 0 {
			return false
		}
	}
	return true
}

// concatenations gives every concatenation of up to most of the parts.
func concatenations(parts []string, most int) []string {
	all, last := []string{""}, []string{""}
	for range most {
		var next []string
		for _, s := range last {
			for _, part := range parts {
				next = append(next, s+part)
			}
		}
		all, last = append(all, next...), next
	}
	return all
}

// allGlobs gives the patterns of up to most of the segments that parse, and
// their languages.
func allGlobs(segments []string, most int, paths []string) (globs []glob, langs []language) {
	for _, pattern := range concatenations(segments, most) {
		g, err := parseGlob("/" + strings.TrimPrefix(pattern, "/"))
		if err != nil {
			continue // two ** in a row
		}
		l := make(language, len(paths)/64+1)
		for i, path := range paths {
			if p, _ := decodePath("/" + strings.TrimPrefix(path, "/")); g.match(p) {
				l[i/64] |= 1 << (i % 64)
			}
		}
		globs, langs = append(globs, g), append(langs, l)
	}
	return globs, langs
}

// TestGlobCoversEveryPath compares covers with what small patterns do to every
// small path. The third letter stands in no pattern. The paths are long enough
// for a counterexample wherever covers is false, so it is exact, here for whole
// segments and for parts of them.
func TestGlobCoversEveryPath(t *testing.T) {
	t.Run("whole segments", func(t *testing.T) {
		paths := concatenations([]string{"/a", "/b", "/z"}, 8)
		globs, langs := allGlobs([]string{"/a", "/b", "/*", "/**"}, 4, paths)
		checkCovers(t, globs, langs)
	})
	t.Run("parts of segments", func(t *testing.T) {
		paths := concatenations([]string{"/a", "/b", "/z", "/az", "/za", "/aza", "/azaza"}, 4)
		globs, langs := allGlobs([]string{"/a", "/a*", "/*a", "/a*a", "/*a*", "/*", "/**"}, 3, paths)
		checkCovers(t, globs, langs)
	})
}

func checkCovers(t *testing.T, globs []glob, langs []language) {
	t.Helper()
	covered := 0
	for i, g := range globs {
		for j, h := range globs {
			want := langs[j].within(langs[i])
			if got := g.covers(h); got != want {
				t.Fatalf("%s covers %s: %v, but every path says %v", g, h, got, want)
			}
			if !want {
				continue
			}
			covered++
			want = langs[i].within(langs[j])
			if got := h.moreSpecific(g); want && got != 0 || !want && got != -1 {
				t.Fatalf("%s covers %s (and the reverse: %v), but moreSpecific of the second is %d", g, h, want, got)
			}
		}
	}
	if covered <= len(globs) {
		t.Fatalf("%d patterns, %d pairs that cover: too few to prove anything", len(globs), covered)
	}
}

// TestGlobOrder holds that moreSpecific is an order, so that sorting by it
// means something.
func TestGlobOrder(t *testing.T) {
	globs, _ := allGlobs([]string{"/a", "/bb", "/a*", "/*", "/**"}, 3, nil)
	for _, g := range globs {
		for _, h := range globs {
			first := g.moreSpecific(h)
			if back := h.moreSpecific(g); first != -back {
				t.Fatalf("moreSpecific(%s, %s) = %d, the reverse is %d", g, h, first, back)
			}
			if first > 0 {
				continue
			}
			for _, k := range globs {
				second := h.moreSpecific(k)
				if second <= 0 && g.moreSpecific(k) != min(first, second) {
					t.Fatalf("%s, %s, %s: no order (%d, %d, %d)", g, h, k, first, second, g.moreSpecific(k))
				}
			}
		}
	}
}

// stepLimit is what a match may cost: each byte of the pattern may meet each
// byte of the path once.
func stepLimit(pattern, path string) int { return (len(pattern) + 2) * (len(path) + 2) }

// TestGlobHostilePaths counts the steps of what makes naive matchers
// exponential.
func TestGlobHostilePaths(t *testing.T) {
	many := strings.Repeat("a/", 50_000)
	for _, c := range []struct{ pattern, path string }{
		{"/**/a/**/a/**/a/**/b", many},
		{"/**/a/a/a/a/a/a/a/a/b", many},
		{"/**/*/*/**/*/*/**/*/*/**/b", many},
		{"/**/" + strings.Repeat("a*/", 40) + "b", many},
		{"/" + strings.Repeat("a*", 300) + "b", strings.Repeat("a", 100_000)},
		{"/**/*a*a*a*b/**/*a*a*b/**", strings.Repeat(strings.Repeat("a", 100)+"/", 500)},
		{"/**/x", strings.Repeat("/", 100_000)},
	} {
		ok, steps := mustGlob(t, c.pattern).walk(c.path)
		if ok {
			t.Errorf("%.40s matches", c.pattern)
		}
		if limit := stepLimit(c.pattern, c.path); steps > limit {
			t.Errorf("%.40s takes %d steps over %d bytes, want at most %d", c.pattern, steps, len(c.path), limit)
		}
		t.Logf("%.40s: %d steps over %d bytes", c.pattern, steps, len(c.path))
	}
}

// TestGlobMatchesAsDefined compares match with the definition of the stars,
// written as the recursion that it is.
func TestGlobMatchesAsDefined(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	parts := []string{"a", "b", "ab", "a*", "*b", "a*b*", "*", "**", "aab", ""}
	pick := func(most int) string {
		s := ""
		for range r.IntN(most + 1) {
			s += "/" + parts[r.IntN(len(parts))]
		}
		return "/" + strings.TrimPrefix(s, "/")
	}
	tried, matched := 0, 0
	for range 100_000 {
		g, err := parseGlob(pick(6))
		path, _ := decodePath(pick(8))
		if err != nil {
			continue
		}
		want := defined(segmentsOf(decodedPath{strings.TrimPrefix(g.text, "/")}), segmentsOf(path))
		if got := g.match(path); got != want {
			t.Fatalf("%s on %q: %v, want %v", g, path.rest, got, want)
		}
		tried++
		if want {
			matched++
		}
	}
	if matched < 1000 || tried-matched < 1000 {
		t.Fatalf("%d of %d matched: too few of one kind to prove anything", matched, tried)
	}
}

func segmentsOf(path decodedPath) []string {
	if path.rest == "" {
		return nil
	}
	return strings.Split(path.rest, "/")
}

func defined(pattern, path []string) bool {
	if len(pattern) == 0 {
		return len(path) == 0
	}
	if pattern[0] == "**" {
		return defined(pattern[1:], path) || len(path) > 0 && defined(pattern, path[1:])
	}
	return len(path) > 0 && definedText(pattern[0], path[0]) && defined(pattern[1:], path[1:])
}

func definedText(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	if pattern[0] == '*' {
		return definedText(pattern[1:], text) || text != "" && definedText(pattern, text[1:])
	}
	return text != "" && pattern[0] == text[0] && definedText(pattern[1:], text[1:])
}

// FuzzGlob: reading and matching never panic, matching ends within its limit,
// and a pattern reads as itself.
func FuzzGlob(f *testing.F) {
	for _, s := range [][3]string{
		{"/v1/**", "/v1/users", "/v1/*"}, {"/**/a/**/b", "/a/a/b/%2e", "/**/a"},
		{"/v*/x-*.json", "/v1/x-%C3%A4.json", "/*/x*"}, {"/", "//", "/**/*"},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, pattern, raw, other string) {
		path, doubt := decodePath(raw)
		g, err := parseGlob(pattern)
		if err != nil {
			return
		}
		ok, steps := g.walk(path.rest)
		if limit := stepLimit(pattern, path.rest); steps > limit {
			t.Errorf("%q takes %d steps over %q, want at most %d", pattern, steps, path.rest, limit)
		}
		again, err := parseGlob(g.String())
		if err != nil || again.String() != g.String() || !again.covers(g) || !g.covers(again) {
			t.Errorf("%q reads as %q, which reads as %q, %v", pattern, g, again, err)
		}
		h, err := parseGlob(other)
		if err != nil {
			return
		}
		if h.covers(g) && ok && doubt == "" && !h.match(path) {
			t.Errorf("%q covers %q but does not match %q", h, g, raw)
		}
		if h.covers(g) && h.moreSpecific(g) < 0 {
			t.Errorf("%q covers %q and is the more specific", h, g)
		}
		if g.moreSpecific(h) != -h.moreSpecific(g) {
			t.Errorf("%q and %q: the order depends on who asks", g, h)
		}
	})
}

func TestNameGlob(t *testing.T) {
	for _, c := range []struct{ pattern, yes, no string }{
		{"billing", "billing", "Billing billing2 bill"},
		{"ci-*", "ci- ci-a ci-a-b", "ci xci-a"},
		{"*", "a spiffe://prod/ns/web", ""},
		{"spiffe://prod/*/web", "spiffe://prod/ns/a/web", "spiffe://dev/ns/web"},
		{"*-ci-*", "a-ci-b -ci-", "ci"},
	} {
		n, err := parseNameGlob(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range strings.Fields(c.yes) {
			if !n.match(name) {
				t.Errorf("%s does not match %s", c.pattern, name)
			}
		}
		for _, name := range strings.Fields(c.no) {
			if n.match(name) {
				t.Errorf("%s matches %s", c.pattern, name)
			}
		}
	}
	for pattern, want := range map[string]string{
		"": "a name is missing", "a**": "one `*`", "ci-?": "only `*`", "!ci": "only `*`", "{a,b}": "only `*`",
		"a b": "one by one", "a\n": "one by one", "\xff": "UTF-8", strings.Repeat("a", 1025): "at most 1024",
	} {
		if _, err := parseNameGlob(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseNameGlob(%.20q) says %v, want it to say %q", pattern, err, want)
		}
	}
}

func TestNameGlobCoversEveryName(t *testing.T) {
	names := concatenations([]string{"a", "b", "z"}, 8)
	var globs []nameGlob
	var langs []language
	for _, pattern := range concatenations([]string{"a", "b", "*"}, 4) {
		n, err := parseNameGlob(pattern)
		if err != nil {
			continue // empty, or two stars in a row
		}
		l := make(language, len(names)/64+1)
		for i, name := range names {
			if n.match(name) {
				l[i/64] |= 1 << (i % 64)
			}
		}
		globs, langs = append(globs, n), append(langs, l)
	}
	for i, n := range globs {
		for j, m := range globs {
			if got, want := n.covers(m), langs[j].within(langs[i]); got != want {
				t.Errorf("%s covers %s: %v, but every name says %v", n.text, m.text, got, want)
			}
		}
	}
}

const (
	benchPattern = "/v*/**/users/*/x-*.json"
	benchPath    = "/v1/tenants/acme/users/1234567890/x-profile.json"
)

func TestMatchingDoesNotAllocate(t *testing.T) {
	g := mustGlob(t, benchPattern)
	name, err := parseNameGlob("ci-*")
	if err != nil {
		t.Fatal(err)
	}
	methods, err := parseMethods([]string{"GET", "POST"})
	if err != nil {
		t.Fatal(err)
	}
	matched := true
	allocs := testing.AllocsPerRun(100, func() {
		path, doubt := decodePath(benchPath)
		matched = matched && doubt == "" && g.match(path) && name.match("ci-main") && methods.has("POST")
	})
	if allocs != 0 || !matched {
		t.Errorf("one decision allocates %v times (matched: %v), want 0", allocs, matched)
	}
}

func BenchmarkGlobMatch(b *testing.B) {
	g := mustGlob(b, benchPattern)
	b.ReportAllocs()
	for b.Loop() {
		path, _ := decodePath(benchPath)
		if !g.match(path) {
			b.Fatal("no match")
		}
	}
}
