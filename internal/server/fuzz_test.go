package server

import (
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// FuzzResponse: whatever an upstream answers can be said in the API, in both
// encodings, and headers and body survive as they were.
func FuzzResponse(f *testing.F) {
	for _, s := range []struct{ name, value, kind, body string }{
		{"Set-Cookie", `a="b"; Max-Age=0; Expires=Wed, 21 Oct 2037 07:28:00 GMT`, "text/plain; charset=koi8-r", "\xf0"},
		{"Set-Cookie", "a=\xff; Path=/\xff", "application/json", `{"a":[1e999,{}]}`},
		{"Link", `<//x/\xff?y>; rel="n\xff"; title*=UTF-8''%ff`, "", "\x00"},
		{"Link", strings.Repeat("<>,", 300), "text/html", `<meta charset="utf-16">`},
		{"X-Bytes", "M\xfcller", "text/event-stream", "data: x\n\n"},
		{"Content-Encoding", "gzip, gzip", "application/json", `[1,2]`},
	} {
		for as := range 5 {
			f.Add(s.name, s.value, s.kind, "", []byte(s.body), as, "reason \xff", 200)
		}
	}
	base, err := target.Parse("http://e.test/a?b")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name, value, kind, charset string, body []byte, as int, reason string, status int) {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) || !httpguts.ValidHeaderFieldValue(kind) {
			return // net/http lets no such thing through
		}
		name = http.CanonicalHeaderKey(name)
		h := http.Header{"Content-Type": {kind}}
		h[name] = append(h[name], value, value)
		res := &fetch.Response{Status: status % 1000, Reason: reason, Proto: "1.1", Header: h, Trailer: http.Header{name: {value}}, Body: body, URL: base}
		out := responseProto(res, &fetchsvcv1.FetchRequest{Charset: charset}, fetchsvcv1.FetchRequest_As(as))
		wire, err := proto.Marshal(out)
		if err != nil {
			t.Fatalf("the answer cannot be sent: %v", err)
		}
		if _, err := protojson.Marshal(out); err != nil {
			t.Fatalf("the answer cannot be sent as JSON: %v", err)
		}
		var back fetchsvcv1.FetchResponse
		if err := proto.Unmarshal(wire, &back); err != nil {
			t.Fatal(err)
		}
		if b, ok := back.Content.(*fetchsvcv1.FetchResponse_Body); ok && string(b.Body) != string(body) {
			t.Fatalf("the body became %q", b.Body)
		}
		found := false
		for _, h := range back.Headers {
			found = found || h.GetName() == name && string(fieldValue(h)) == value
		}
		if !found {
			t.Fatalf("%s: %q is not among %v", name, value, back.Headers)
		}
	})
}

// FuzzHeaders: what a caller names and gives either is refused or is one header
// that cannot break out of its line, and never one of the connection's.
func FuzzHeaders(f *testing.F) {
	for _, s := range [][2]string{
		{"X-A", "b"}, {"Host", "e.test"}, {"transfer-ENCODING", "chunked"}, {"X-A\r\nHost", "b"}, {"X-A", "b\r\nHost: c"}, {"X-A", "b\x00"},
		{"X-A", "\xff"}, {"TE", "trailers, gzip"}, {"", ""}, {"X A", "b"}, {"ſ", "x"}, {"Connection ", "close"}, {"Cookie", "a=b"},
	} {
		f.Add(s[0], s[1], []byte(nil))
		f.Add(s[0], "", []byte(s[1]))
	}
	f.Fuzz(func(t *testing.T, name, value string, raw []byte) {
		b := &builder{}
		in := &fetchsvcv1.Field{Name: name, Value: value, RawValue: raw}
		h := b.headers([]*fetchsvcv1.Field{in})
		if (len(h) == 0) != (len(b.problems) == 1) {
			t.Fatalf("%q gives %q and %v", name, h, b.problems)
		}
		for given, values := range h {
			if !httpguts.ValidHeaderFieldName(given) || !strings.EqualFold(given, name) || connectionHeaders[given] != "" {
				t.Fatalf("%q became the header %q", name, given)
			}
			if len(values) != 1 || !httpguts.ValidHeaderFieldValue(values[0]) || strings.ContainsAny(values[0], "\r\n\x00") || values[0] != string(fieldValue(in)) {
				t.Fatalf("%q became %q", fieldValue(in), values)
			}
		}
		b.cookies([]*fetchsvcv1.Cookie{{Name: name, Value: value}}, http.Header{})
	})
}
