package server

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/content"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

// responseProto writes the engine's answer as the API has it.
func responseProto(res *fetch.Response, in *fetchsvcv1.FetchRequest, as fetchsvcv1.FetchRequest_As) *fetchsvcv1.FetchResponse {
	out := headProto(res)
	endProto(out, res, int64(len(res.Body)))
	setContent(out, res, in.GetCharset(), as)
	return out
}

// headProto is what is known when the response's head has come.
func headProto(res *fetch.Response) *fetchsvcv1.FetchResponse {
	return &fetchsvcv1.FetchResponse{
		Status: int32(res.Status), Reason: strings.ToValidUTF8(res.Reason, "\uFFFD"), HttpVersion: res.Proto,
		Headers: headerFields(res.Header, nil), Url: res.URL.String(), History: historyProto(res.History, false),
		Links: linksProto(res.Header, res.URL.String()), Cookies: cookiesProto(res.Header),
		Decoded: res.Decoded, Upstream: res.Upstream, RedirectStopped: res.RedirectStopped,
	}
}

// endProto adds what is known when the body has come.
func endProto(out *fetchsvcv1.FetchResponse, res *fetch.Response, decoded int64) {
	out.Trailers, out.Attempts = headerFields(res.Trailer, nil), attemptsProto(res.Attempts)
	out.Elapsed, out.BytesSent, out.BytesReceived = durationpb.New(res.Elapsed), res.BytesSent, res.BytesReceived
	out.BytesDecoded, out.Truncated = decoded, res.Truncated
}

// setContent hands the body back as asked. A body that is still coded is bytes,
// whatever was asked.
func setContent(out *fetchsvcv1.FetchResponse, res *fetch.Response, charset string, as fetchsvcv1.FetchRequest_As) {
	contentType := res.Header.Get("Content-Type")
	if res.Coded {
		as = fetchsvcv1.FetchRequest_BYTES
	}
	switch as {
	case fetchsvcv1.FetchRequest_TEXT:
		setText(out, res.Body, contentType, charset)
	case fetchsvcv1.FetchRequest_JSON:
		if v := jsonValue(res.Body); v != nil {
			out.Content = &fetchsvcv1.FetchResponse_Json{Json: v}
			return
		}
		setText(out, res.Body, contentType, charset)
	case fetchsvcv1.FetchRequest_AUTO:
		if content.Textual(contentType) || contentType == "" && content.LooksLikeText(res.Body) || charset != "" {
			if text, name, clean := content.DecodeText(res.Body, contentType, charset); clean {
				out.Content, out.Charset = &fetchsvcv1.FetchResponse_Text{Text: text}, name
				return
			}
		}
		fallthrough
	default:
		out.Content = &fetchsvcv1.FetchResponse_Body{Body: res.Body}
	}
}

func setText(out *fetchsvcv1.FetchResponse, body []byte, contentType, charset string) {
	text, name, _ := content.DecodeText(body, contentType, charset)
	out.Content, out.Charset = &fetchsvcv1.FetchResponse_Text{Text: text}, name
}

// jsonValue gives body as a Value if nothing is lost by that, else nil.
func jsonValue(body []byte) *structpb.Value {
	if manyValues(body) || !content.LosslessJSON(body) {
		return nil
	}
	v := &structpb.Value{}
	if protojson.Unmarshal(body, v) != nil {
		return nil
	}
	return v
}

// maxLinks bounds the resolved links of one response, in bytes.
const maxLinks = 256 << 10

func linksProto(h http.Header, base string) []*fetchsvcv1.Link {
	values := h["Link"]
	if len(values) == 0 {
		return nil
	}
	from, err := url.Parse(base)
	if err != nil {
		return nil
	}
	var out []*fetchsvcv1.Link
	room := maxLinks
	for _, l := range content.ParseLinks(values) {
		to, err := from.Parse(l.URI)
		if err != nil {
			continue
		}
		if room -= len(to.String()); room < 0 {
			break // a short reference against a long base adds up; headers has them all
		}
		link := &fetchsvcv1.Link{Url: strings.ToValidUTF8(to.String(), "\uFFFD"), Rel: strings.ToValidUTF8(l.Rel, "\uFFFD")}
		for _, p := range l.Params {
			link.Params = append(link.Params, newField(p.Name, string(p.Value)))
		}
		out = append(out, link)
	}
	return out
}

func cookiesProto(h http.Header) []*fetchsvcv1.SetCookie {
	lines := h["Set-Cookie"]
	if len(lines) == 0 {
		return nil
	}
	var out []*fetchsvcv1.SetCookie
	for _, line := range lines {
		c, err := http.ParseSetCookie(line)
		if err != nil || !utf8.ValidString(line) {
			continue // it stands in headers as received
		}
		sc := &fetchsvcv1.SetCookie{
			Name: c.Name, Value: c.Value, Domain: c.Domain, Path: c.Path,
			Secure: c.Secure, HttpOnly: c.HttpOnly, SameSite: sameSite(c.SameSite), Partitioned: c.Partitioned,
		}
		if c.Quoted { // net/http takes the quotes off; RFC 6265 section 5.2 leaves them
			sc.Value = `"` + c.Value + `"`
		}
		if !c.Expires.IsZero() {
			sc.Expires = timestamppb.New(c.Expires)
		}
		if c.MaxAge != 0 { // net/http reads `Max-Age=0` as -1, absent as 0
			sc.MaxAge = proto.Int64(max(int64(c.MaxAge), 0))
		}
		out = append(out, sc)
	}
	return out
}

func sameSite(s http.SameSite) string {
	switch s {
	case http.SameSiteLaxMode:
		return "Lax"
	case http.SameSiteStrictMode:
		return "Strict"
	case http.SameSiteNoneMode:
		return "None"
	}
	return ""
}
