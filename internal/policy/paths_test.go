package policy

import (
	"net/url"
	"strings"
	"testing"
)

func TestDecodePath(t *testing.T) {
	for in, want := range map[string]string{
		"/":                  "",
		"/a":                 "a",
		"/a/":                "a",
		"/a/b":               "a/b",
		"/%61%20b/%c3%A4":    "a b/ä",
		"/100%25":            "100%",
		"/100%25/x":          "100%/x",
		"/5%25%20off":        "5% off",
		"/.well-known/x..y":  ".well-known/x..y",
		"/v1/items:batch":    "v1/items:batch",
		"/C%23/What%3F":      "C#/What?",
		"/a+b,c=d&e!$'()*@~": "a+b,c=d&e!$'()*@~",
	} {
		path, doubt := decodePath(in)
		if path.rest != want || doubt != "" {
			t.Errorf("decodePath(%q) = %q, %q; want %q and no doubt", in, path.rest, doubt, want)
		}
	}
}

func TestDecodePathAmbiguous(t *testing.T) {
	for in, want := range map[string]string{
		"":              doubtNoSlash,
		"a":             doubtNoSlash,
		"//":            doubtEmpty,
		"//a":           doubtEmpty,
		"/a//":          doubtEmpty,
		"/a//b":         doubtEmpty,
		"/.":            doubtDots,
		"/..":           doubtDots,
		"/a/../b":       doubtDots,
		"/a/./":         doubtDots,
		"/a/..":         doubtDots,
		`/a\b`:          doubtBackslash,
		"/a;v=1":        doubtSemicolon,
		"/..;/b":        doubtSemicolon,
		"/a\x00":        doubtControl,
		"/a%2Fb":        doubtEncodedSlash,
		"/a%2fb":        doubtEncodedSlash,
		"/a%5cb":        doubtEncodedBackslash,
		"/%2e%2E/b":     doubtEncodedDot,
		"/.%2e/b":       doubtEncodedDot,
		"/a%2Etxt":      doubtEncodedDot,
		"/a%3Bb":        doubtEncodedSemicolon,
		"/a%00":         doubtNUL,
		"/a%0d%0Ab":     doubtControl,
		"/a%7f":         doubtControl,
		"/a%252Fb":      doubtTwice,
		"/a%252fb":      doubtTwice,
		"/%252e%252e/":  doubtTwice,
		"/%2561dmin":    doubtTwice,
		"/a%25252Fb":    doubtTwice,
		"/a%25%32%46b":  doubtTwice,
		"/a%2":          doubtEscape,
		"/a%u002f":      doubtEscape,
		"/admin.":       doubtTail,
		"/admin%20/x":   doubtTail,
		"/...":          doubtTail,
		"/%c0%af":       doubtUTF8,
		"/%ff":          doubtUTF8,
		"/\xff":         doubtUTF8,
		"/%ed%a0%80":    doubtUTF8,
		"/ok/%C3%A4%C3": doubtUTF8,
	} {
		if _, doubt := decodePath(in); doubt != want {
			t.Errorf("decodePath(%q) doubts %q, want %q", in, doubt, want)
		}
	}
}

// FuzzDecodePath: of a path that is not ambiguous, decoding gives what net/url
// gives, the same segments as before, and nothing that a second decoding or a
// cleaning server would change.
func FuzzDecodePath(f *testing.F) {
	for _, s := range []string{"/", "/a%20b/", "/a/../b", "/a%252fb", "/%C3%A4//", "/a;b", "/100%25"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		path, doubt := decodePath(raw)
		if doubt != "" {
			return
		}
		plain, err := url.PathUnescape(raw)
		if err != nil || strings.TrimSuffix(plain[1:], "/") != path.rest {
			t.Errorf("%q decodes to %q, net/url says %q, %v", raw, path.rest, plain, err)
		}
		if got, want := strings.Count(plain, "/"), strings.Count(raw, "/"); got != want {
			t.Errorf("%q has %d slashes, decoded it has %d", raw, want, got)
		}
		if again, err := url.PathUnescape(plain); err == nil && again != plain {
			t.Errorf("%q decodes to %q and then to %q", raw, plain, again)
		}
		for _, s := range segmentsOf(path) {
			if s == "" || s == "." || s == ".." || strings.ContainsAny(s, "\\;\x00") {
				t.Errorf("%q holds the segment %q", raw, s)
			}
		}
	})
}

func TestMethods(t *testing.T) {
	for _, c := range []struct {
		list    []string
		yes, no string
	}{
		{nil, "GET PURGE", ""},
		{[]string{"*"}, "GET PURGE", ""},
		{[]string{"GET"}, "GET", "HEAD get POST"},
		{[]string{"GET", "PURGE", "purge"}, "GET PURGE purge", "Purge"},
	} {
		m, err := parseMethods(c.list)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range strings.Fields(c.yes) {
			if !m.has(name) {
				t.Errorf("%v has no %s", c.list, name)
			}
		}
		for _, name := range strings.Fields(c.no) {
			if m.has(name) {
				t.Errorf("%v has %s", c.list, name)
			}
		}
	}
	if (methodSet{}).has("GET") {
		t.Error("the zero set has GET")
	}
}

func TestParseMethodsRefuses(t *testing.T) {
	for list, want := range map[string]string{
		"get":      `write GET for "get"`,
		"Delete":   `write DELETE for "Delete"`,
		"CONNECT":  "never sent",
		"connect":  "never sent",
		"":         "write GET, or *",
		"GET POST": "per entry",
		"GET,POST": "per entry",
		"GET|GET":  "listed twice",
		"GET|*":    "every method",
		"*|GET":    "every method",
	} {
		if m, err := parseMethods(strings.Split(list, "|")); err == nil {
			t.Errorf("parseMethods(%q) = %v, want an error", list, m)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("parseMethods(%q) says %q, want it to say %q", list, err, want)
		}
	}
}

func TestMethodsCover(t *testing.T) {
	for _, c := range []struct {
		m, o string
		want bool
	}{
		{"*", "*", true}, {"*", "GET", true}, {"GET", "*", false},
		{"GET|POST", "POST", true}, {"POST", "GET|POST", false}, {"GET", "GET", true},
	} {
		m, err := parseMethods(strings.Split(c.m, "|"))
		if err != nil {
			t.Fatal(err)
		}
		o, err := parseMethods(strings.Split(c.o, "|"))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.covers(o); got != c.want {
			t.Errorf("%s covers %s: %v, want %v", c.m, c.o, got, c.want)
		}
	}
}
