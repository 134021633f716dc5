package server

import (
	"encoding/json"
	"net/http"
	"strings"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/content"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

// maxBody is the largest body of a Fetch; policy may set less.
const maxBody = 16 << 20

// body encodes the request body and sets the Content-Type that goes with it,
// unless the caller gave one. Nil: there is none.
func (b *builder) body(in *fetchsvcv1.FetchRequest, h http.Header) fetch.Body {
	var data []byte
	switch body := in.GetBody().(type) {
	case nil, *fetchsvcv1.FetchRequest_Stream:
		return nil
	case *fetchsvcv1.FetchRequest_Raw:
		data = body.Raw
	case *fetchsvcv1.FetchRequest_Text:
		data = b.text(body.Text, h)
	case *fetchsvcv1.FetchRequest_Json:
		var reason string
		if data, reason = compactJSON(body.Json); reason != "" {
			b.fail("json", reason)
		}
		defaultType(h, "application/json")
	case *fetchsvcv1.FetchRequest_JsonText:
		data = []byte(body.JsonText)
		if !json.Valid(data) {
			b.fail("json_text", "not valid JSON: mend it, or send it as text with a Content-Type of its own")
		}
		defaultType(h, "application/json")
	case *fetchsvcv1.FetchRequest_Form:
		data = content.EncodeForm(contentFields(body.Form.GetFields()))
		defaultType(h, "application/x-www-form-urlencoded")
	case *fetchsvcv1.FetchRequest_Multipart:
		data = b.multipart(body.Multipart, h)
	}
	if len(data) > maxBody {
		b.tooLarge = fault.Newf(fault.RequestTooLarge, "the request body of %d bytes is over 16 MiB: send it with Stream", len(data))
	}
	return fetch.Bytes(data)
}

func defaultType(h http.Header, contentType string) {
	if _, given := h["Content-Type"]; !given {
		h["Content-Type"] = []string{contentType}
	}
}

func (b *builder) text(text string, h http.Header) []byte {
	data, contentType, err := content.EncodeText(text, h.Get("Content-Type"))
	if err != nil {
		b.failed(err)
		return nil
	}
	h["Content-Type"] = []string{contentType}
	return data
}

func (b *builder) multipart(in *fetchsvcv1.Multipart, h http.Header) []byte {
	if _, given := h["Content-Type"]; given {
		b.fail("headers", "leave Content-Type out with multipart: it has to name the boundary, which fetchsvc sets (multipart.boundary chooses it)")
		return nil
	}
	parts := make([]content.Part, len(in.GetParts()))
	total := 0
	for i, p := range in.GetParts() {
		data := p.GetData()
		if text, ok := p.GetContent().(*fetchsvcv1.Part_Text); ok {
			data = []byte(text.Text)
		}
		total += len(data)
		parts[i] = content.Part{
			Name: p.GetName(), Filename: p.GetFilename(), HasFilename: p.Filename != nil,
			ContentType: p.GetContentType(), Headers: contentFields(p.GetHeaders()), Data: data,
		}
	}
	if total > maxBody {
		b.tooLarge = fault.Newf(fault.RequestTooLarge, "the parts' %d bytes are over 16 MiB: send the body with Stream", total)
		return nil
	}
	data, contentType, err := content.EncodeMultipart(parts, strings.TrimSpace(in.GetBoundary()))
	if err != nil {
		b.failed(err)
		return nil
	}
	h["Content-Type"] = []string{contentType}
	return data
}
