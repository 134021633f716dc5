package content

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseLinks(t *testing.T) {
	for _, tc := range []struct {
		name   string
		values []string
		want   []Link
	}{
		{"none", []string{"", " , ,"}, nil},
		{"pages", []string{`<https://x/?page=2>; rel="next", <https://x/?page=5>; rel=last`},
			[]Link{{URI: "https://x/?page=2", Rel: "next"}, {URI: "https://x/?page=5", Rel: "last"}}},
		{"two values", []string{"<a>;rel=x", "<b>"}, []Link{{URI: "a", Rel: "x"}, {URI: "b"}}},
		{"several relations, kept", []string{`<a>; REL="Next  prefetch"`}, []Link{{URI: "a", Rel: "Next  prefetch"}}},
		{"first rel counts", []string{`<a>; rel=x; rel=y`}, []Link{{URI: "a", Rel: "x"}}},
		{"commas and semicolons in the target", []string{`<a,b;c>; rel=x`}, []Link{{URI: "a,b;c", Rel: "x"}}},
		{"commas and semicolons in quotes", []string{`<a>; title="x, <y>; \"z\""; rel=n, <b>`},
			[]Link{{URI: "a", Rel: "n", Params: fields("title", `x, <y>; "z"`)}, {URI: "b"}}},
		{"extended title", []string{`<a>; title*=UTF-8'de'n%c3%A4chstes%20Kapitel; title="n"`},
			[]Link{{URI: "a", Params: fields("title*", "nächstes Kapitel", "title", "n")}}},
		{"extended title in latin1", []string{`<a>; title*=iso-8859-1''%A3`}, []Link{{URI: "a", Params: fields("title*", "£")}}},
		{"extended title that does not decode", []string{`<a>; title*=UTF-8''%F; x*=u'v; y*=utf-8''%ff`},
			[]Link{{URI: "a", Params: fields("title*", "UTF-8''%F", "x*", "u'v", "y*", "utf-8''%ff")}}},
		{"space around everything", []string{" < a > ; rel = next ; Media = \"x\" , <b> "},
			[]Link{{URI: "a", Rel: "next", Params: fields("media", "x")}, {URI: "b"}}},
		{"parameter without a value", []string{`<a>; crossorigin; ; =x; rel=y`}, []Link{{URI: "a", Rel: "y", Params: fields("crossorigin", "")}}},
		{"garbage before, between and behind", []string{`junk, <a> junk; rel=x junk "q", junk, <b>junk, <c`},
			[]Link{{URI: "a", Rel: `x junk "q"`}, {URI: "b"}}},
		{"quote that never ends", []string{`<a>; title="x, <b>; rel=y`}, []Link{{URI: "a", Params: fields("title", "x, <b>; rel=y")}}},
		{"empty target", []string{`<>; rel=self`}, []Link{{Rel: "self"}}},
		{"not UTF-8", []string{"<a\xff>; rel=\xff; title=\xe9"}, []Link{{URI: "a\ufffd", Rel: "\ufffd", Params: fields("title", "\xe9")}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := ParseLinks(tc.values); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("ParseLinks(%q) =\n%q, want\n%q", tc.values, got, tc.want)
			}
		})
	}
}

func TestParseLinksBounds(t *testing.T) {
	if got := len(ParseLinks([]string{strings.Repeat("<a>,", 300), "<b>"})); got != maxLinks {
		t.Errorf("%d links, want %d", got, maxLinks)
	}
	if got := len(ParseLinks([]string{"<a>" + strings.Repeat(";x=y", 100)})[0].Params); got != maxLinkParams {
		t.Errorf("%d parameters, want %d", got, maxLinkParams)
	}
}

func FuzzLinks(f *testing.F) {
	f.Add(`<https://x/?page=2>; rel="next", <b>; title*=UTF-8'de'%c3%A4`)
	f.Add(`<a>; title="x, \" y; rel=z`)
	f.Add(`<<>>;;,=;"`)
	f.Fuzz(func(t *testing.T, value string) {
		links := ParseLinks([]string{value, value})
		if len(links) > maxLinks {
			t.Fatalf("%d links", len(links))
		}
		for _, l := range links {
			if !utf8.ValidString(l.URI) || !utf8.ValidString(l.Rel) || len(l.Params) > maxLinkParams || strings.Contains(l.URI, ">") {
				t.Fatalf("link %+q", l)
			}
			for _, p := range l.Params {
				if p.Name == "" || p.Name == "rel" || !utf8.ValidString(p.Name) {
					t.Fatalf("parameter %+q", p)
				}
			}
		}
	})
}
