package content

import (
	"net/url"
	"slices"
	"testing"
)

func fields(pairs ...string) []Field {
	var fs []Field
	for i := 0; i+1 < len(pairs); i += 2 {
		fs = append(fs, Field{Name: pairs[i], Value: []byte(pairs[i+1])})
	}
	return fs
}

func TestEncodeForm(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   []Field
		want string
	}{
		{"nothing", nil, ""},
		{"order and repeats are kept", fields("b", "1", "a", "2", "b", "3"), "b=1&a=2&b=3"},
		{"space is plus, plus is escaped", fields("a b", "c+d"), "a+b=c%2Bd"},
		{"the plain bytes of the URL standard", fields("*-._", "~!'()"), "*-._=%7E%21%27%28%29"},
		{"upper case hex of UTF-8", fields("é", "€"), "%C3%A9=%E2%82%AC"},
		{"empty names and values", fields("", "", "a", ""), "=&a="},
		{"line ends are not normalised", fields("a", "x\r\ny\nz"), "a=x%0D%0Ay%0Az"},
		{"bytes that are not UTF-8", fields("a", "\xff\x00"), "a=%FF%00"},
		{"separators", fields("a&b=c", "d&e=f%"), "a%26b%3Dc=d%26e%3Df%25"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := string(EncodeForm(tc.in)); got != tc.want {
				t.Errorf("EncodeForm = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAppendQuery(t *testing.T) {
	for _, tc := range []struct {
		name, query string
		params      []Field
		want        string
	}{
		{"to nothing", "", fields("a", "1"), "a=1"},
		{"nothing to add", "x=%zz&", nil, "x=%zz&"},
		{"to a query, which stays as it is", "q=a b;%zz", fields("a", "1", "a", "2"), "q=a b;%zz&a=1&a=2"},
		{"to a query that ends in an ampersand", "q=1&", fields("a", "1"), "q=1&a=1"},
		{"escapes as requests does", "", fields("a b", "*~+é"), "a+b=%2A~%2B%C3%A9"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := AppendQuery(tc.query, tc.params); got != tc.want {
				t.Errorf("AppendQuery(%q) = %q, want %q", tc.query, got, tc.want)
			}
		})
	}
}

func FuzzAppendQuery(f *testing.F) {
	f.Add("", "a", "1")
	f.Add("a=1&", "a", "2 3")
	f.Add("x=%zz;y", "é&=", "\xff~*+")
	f.Fuzz(func(t *testing.T, query, name, value string) {
		got := AppendQuery(query, fields(name, value, name, value))
		if len(got) < len(query) || got[:len(query)] != query {
			t.Fatalf("AppendQuery changed %q to %q", query, got)
		}
		before, _ := url.ParseQuery(query)
		after, _ := url.ParseQuery(got)
		if want := append(before[name], value, value); !slices.Equal(after[name], want) {
			t.Fatalf("%q has %q = %q, want %q", got, name, after[name], want)
		}
		form, err := url.ParseQuery(string(EncodeForm(fields(name, value))))
		if err != nil || !slices.Equal(form[name], []string{value}) {
			t.Fatalf("EncodeForm of %q=%q reads back as %q, %v", name, value, form, err)
		}
	})
}
