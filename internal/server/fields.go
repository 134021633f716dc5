package server

import (
	"net/http"
	"net/textproto"
	"sort"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/content"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// contentFields reads a list of the API.
func contentFields(in []*fetchsvcv1.Field) []content.Field {
	out := make([]content.Field, len(in))
	for i, f := range in {
		out[i] = content.Field{Name: f.GetName(), Value: fieldValue(f)}
	}
	return out
}

func fieldValue(f *fetchsvcv1.Field) []byte {
	if len(f.GetRawValue()) > 0 {
		return f.GetRawValue()
	}
	return []byte(f.GetValue())
}

// newField writes a value as text where it is text.
func newField(name, value string) *fetchsvcv1.Field {
	if utf8.ValidString(value) {
		return &fetchsvcv1.Field{Name: name, Value: value}
	}
	return &fetchsvcv1.Field{Name: strings.ToValidUTF8(name, "\uFFFD"), RawValue: []byte(value)}
}

// headerFields lists h by name, the values of a name in their order. All fields
// share one allocation.
func headerFields(h http.Header, secret func(name string) bool) []*fetchsvcv1.Field {
	if len(h) == 0 {
		return nil
	}
	names := make([]string, 0, len(h))
	n := 0
	for name, values := range h {
		names = append(names, name)
		n += len(values)
	}
	sort.Strings(names)
	fields, out := make([]fetchsvcv1.Field, n), make([]*fetchsvcv1.Field, 0, n)
	for _, name := range names {
		hide := secret != nil && secret(name)
		for _, value := range h[name] {
			f := &fields[len(out)]
			f.Name = name
			switch {
			case hide:
				f.Value = target.Mask
			case utf8.ValidString(value):
				f.Value = value
			default:
				f.RawValue = []byte(value)
			}
			out = append(out, f)
		}
	}
	return out
}

// connectionHeaders are set by fetchsvc or belong to one connection (RFC 9110
// section 7.6.1), each with what to do instead.
var connectionHeaders = map[string]string{
	"Host":                "it is derived from the url; request_host sets another where policy grants it",
	"Content-Length":      "it is derived from the body; leave it out",
	"Transfer-Encoding":   "framing is chosen for the connection; leave it out",
	"Connection":          "connections are pooled; leave it out",
	"Keep-Alive":          "connections are pooled; leave it out",
	"Proxy-Connection":    "connections are pooled; leave it out",
	"Proxy-Authenticate":  "only a proxy sends it; leave it out",
	"Proxy-Authorization": "proxies are policy's business; leave it out",
	"Trailer":             "trailers are announced from Stream's `end`; leave it out",
	"Upgrade":             "upgrades are not served; leave it out",
	"Http2-Settings":      "upgrades are not served; leave it out",
	"Expect":              "Stream's expect_continue sets it; leave it out",
}

// maxHeaderValue bounds one header value; few servers take more.
const maxHeaderValue = 32 << 10

// headers reads and checks the request headers, all faults at once.
func (b *builder) headers(in []*fetchsvcv1.Field) http.Header {
	h := make(http.Header, len(in)+4)
	for i, f := range in {
		at := func(part string) string { return indexed("headers", i, part) }
		name := f.GetName()
		if !httpguts.ValidHeaderFieldName(name) {
			b.fail(at("name"), quoteName(name)+" is not a header name: use letters, digits and hyphens")
			continue
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if name == "Trailer" && b.stream {
			continue // read by announced
		}
		if hint, refused := connectionHeaders[name]; refused {
			b.fail(at("name"), name+" is not the caller's to set: "+hint)
			continue
		}
		value := f.GetValue()
		if len(f.GetRawValue()) > 0 {
			value = string(f.GetRawValue())
		}
		switch {
		case !httpguts.ValidHeaderFieldValue(value):
			b.fail(at("value"), "the value of "+name+" has a line break or another control character: remove it")
			continue
		case len(value) > maxHeaderValue:
			b.fail(at("value"), "the value of "+name+" is over 32 KiB: shorten it")
			continue
		case name == "Te" && !strings.EqualFold(value, "trailers"):
			b.fail(at("value"), "TE says `trailers` or is left out: other codings belong to one connection")
			continue
		}
		if name == "User-Agent" && h[name] != nil {
			b.fail(at("name"), "User-Agent is given twice: give it once")
			continue
		}
		h[name] = append(h[name], value)
	}
	return h
}

// cookies makes the Cookie header (RFC 6265 section 4.2.1).
func (b *builder) cookies(in []*fetchsvcv1.Cookie, h http.Header) {
	if len(in) == 0 {
		return
	}
	if _, given := h["Cookie"]; given {
		b.fail("cookies", "there is a Cookie in headers too: give cookies in one place")
		return
	}
	pairs := make([]string, 0, len(in))
	for i, c := range in {
		if !httpguts.ValidHeaderFieldName(c.GetName()) {
			b.fail(indexed("cookies", i, "name"), quoteName(c.GetName())+" is not a cookie name: use letters, digits, - and _")
			continue
		}
		if strings.ContainsAny(c.GetValue(), ";,\\") || !httpguts.ValidHeaderFieldValue(c.GetValue()) || !isASCII(c.GetValue()) {
			b.fail(indexed("cookies", i, "value"), "a cookie value has no `;`, `,`, `\\`, control or non-ASCII characters: percent-encode it as the server expects")
			continue
		}
		pairs = append(pairs, c.GetName()+"="+c.GetValue())
	}
	h["Cookie"] = []string{strings.Join(pairs, "; ")}
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
