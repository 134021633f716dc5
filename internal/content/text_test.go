package content

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

func TestEncodeText(t *testing.T) {
	for _, tc := range []struct{ name, text, contentType, body, final string }{
		{"no content type", "é", "", "é", "text/plain; charset=utf-8"},
		{"no charset", "é", "text/csv", "é", "text/csv"},
		{"utf-8", "é", `text/csv; Charset="UTF-8"`, "é", `text/csv; Charset="UTF-8"`},
		{"latin1", "é", "text/plain; charset=ISO-8859-1", "\xe9", ""},
		{"windows-1252", "é€", "text/plain; charset=windows-1252", "\xe9\x80", ""},
		{"ascii", "plain", "text/plain; charset=us-ascii", "plain", ""},
		{"shift_jis", "日本", "text/plain;charset=shift_jis", "\x93\xfa\x96\x7b", ""},
		{"iso-2022-jp returns to ascii", "日", "text/plain;charset=iso-2022-jp", "\x1b$BF|\x1b(B", ""},
		{"utf-16 has a mark", "a€", "text/plain; charset=utf-16", "\xff\xfea\x00\xac\x20", ""},
		{"utf-16le has none", "a", "text/plain; charset=utf-16le", "a\x00", ""},
		{"utf-16be has none", "a", "text/plain; charset=utf-16be", "\x00a", ""},
		{"nothing", "", "text/plain; charset=shift_jis", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.final == "" {
				tc.final = tc.contentType
			}
			body, final, err := EncodeText(tc.text, tc.contentType)
			if err != nil || string(body) != tc.body || final != tc.final {
				t.Errorf("EncodeText = %q, %q, %v, want %q, %q", body, final, err, tc.body, tc.final)
			}
		})
	}
}

func TestEncodeTextRefuses(t *testing.T) {
	for _, tc := range []struct{ name, text, charset, says string }{
		{"unknown charset", "a", "klingon", `"klingon"`},
		{"empty charset", "a", `""`, "not known"},
		{"charset that decodes nothing", "a", "hz-gb-2312", "not known"},
		{"ascii cannot", "añ", "us-ascii", "offset 1 (U+00F1)"},
		{"latin1 is not windows-1252", "éé€", "latin1", "offset 2 (U+20AC)"},
		{"latin5 is not windows-1254", "a€", "iso-8859-9", "offset 1 (U+20AC)"},
		{"windows-1252 cannot", "é日", "windows-1252", "offset 1 (U+65E5)"},
		{"shift_jis cannot", "日é", "shift_jis", "offset 1 (U+00E9)"},
		{"after a long run", strings.Repeat("é", 9000) + "日", "iso-8859-1", "offset 9000 "},
		{"not UTF-8", "\xff", "latin1", "not valid UTF-8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := EncodeText(tc.text, "text/plain; charset="+tc.charset)
			var e *fault.Error
			if !errors.As(err, &e) || e.Kind != fault.InvalidRequest || e.Violations[0].Field != "text" {
				t.Fatalf("EncodeText: %v, want an InvalidRequest of text", err)
			}
			if !strings.Contains(e.Message, tc.says) {
				t.Errorf("it says %q, want %q in it", e.Message, tc.says)
			}
		})
	}
}

func TestDecodeText(t *testing.T) {
	const html = "text/html"
	for _, tc := range []struct {
		name, body, contentType, override string
		text, charset                     string
		unclean                           bool
	}{
		{name: "empty", charset: "utf-8"},
		{name: "latin1 declared", body: "caf\xe9 \x80", contentType: "text/plain; charset=latin1", text: "café €", charset: "windows-1252"},
		{name: "shift_jis declared", body: "\x93\xfa\x96\x7b", contentType: "text/plain; charset=Shift_JIS", text: "日本", charset: "shift_jis"},
		{name: "declared in quotes", body: "\xe9", contentType: `text/plain; x="a;b"; charset="iso-8859-1"`, text: "é", charset: "windows-1252"},
		{name: "declared in single quotes", body: "\xe9", contentType: "text/plain; charset='iso-8859-1'", text: "é", charset: "windows-1252"},
		{name: "utf-8 declared", body: "é", contentType: "text/plain; charset=UTF8", text: "é", charset: "utf-8"},
		{name: "utf-8 declared with a mark", body: bomUTF8 + "é", contentType: "text/plain; charset=utf-8", text: "é", charset: "utf-8"},
		{name: "utf-8 wrongly declared", body: "caf\xe9!", contentType: "text/plain; charset=utf-8", text: "caf\ufffd!", charset: "utf-8", unclean: true},
		{name: "one replacement for a maximal part", body: "\xe2\x82x\xf0\x9f\x98", contentType: "text/plain; charset=utf-8", text: "\ufffdx\ufffd", charset: "utf-8", unclean: true},
		{name: "shift_jis wrongly declared", body: "\x81\xff", contentType: "text/plain; charset=shift_jis", text: "\ufffd", charset: "shift_jis", unclean: true},
		{name: "unknown declaration", body: "é", contentType: "text/plain; charset=klingon", text: "é", charset: "utf-8"},
		{name: "replacement encoding declared", body: "abc", contentType: "text/plain; charset=iso-2022-kr", text: "abc", charset: "utf-8"},
		{name: "override wins", body: "\xe9", contentType: "text/plain; charset=utf-8", override: "latin1", text: "é", charset: "windows-1252"},
		{name: "unknown override", body: "\xe9", contentType: "text/plain; charset=latin1", override: "?", text: "é", charset: "windows-1252"},
		{name: "utf-16 mark, little-endian", body: "\xff\xfea\x00\xac\x20", contentType: "text/plain", text: "a€", charset: "utf-16le"},
		{name: "utf-16 mark, big-endian", body: "\xfe\xff\x00a\x20\xac", text: "a€", charset: "utf-16be"},
		{name: "utf-16 declared, mark decides", body: "\xfe\xff\x00a", contentType: "text/plain; charset=utf-16", text: "a", charset: "utf-16be"},
		{name: "utf-16 declared, no mark", body: "a\x00", contentType: "text/plain; charset=utf-16", text: "a", charset: "utf-16le"},
		{name: "utf-16 with an odd byte", body: "\xff\xfea\x00b", text: "a\ufffd", charset: "utf-16le", unclean: true},
		{name: "utf-16 with a lone surrogate", body: "\xff\xfe\x00\xd8a\x00", text: "\ufffda", charset: "utf-16le", unclean: true},
		{name: "utf-16 that means U+FFFD", body: "\xff\xfe\xfd\xff", text: "\ufffd", charset: "utf-16le"},
		{name: "utf-8 that means U+FFFD", body: "\ufffd", text: "\ufffd", charset: "utf-8"},
		{name: "utf-8 mark", body: bomUTF8 + "a\xff", contentType: html, text: "a\ufffd", charset: "utf-8", unclean: true},
		{name: "gb18030 mark", body: bomGB18030 + "\x84\x31\xa4\x37", contentType: "text/plain; charset=gb18030", text: "\ufffd", charset: "gb18030"},
		{name: "nothing said, valid utf-8", body: "café", contentType: "text/plain", text: "café", charset: "utf-8"},
		{name: "nothing said, not utf-8", body: "caf\xe9 \x93x\x94", contentType: "text/plain", text: "café “x”", charset: "windows-1252"},

		{name: "meta charset", body: "<html><!-- <meta charset=big5> --><META CharSet='windows-1251'>\xcf", contentType: html, text: "<html><!-- <meta charset=big5> --><META CharSet='windows-1251'>П", charset: "windows-1251"},
		{name: "meta pragma", body: `<meta content="text/html; charset = 'koi8-r'" http-equiv=Content-Type>` + "\xf0", contentType: html, text: `<meta content="text/html; charset = 'koi8-r'" http-equiv=Content-Type>П`, charset: "koi8-r"},
		{name: "meta pragma, bare", body: `<meta http-equiv="Content-Type" content="charset; text/html; CHARSET=KOI8-R;x">` + "\xf0", contentType: html, text: `<meta http-equiv="Content-Type" content="charset; text/html; CHARSET=KOI8-R;x">П`, charset: "koi8-r"},
		{name: "meta pragma without a charset", body: `<meta http-equiv=content-type content="text/html">é`, contentType: html, text: `<meta http-equiv=content-type content="text/html">é`, charset: "utf-8"},
		{name: "meta says x-user-defined", body: `<meta charset=x-user-defined>` + "\xe9", contentType: html, text: `<meta charset=x-user-defined>é`, charset: "windows-1252"},
		{name: "meta content without pragma", body: `<meta content="charset=koi8-r">` + "é", contentType: html, text: `<meta content="charset=koi8-r">é`, charset: "utf-8"},
		{name: "meta in a script", body: `<script>"<meta charset=koi8-r>"</script>é`, contentType: html, text: `<script>"<meta charset=koi8-r>"</script>é`, charset: "utf-8"},
		{name: "meta says utf-16", body: `<meta charset=utf-16>é`, contentType: html, text: `<meta charset=utf-16>é`, charset: "utf-8"},
		{name: "meta of an unknown charset, then a known one", body: `<meta charset=x><meta charset=latin1>` + "\xe9", contentType: html, text: `<meta charset=x><meta charset=latin1>é`, charset: "windows-1252"},
		{name: "meta in plain text", body: `<meta charset=koi8-r>é`, contentType: "text/plain", text: `<meta charset=koi8-r>é`, charset: "utf-8"},
		{name: "meta without a type", body: " <!DOCTYPE HTML><meta charset=koi8-r>\xf0", text: " <!DOCTYPE HTML><meta charset=koi8-r>П", charset: "koi8-r"},
		{name: "declaration beats meta", body: "<meta charset=koi8-r>\xe9", contentType: "text/html; charset=latin1", text: "<meta charset=koi8-r>é", charset: "windows-1252"},
		{name: "meta too far away", body: strings.Repeat(" ", 5000) + "<meta charset=koi8-r>é", contentType: html, text: strings.Repeat(" ", 5000) + "<meta charset=koi8-r>é", charset: "utf-8"},

		{name: "xml declaration", body: "<?xml version='1.0' encoding = 'iso-8859-2'?><a>\xb1</a>", contentType: "application/atom+xml", text: "<?xml version='1.0' encoding = 'iso-8859-2'?><a>ą</a>", charset: "iso-8859-2"},
		{name: "xml declaration without a type", body: `<?xml encoding="latin1"?>` + "\xe9", text: `<?xml encoding="latin1"?>é`, charset: "windows-1252"},
		{name: "xml in utf-16 without a mark", body: "<\x00?\x00x\x00", contentType: "text/xml", text: "<?x", charset: "utf-16le"},
		{name: "xml that never ends its declaration", body: `<?xml encoding="latin1`, contentType: "text/xml", text: `<?xml encoding="latin1`, charset: "utf-8"},
		{name: "xml type ignores meta", body: "<meta charset=koi8-r>é", contentType: "text/xml", text: "<meta charset=koi8-r>é", charset: "utf-8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text, charset, clean := DecodeText([]byte(tc.body), tc.contentType, tc.override)
			if text != tc.text || charset != tc.charset || clean == tc.unclean {
				t.Errorf("DecodeText = %q, %s, clean %t; want %q, %s, clean %t", text, charset, clean, tc.text, tc.charset, !tc.unclean)
			}
		})
	}
}

func TestValidCharset(t *testing.T) {
	for name, want := range map[string]bool{
		"utf-8": true, "UTF8": true, " latin1 ": true, "Shift_JIS": true, "gb2312": true, "utf-16": true, "iso-8859-8-i": true,
		"": false, "klingon": false, "replacement": false, "iso-2022-kr": false, "utf-8; x": false, "utf-32": false,
	} {
		if got := ValidCharset(name); got != want {
			t.Errorf("ValidCharset(%q) = %t, want %t", name, got, want)
		}
	}
}

func TestParam(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a/b": "", "a/b;": "", "a/b; charset": "", "a/b; charset; x": "", "a/b; charset=": "",
		"a/b;charset=x":                         "x",
		"a/b ; ; CharSet = x ; charset=y":       "x",
		"a/b; q; charset=x, a/b; charset=y":     "x",
		`a/b; q="charset=\"z; "; charset="x y"`: "x y",
		`a/b; charset="a\b`:                     "ab",
		`a/b; charset="x" y; z`:                 "x",
		`a/b; xcharset=y; charset="x\`:          `x\`,
	} {
		if got, _ := param(in, "charset"); got != want {
			t.Errorf("charset of %q is %q, want %q", in, got, want)
		}
	}
}

func TestTextual(t *testing.T) {
	for typ, want := range map[string]bool{
		"text/plain": true, "TEXT/X-anything; charset=x": true, "application/json": true, "application/problem+json": true,
		"application/xhtml+xml": true, "image/svg+xml": true, "application/javascript": true, "application/x-javascript": true,
		"application/x-www-form-urlencoded": true, "application/x-yaml": true, "application/yaml": true, "application/graphql": true,
		"application/x-ndjson": true, "application/jsonl": true, "application/sql": true, "application/toml": true, "application/csv": true,
		"application/json, application/json": true,
		"":                                   false, "application/octet-stream": false, "image/png": false, "application/pdf": false, "application/json-not": false,
		"application/zip+gzip": false, "json": false, ";text/plain": false,
	} {
		if got := Textual(typ); got != want {
			t.Errorf("Textual(%q) = %t, want %t", typ, got, want)
		}
	}
}

func TestLooksLikeText(t *testing.T) {
	for body, want := range map[string]bool{
		"": true, "a\tb\r\n\fé": true, "\xe9": false, "a\x00": false, "\x1b[0m": false, "\x7f": false, "\v": false,
	} {
		if got := LooksLikeText([]byte(body)); got != want {
			t.Errorf("LooksLikeText(%q) = %t, want %t", body, got, want)
		}
	}
}

func FuzzDecodeText(f *testing.F) {
	f.Add([]byte("<meta charset=koi8-r>\xf0"), "text/html", "")
	f.Add([]byte("\xff\xfea\x00"), "", "utf-16")
	f.Add([]byte("\x1b$B!!\xff"), "text/plain; charset=iso-2022-jp", "")
	f.Add([]byte("\x84\x31\xa4\x37\x80\xff"), "", "gb18030")
	f.Add([]byte("\xa1\xff\x88\x62"), `;charset="big\5"`, "")
	f.Fuzz(func(t *testing.T, body []byte, contentType, override string) {
		before := bytes.Clone(body)
		text, charset, clean := DecodeText(body, contentType, override)
		if !bytes.Equal(body, before) {
			t.Fatal("the body was modified")
		}
		if !utf8.ValidString(text) || !ValidCharset(charset) {
			t.Fatalf("DecodeText = %q in %q", text, charset)
		}
		if !clean && !strings.Contains(text, "\ufffd") {
			t.Fatalf("%q in %s is unclean but has no replacement", text, charset)
		}
		if clean && charset == "utf-8" && text != strings.TrimPrefix(string(body), bomUTF8) {
			t.Fatalf("clean utf-8 %q became %q", body, text)
		}
		if _, _, err := EncodeText(text, contentType); err != nil && !errors.Is(err, fault.InvalidRequest) {
			t.Fatal(err)
		}
	})
}

func BenchmarkDecodeText(b *testing.B) {
	body := []byte(strings.Repeat("größer als 日本 ", 47))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		DecodeText(body, "text/html; charset=utf-8", "")
	}
}
