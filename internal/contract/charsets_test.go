package contract

import (
	"fmt"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// charsetCases: the body as bytes, text, JSON, or what fits.
func charsetCases() []testCase {
	as := func(as, name, contentType, data, content, charset string) testCase {
		var fields []string
		if contentType != "" {
			fields = []string{"Content-Type: " + contentType}
		}
		return testCase{
			name: "as " + as + " " + name, peers: answers(testpeer.Response(200, data, fields...)),
			in:   fmt.Sprintf(`{"url":"http://{peer}/","as":%q}`, as),
			want: want{content: content, charset: charset, received: int64(len(data)), sized: int64(len(data))},
		}
	}
	override := as("TEXT", "in the charset that the call names", "text/plain; charset=utf-8", "\x93\xfa\x96\x7b", `text "日本"`, "shift_jis")
	override.in = strings.Replace(override.in, "{", `{"charset":"Shift-JIS",`, 1)
	auto := as("AUTO", "in the charset that the call names, whatever the type", "application/octet-stream", "\xe9", `text "é"`, "windows-1252")
	auto.in = strings.Replace(auto.in, "{", `{"charset":"latin1",`, 1)
	return []testCase{
		as("BYTES", "whatever the type", "text/plain; charset=utf-8", "gr\xc3\xbc\xff", `bytes "grü\xff"`, ""),
		as("BYTES", "of nothing", "text/plain", "", `bytes ""`, ""),
		as("TEXT", "declared utf-8", "text/plain; charset=UTF-8", "grüße", `text "grüße"`, "utf-8"),
		as("TEXT", "declared latin-1 is windows-1252", "text/plain; charset=iso-8859-1", "gr\xfc\xdfe \x80", `text "grüße €"`, "windows-1252"),
		as("TEXT", "declared shift_jis", `text/html; charset="Shift_JIS"`, "\x93\xfa\x96\x7b", `text "日本"`, "shift_jis"),
		as("TEXT", "declared euc-kr", "text/plain;charset=euc-kr", "\xc7\xd1", `text "한"`, "euc-kr"),
		as("TEXT", "declared utf-8, with bytes that are not", "text/plain; charset=utf-8", "a\xffb", "text \"a\ufffdb\"", "utf-8"),
		as("TEXT", "unknown charset is as if not declared", "text/plain; charset=klingon", "grüße", `text "grüße"`, "utf-8"),
		as("TEXT", "utf-8 by its mark", "text/plain", "\xef\xbb\xbfü", `text "ü"`, "utf-8"),
		as("TEXT", "utf-16le by its mark", "text/plain", "\xff\xfea\x00\xfc\x00", `text "aü"`, "utf-16le"),
		as("TEXT", "utf-16be by its mark", "text/plain", "\xfe\xff\x00a\x00\xfc", `text "aü"`, "utf-16be"),
		as("TEXT", "meta charset of HTML", "text/html", `<meta charset="windows-1251"><p>`+"\xcf\xf0", `text "<meta charset=\"windows-1251\"><p>Пр"`, "windows-1251"),
		as("TEXT", "meta http-equiv of HTML", "text/html", `<meta http-equiv=Content-Type content="text/html; charset=koi8-r">`+"\xf0",
			`text "<meta http-equiv=Content-Type content=\"text/html; charset=koi8-r\">П"`, "koi8-r"),
		as("TEXT", "valid utf-8 without a word", "", "grüße", `text "grüße"`, "utf-8"),
		as("TEXT", "else windows-1252", "", "gr\xfc\xdfe \x80", `text "grüße €"`, "windows-1252"),
		as("TEXT", "of nothing", "", "", `text ""`, "utf-8"),
		override,
		as("JSON", "that a Value holds", "application/json", ` {"b":[1,2.5,-0.0,1e2,true,null],"a":{"ü":"\u00fc"}} `, `json {"a":{"ü":"ü"},"b":[1,2.5,-0,100,true,null]}`, ""),
		as("JSON", "scalar", "application/json", `"x"`, `json "x"`, ""),
		as("JSON", "null", "application/json", `null`, `json null`, ""),
		as("JSON", "by its body, whatever the type", "text/plain", `{"a":1}`, `json {"a":1}`, ""),
		as("JSON", "with a number beyond a double is text", "application/json", `{"id":9007199254740993}`, `text "{\"id\":9007199254740993}"`, "utf-8"),
		as("JSON", "with a name twice is text", "application/json", `{"a":1,"a":2}`, `text "{\"a\":1,\"a\":2}"`, "utf-8"),
		as("JSON", "with a number out of range is text", "application/json", `[1e400]`, `text "[1e400]"`, "utf-8"),
		as("JSON", "cut off is text", "application/json", `{"a":`, `text "{\"a\":"`, "utf-8"),
		as("JSON", "of no JSON is text", "text/html", `<p>gr`+"\xfc", `text "<p>grü"`, "windows-1252"),
		as("JSON", "nested 101 deep is text", "application/json", strings.Repeat("[", 101)+strings.Repeat("]", 101),
			fmt.Sprintf("text %q", strings.Repeat("[", 101)+strings.Repeat("]", 101)), "utf-8"),
		as("AUTO", "textual type is text", "application/problem+json; charset=utf-8", `{"a":"ü"}`, `text "{\"a\":\"ü\"}"`, "utf-8"),
		as("AUTO", "other type is bytes", "image/png", "text", `bytes "text"`, ""),
		as("AUTO", "text that does not decode is bytes", "text/plain; charset=utf-8", "a\xff", `bytes "a\xff"`, ""),
		as("AUTO", "no type and text", "", `{"n":1}`, `text "{\"n\":1}"`, "utf-8"),
		as("AUTO", "no type and not text", "", "\x00\x01", `bytes "\x00\x01"`, ""),
		auto,
		refused("charset that nobody knows", `"charset":"klingon"`, "charset", "WHATWG"),
	}
}
