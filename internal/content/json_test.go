package content

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

func TestLosslessJSON(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	many := func(last string) string {
		var b strings.Builder
		for i := range 1000 {
			fmt.Fprintf(&b, `"k%d":%d,`, i, i)
		}
		return "{" + b.String() + last + ":0}"
	}
	for _, tc := range []struct {
		name, body string
		want       bool
	}{
		{"null", "null", true},
		{"words and space", " [true, false,\r\n\tnull ] ", true},
		{"object", `{"a":{"a":[{},{"b":""}]},"b":"a"}`, true},
		{"empty", "", false},
		{"space only", " ", false},
		{"two values", "1 2", false},
		{"trailing comma", "[1,]", false},
		{"trailing comma in an object", `{"a":1,}`, false},
		{"no colon", `{"a" 1}`, false},
		{"unquoted name", `{a:1}`, false},
		{"half a word", "tru", false},
		{"open array", "[1", false},
		{"open object", `{"a":1`, false},
		{"mismatched", "[}", false},
		{"byte order mark", bomUTF8 + "1", false},
		{"form feed", "\f1", false},

		{"name twice", `{"a":1,"b":2,"a":1}`, false},
		{"name twice, spelled differently", `{"a":1,"\u0061":1}`, false},
		{"names that only look alike", `{"\\u0061":1,"a":1,"A":1}`, true},
		{"name twice as a pair and as UTF-8", `{"\ud83d\ude00":1,"😀":2}`, false},
		{"name twice with a control escape", `{"\n":1,"\u000a":2}`, false},
		{"names with every escape", `{"\b\f\n\r\t\/\"\\":1,"\u0008\u000C\u000a\u000d\u0009\u002F\u0022\u005c":2}`, false},
		{"same name in different objects", `[{"a":1},{"a":{"a":1}}]`, true},
		{"name twice around an object", `{"a":{"b":1,"c":2},"a":1}`, false},
		{"many names", many(`"k1000"`), true},
		{"many names, one twice", many(`"k500"`), false},

		{"escapes", `"\"\\\/\b\f\n\r\t\u0000\u00E9"`, true},
		{"pair", `"\ud83d\ude00"`, true},
		{"lone high surrogate", `"\ud83d"`, false},
		{"lone high surrogate, then a letter", `"\ud83dA"`, false},
		{"lone high surrogate, then an escape", `"\ud83d\u0041"`, false},
		{"lone low surrogate", `"\ude00"`, false},
		{"surrogates the wrong way round", `"\ude00\ud83d"`, false},
		{"lone surrogate in a name", `{"\udead":1}`, false},
		{"bad escape", `"\x"`, false},
		{"bad hex", `"\u00g0"`, false},
		{"short hex", `"\u00`, false},
		{"ends in a backslash", `"\`, false},
		{"control character", "\"\n\"", false},
		{"not UTF-8", "\"\xff\"", false},
		{"surrogate in UTF-8", "\"\xed\xa0\xbd\"", false},

		{"zeros", "[0,-0,0.0,-0e5,0e99999999999999999999]", true},
		{"spelling does not count", "[1.0,1e2,1E+2,100e-2,0.1,12300]", true},
		{"leading zero", "01", false},
		{"leading plus", "+1", false},
		{"no digit before the point", ".1", false},
		{"no digit after the point", "1.", false},
		{"no exponent digits", "1e", false},
		{"minus only", "-", false},
		{"hexadecimal", "0x1", false},
		{"not a number", "NaN", false},
		{"2 to the 53", "9007199254740992", true},
		{"2 to the 53 plus 1", "9007199254740993", false},
		{"the same, negative", "-9007199254740993", false},
		{"the same with a fraction", "9007199254740993.0", false},
		{"a snowflake id", "1234567890123456789", false},
		{"even, but not the shortest spelling", "12345678901234567890", false},
		{"a power of ten that float64 holds", "100000000000000000000", true},
		{"tenth, all of it", "0.1000000000000000055511151231257827", false},
		{"17 digits that are the shortest", "0.30000000000000004", true},
		{"17 digits that are not", "0.30000000000000001", false},
		{"16 digits across the point", "123456789.123456789", false},
		{"too large", "1e400", false},
		{"largest", "1.7976931348623157e308", true},
		{"just beyond", "1.7976931348623159e308", false},
		{"too small", "1e-400", false},
		{"smallest", "5e-324", true},
		{"less than the smallest", "3e-324", false},
		{"huge exponent", "1e99999999999999999999", false},
		{"huge exponent made up for", "0." + strings.Repeat("0", 400) + "1e401", true},
		{"many zeros", "1" + strings.Repeat("0", 300), true},
		{"too many zeros", "1" + strings.Repeat("0", 400), false},
		{"trailing zeros of a fraction", "1.5" + strings.Repeat("0", 100), true},

		{"100 deep", nested(100), true},
		{"101 deep", nested(101), false},
		{"very deep", strings.Repeat("[", 1<<20), false},
		{"deep objects", strings.Repeat(`{"a":`, 101) + "1" + strings.Repeat("}", 101), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := LosslessJSON([]byte(tc.body)); got != tc.want {
				t.Errorf("LosslessJSON(%.80s) = %t, want %t", tc.body, got, tc.want)
			}
		})
	}
}

func TestUnsafeJSONNumber(t *testing.T) {
	long := strings.Repeat("1", 100)
	for _, tc := range []struct{ name, body, want string }{
		{"none", `{"a":[1,2.5,-1e2,null]}`, ""},
		{"first of two", `{"a":1,"b":9007199254740993,"c":9007199254740995}`, "9007199254740993"},
		{"with its sign", `[-9007199254740993]`, "-9007199254740993"},
		{"short exponent", `[1e400]`, "1e400"},
		{"across the point", `[123456789.123456789]`, "123456789.123456789"},
		{"in a string", `["9007199254740993 \" 1e400",1]`, ""},
		{"after a string that ends in a backslash", `["\\",1e400]`, "1e400"},
		{"in a name", `{"9007199254740993":1}`, ""},
		{"in text cut short", `{"a":"b","c":9007199254740993`, "9007199254740993"},
		{"in text that is not JSON", `id9007199254740993 2026-10-19T10:00:00 1.2.3 0x9007199254740993`, ""},
		{"in a string that never ends", `"9007199254740993`, ""},
		{"shortened", "[" + long + "]", long[:64] + "…"},
		{"alone", "9007199254740993", "9007199254740993"},
		{"minus at the end", "[-", ""},
		{"empty", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, found := UnsafeJSONNumber([]byte(tc.body))
			if got != tc.want || found != (tc.want != "") {
				t.Errorf("UnsafeJSONNumber = %q, %t, want %q", got, found, tc.want)
			}
		})
	}
}

// jsonSurvives makes the trip that LosslessJSON foretells. ok is false where
// numbers are too long to compare in reasonable time.
func jsonSurvives(body []byte) (survives, ok bool) {
	if !utf8.Valid(body) {
		return false, true // encoding/json would repair it
	}
	before, ok := jsonTree(body)
	if !ok {
		return false, false
	}
	var v structpb.Value
	if before == nil || protojson.Unmarshal(body, &v) != nil {
		return false, true
	}
	back, err := protojson.Marshal(&v)
	if err != nil {
		return false, true
	}
	after, _ := jsonTree(back)
	return reflect.DeepEqual(before, after), true
}

// jsonTree is a value whose numbers compare by value; nil if b is not valid.
func jsonTree(b []byte) (tree any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, true
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, true
	}
	ok = true
	tree = exactNumbers(v, &ok)
	return []any{tree}, ok
}

func exactNumbers(v any, ok *bool) any {
	switch v := v.(type) {
	case json.Number:
		s := string(v)
		if i := strings.IndexAny(s, "eE"); i >= 0 && len(strings.TrimLeft(s[i+1:], "+-0")) > 4 {
			*ok = false
			return nil
		}
		r, valid := new(big.Rat).SetString(s)
		if !valid {
			*ok = false
			return nil
		}
		return r.RatString()
	case []any:
		for i := range v {
			v[i] = exactNumbers(v[i], ok)
		}
	case map[string]any:
		for k := range v {
			v[k] = exactNumbers(v[k], ok)
		}
	}
	return v
}

// TestManyJSONValues: brackets are cheap to send and dear to hold.
func TestManyJSONValues(t *testing.T) {
	nested := strings.Repeat("[", 99) + strings.Repeat("]", 99)
	for name, tc := range map[string]struct {
		body string
		want bool
	}{
		"as many as may be":   {"[" + strings.Repeat("0,", maxJSONValues-2) + "0]", true},
		"one more":            {"[" + strings.Repeat("0,", maxJSONValues-1) + "0]", false},
		"few commas":          {"[" + strings.Repeat(nested+",", 4000) + "0]", false},
		"members, few commas": {"[" + strings.Repeat(`{"a":[{"a":[{"a":[]}]}]},`, 60_000) + "0]", false},
	} {
		if got := LosslessJSON([]byte(tc.body)); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

func FuzzLosslessJSON(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,2.5e3,"x\u00e9\ud83d\ude00",null,true,{}]}`, `{"a":1,"\u0061":2}`, `9007199254740993`, `0.1`, `1e400`, `"\ud800"`,
		`[-0,0e5,5e-324,1.7976931348623157e308,0.30000000000000004]`, `{"\\":1,"\/":2}`, "\xff", `[[[[]]]]`, `100000000000000000000000`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		got := LosslessJSON(body)
		literal, found := UnsafeJSONNumber(body)
		if !bytes.Equal(body, before) {
			t.Fatal("the body was modified")
		}
		if got && found {
			t.Fatalf("lossless, but %s is not", literal)
		}
		if bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) > maxJSONDepth {
			return // may be refused for its depth alone
		}
		want, ok := jsonSurvives(body)
		if ok && got != want {
			t.Fatalf("LosslessJSON(%q) = %t, but the trip says %t", body, got, want)
		}
	})
}

func benchJSON() []byte {
	return []byte("[" + strings.TrimSuffix(strings.Repeat(`{"id":12345678,"name":"somebody","score":0.12345,"tags":["a","b"]},`, 15), ",") + "]")
}

func BenchmarkLosslessJSON(b *testing.B) {
	body := benchJSON()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if !LosslessJSON(body) {
			b.Fatal("not lossless")
		}
	}
}

func BenchmarkUnsafeJSONNumber(b *testing.B) {
	body := benchJSON()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		UnsafeJSONNumber(body)
	}
}
