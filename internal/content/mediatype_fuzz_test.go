package content

import (
	"mime"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
)

// FuzzMediaType: where the standard library reads a Content-Type, this package
// reads the same in it.
func FuzzMediaType(f *testing.F) {
	for _, s := range []string{
		"text/html; charset=utf-8", `text/plain;charset="a\"b";x=y`, "application/vnd.x+json", ";;charset==", `a/b;charset="`, "a/b; charset=x, c/d",
		"text/plain;charset = utf-8", "TEXT/HTML;CHARSET=X", `a/b;a="charset=no";charset=yes`, "\xff/\xff;\xff=\xff",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_ = Textual(s)
		if !httpguts.ValidHeaderFieldValue(s) {
			return // no header has it
		}
		got, ok := param(s, "charset")
		kind, params, err := mime.ParseMediaType(s)
		if err != nil || strings.ContainsAny(s, `,*\`) || strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) {
			return // a list, a continuation, what mime treats in its own way, or what only browsers read
		}
		if want, there := params["charset"]; ok != there || got != want {
			t.Errorf("the charset of %q is %q, %v; mime says %q, %v", s, got, ok, want, there)
		}
		if e := essence(s); e != kind {
			t.Errorf("the type of %q is %q, mime says %q", s, e, kind)
		}
	})
}

// FuzzCodingOf: at most one coding is undone, whatever is said and how often.
func FuzzCodingOf(f *testing.F) {
	for _, s := range [][2]string{{"gzip", ""}, {"GZIP , identity", "br"}, {",,", "x-gzip"}, {"gzip;q=1", ""}, {"\xff", "deflate"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		coding, known, err := CodingOf([]string{first, second})
		if !utf8.ValidString(coding) || strings.ContainsAny(coding, ", ") && known {
			t.Fatalf("the coding is %q", coding)
		}
		if err != nil && (coding != "" || known) {
			t.Fatalf("%q, %v and %v", coding, known, err)
		}
		if known && coding != "" && poolOf(coding) == nil {
			t.Fatalf("%q is known and nothing undoes it", coding)
		}
		named := 0
		for _, c := range strings.Split(first+","+second, ",") {
			if c = strings.ToLower(strings.Trim(c, httpSpace)); c != "" && c != "identity" {
				named++
			}
		}
		if (named > 1) != (err != nil) {
			t.Fatalf("%q and %q name %d codings: %v", first, second, named, err)
		}
	})
}
