package target

import (
	"bufio"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"plain":                 {"https://api.example.com/v1/things?a=1", "https://api.example.com/v1/things?a=1"},
		"no path":               {"https://example.com", "https://example.com/"},
		"query without path":    {"https://example.com?a", "https://example.com/?a"},
		"empty query":           {"https://example.com/?", "https://example.com/?"},
		"fragment is not sent":  {"https://example.com/a#b?c", "https://example.com/a"},
		"scheme and host case":  {"HTTPS://EXAMPLE.com/A", "https://example.com/A"},
		"default port":          {"https://example.com:443/", "https://example.com/"},
		"empty port":            {"https://example.com:/", "https://example.com/"},
		"other port":            {"http://example.com:8080/", "http://example.com:8080/"},
		"trailing dot":          {"https://example.com./", "https://example.com/"},
		"idn":                   {"https://bücher.example/", "https://xn--bcher-kva.example/"},
		"idn percent-encoded":   {"https://b%C3%BCcher.example/", "https://xn--bcher-kva.example/"},
		"full-width host":       {"https://ｅｘａｍｐｌｅ.com/", "https://example.com/"},
		"ideographic full stop": {"https://example。com/", "https://example.com/"},
		"circled digits":        {"http://①②⑦.0.0.1/", "http://127.0.0.1/"},
		"underscore":            {"http://my_service.internal/", "http://my_service.internal/"},
		"ipv4":                  {"http://127.0.0.1:81/", "http://127.0.0.1:81/"},
		"ipv6":                  {"http://[0:0::1]:81/", "http://[::1]:81/"},
		"ipv6 default port":     {"http://[::1]/", "http://[::1]/"},
		"mapped ipv4":           {"http://[::ffff:127.0.0.1]/", "http://127.0.0.1/"},
		"unicode path":          {"https://e.com/ü?q=ü", "https://e.com/%C3%BC?q=%C3%BC"},
		"escapes stay":          {"https://e.com/%7e%2F..//b|c", "https://e.com/%7e%2F..//b|c"},
		"double slash path":     {"https://e.com//a//b", "https://e.com//a//b"},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := Parse(c.in)
			if err != nil {
				t.Fatalf("Parse(%q): %v", c.in, err)
			}
			if got := u.String(); got != c.want {
				t.Errorf("Parse(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"empty":               {"", "required"},
		"no scheme":           {"example.com/a", "no scheme"},
		"scheme in query":     {"example.com/?u=https://x", "no scheme"},
		"ftp":                 {"ftp://example.com/", `scheme "ftp"`},
		"space":               {"https://example.com/a b", "byte 21"},
		"newline":             {"https://example.com/\n", "control character"},
		"userinfo":            {"https://u:p@example.com/", "Authorization header"},
		"hidden userinfo":     {"https://example.com@evil.example/", "Authorization header"},
		"no host":             {"https:///a", "host is empty"},
		"port text":           {"https://e.com:http/", "not a number"},
		"port too large":      {"https://e.com:65536/", "out of range"},
		"port zero":           {"https://e.com:0/", "out of range"},
		"bare ipv6":           {"http://::1/", "brackets"},
		"ipv6 zone":           {"http://[fe80::1%25eth0]/", "zone"},
		"bad bracket":         {"http://[::1/", "bracket"},
		"decimal ipv4":        {"http://2130706433/", "canonical IPv4"},
		"hex ipv4":            {"http://0x7f000001/", "canonical IPv4"},
		"octal ipv4":          {"http://0177.0.0.1/", "canonical IPv4"},
		"short ipv4":          {"http://127.1/", "canonical IPv4"},
		"zero":                {"http://0/", "canonical IPv4"},
		"full-width odd ipv4": {"http://１２７.1/", "canonical IPv4"},
		"empty label":         {"http://a..b/", "empty label"},
		"backslash host":      {`http://a\b/`, "not a host name"},
		"bad escape":          {"https://e.com/%zz", "bad percent-escape"},
		"cut escape":          {"https://e.com/?a=%2", "bad percent-escape"},
		"long label":          {"http://" + strings.Repeat("a", 64) + ".com/", "63 characters"},
		"long unicode name":   {"http://" + strings.Repeat("\u4e00\u4e8c", 200_000) + "/", "253"},
		"long unicode labels": {"http://" + strings.Repeat("\u00fc.", 400) + "/", "253"},
		"long brackets":       {"http://[" + strings.Repeat("0:", 20_000) + "]/", "253"},
		"long name":           {"http://" + strings.Repeat("a.", 130) + "com/", "253"},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := Parse(c.in)
			if err == nil {
				t.Fatalf("Parse(%q) = %v, want an error", c.in, u)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("Parse(%q) says %q, want it to say %q", c.in, err, c.want)
			}
			if len(err.Error()) > 3*maxGiven {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestResolve(t *testing.T) {
	base, err := Parse("https://e.com:8443/dir/page?x=1#frag")
	if err != nil {
		t.Fatal(err)
	}
	for location, want := range map[string]string{
		"https://other.example/":  "https://other.example/",
		"//other.example/a":       "https://other.example/a",
		"/abs":                    "https://e.com:8443/abs",
		"rel":                     "https://e.com:8443/dir/rel",
		"../up":                   "https://e.com:8443/up",
		"../../../up/./x/..":      "https://e.com:8443/up/",
		"?y=2":                    "https://e.com:8443/dir/page?y=2",
		"#z":                      "https://e.com:8443/dir/page?x=1",
		"/a b?c d":                "https://e.com:8443/a%20b?c%20d",
		"/ü":                      "https://e.com:8443/%C3%BC",
		"/50%":                    "https://e.com:8443/50%25",
		"/a%2Fb":                  "https://e.com:8443/a%2Fb",
		"HTTP://E.com:80/":        "http://e.com/",
		"  /trimmed ":             "https://e.com:8443/trimmed",
		"/path/with:colon?u=a://": "https://e.com:8443/path/with:colon?u=a://",
	} {
		u, err := base.Resolve(location)
		if err != nil {
			t.Errorf("Resolve(%q): %v", location, err)
			continue
		}
		if got := u.String(); got != want {
			t.Errorf("Resolve(%q) = %q, want %q", location, got, want)
		}
	}
	if u, _ := base.Resolve("/x"); u.Fragment != "frag" {
		t.Errorf("Resolve without a fragment keeps %q, want the base's", u.Fragment)
	}
	if u, _ := base.Resolve("/x#y"); u.Fragment != "y" {
		t.Errorf("Resolve keeps fragment %q, want y", u.Fragment)
	}
	for _, location := range []string{"", "ftp://e.com/", "http://u:p@e.com/", "http://", "javascript:alert(1)", "http://127.1/"} {
		if u, err := base.Resolve(location); err == nil {
			t.Errorf("Resolve(%q) = %v, want an error", location, u)
		}
	}
}

// TestWireTarget holds that net/http writes the request target as the caller
// spelled it, double slashes and dots included.
func TestWireTarget(t *testing.T) {
	for _, path := range []string{"/", "/a//b", "//a", "/../a/./b", "/%7e/%2F%2f", "/a;b=c,d", "/a|b^c", "//x/..", "/?", "/?a=b?c&d=%zz"[:9]} {
		u, err := Parse("http://e.com" + path)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := (&http.Request{Method: "GET", URL: u.HTTP(), Host: u.HostPort(), Header: http.Header{}}).Write(&b); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(strings.NewReader(b.String())).ReadString('\n')
		if want := "GET " + path + " HTTP/1.1\r\n"; line != want {
			t.Errorf("the wire has %q, want %q", line, want)
		}
	}
}

// FuzzParse: whatever is accepted is a fixed point, so that no second reader can
// see another host in it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"https://e.com/a?b#c", "http://[::1]:8/", "http://①/", "https://b%C3%BC.example/", "http://a_b./%2f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(u.String())
		if err != nil {
			t.Fatalf("%q reads as %q, which is refused: %v", s, u, err)
		}
		if again.String() != u.String() || again.Host != u.Host || again.Port != u.Port {
			t.Fatalf("%q reads as %q and that as %q", s, u, again)
		}
	})
}

// FuzzParseHost: a host has one spelling, in ASCII, which names nothing else to
// whoever reads it by simpler rules.
func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"e.com", "E.com.", "①②⑦.⓪.0.1", "[::FFFF:7f00:1]", "bücher.example", "xn--bcher-kva.example", "0x7f.1", "fe80::1%lo", "a_b", "ß.example", "ℓ\u00adocalhost"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHost(s)
		if err != nil {
			return
		}
		if again, err := ParseHost(h.Name); err != nil || again != h {
			t.Fatalf("%q is %+v, and that is %+v, %v", s, h, again, err)
		}
		addr, err := netip.ParseAddr(h.Name)
		if (err == nil) != h.IsAddr() || h.IsAddr() && (addr != h.Addr || addr.String() != h.Name || addr.Zone() != "" || addr.Is4In6()) {
			t.Fatalf("%q is %+v, and netip reads %v, %v", s, h, addr, err)
		}
		if strings.Trim(h.Name, "abcdefghijklmnopqrstuvwxyz0123456789-._:") != "" || !h.IsAddr() && strings.HasSuffix(h.Name, ".") {
			t.Fatalf("%q is %q, which has characters that no host has", s, h.Name)
		}
		// What libc would read as an address is one, in full.
		last := h.Name[strings.LastIndexByte(h.Name, '.')+1:]
		if n, err := strconv.ParseUint(last, 0, 64); err == nil && !h.IsAddr() && !strings.ContainsAny(last, "bo_") {
			t.Fatalf("%q is the name %q, and its last label is the number %d", s, h.Name, n)
		}
	})
}

func FuzzResolve(f *testing.F) {
	base, err := Parse("https://e.com/dir/page?x")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("../x")
	f.Add("//h/")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := base.Resolve(s)
		if err != nil {
			return
		}
		if _, err := Parse(u.String()); err != nil {
			t.Fatalf("Resolve(%q) = %q, which is refused: %v", s, u, err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("https://api.example.com/v1/things?a=1"); err != nil {
			b.Fatal(err)
		}
	}
}

func TestRedacted(t *testing.T) {
	for in, want := range map[string]string{
		"https://e.com/a?q=1":                           "https://e.com/a?q=1",
		"https://e.com/?Sig=abc&q=1":                    "https://e.com/?Sig=REDACTED&q=1",
		"https://e.com/?subscription-key=a&api%5Fkey=b": "https://e.com/?subscription-key=REDACTED&api%5Fkey=REDACTED",
		"https://e.com/?X-Amz-Signature=a&api_key":      "https://e.com/?X-Amz-Signature=REDACTED&api_key",
	} {
		u, err := Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Redacted(); got != want {
			t.Errorf("Redacted(%s) = %s, want %s", in, got, want)
		}
	}
}
