package server

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/protobuf/types/known/structpb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/content"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// builder turns a message of the API into a request of the engine. It gathers
// every fault, so that a caller mends a request once.
type builder struct {
	problems []fault.Violation
	// stream: the request is a Stream's.
	stream bool
	// tooLarge is set instead where size is the fault.
	tooLarge *fault.Error
}

func (b *builder) fail(field, reason string) {
	b.problems = append(b.problems, fault.Violation{Field: field, Reason: reason})
}

// failed takes over the violations of a lower floor.
func (b *builder) failed(err error) {
	if err != nil {
		b.problems = append(b.problems, fault.From(err).Violations...)
	}
}

// maxTarget bounds the URL with its parameters.
const maxTarget = 64 << 10

// buildRequest reads in. Message constraints were checked before.
func buildRequest(in *fetchsvcv1.FetchRequest, by *caller) (*fetch.Request, error) {
	return (&builder{}).request(in, by)
}

func (b *builder) request(in *fetchsvcv1.FetchRequest, by *caller) (*fetch.Request, error) {
	req := &fetch.Request{
		Caller: by.name, Claims: by.claims, Subject: by.token, Method: b.method(in.GetMethod()), URL: b.url(in),
		Timeouts: timeouts(in.GetTimeouts()), Retry: retryOf(in.GetRetry()), Redirects: redirects(in.GetRedirects()),
		MaxResponseBytes: in.GetMaxResponseBytes(), AllowTruncated: in.GetAllowTruncated(),
		KeepCoded:    in.GetDecode() == fetchsvcv1.Decode_NONE,
		FailOnStatus: in.GetFailOnStatus(), Credential: in.GetCredential(),
		Connection: b.connection(in), Host: b.requestHost(in.GetRequestHost()),
	}
	req.Header = b.headers(in.GetHeaders())
	b.cookies(in.GetCookies(), req.Header)
	if req.IdempotencyKey = in.GetIdempotencyKey(); req.IdempotencyKey != "" {
		if _, given := req.Header["Idempotency-Key"]; given {
			b.fail("idempotency_key", "there is an Idempotency-Key in headers too: give it in one place")
		}
	}
	req.Body = b.body(in, req.Header)
	if b.stream {
		b.fetchOnly(in)
	} else {
		b.streamOnly(in)
	}
	if c := in.GetCharset(); c != "" && !content.ValidCharset(c) {
		b.fail("charset", quote(c)+" is not a known charset: use a label of the WHATWG Encoding Standard, such as utf-8 or iso-8859-1")
	}
	switch {
	case len(b.problems) > 0:
		return nil, fault.InvalidAll(b.problems)
	case b.tooLarge != nil:
		return nil, b.tooLarge
	}
	return req, nil
}

func (b *builder) method(m string) string {
	switch {
	case m == "":
		return http.MethodGet
	case !httpguts.ValidHeaderFieldName(m): // a method is the same token
		b.fail("method", quote(m)+" is not a method: it is one word of letters, digits and hyphens, such as GET")
	case strings.EqualFold(m, http.MethodConnect):
		b.fail("method", "CONNECT opens a tunnel and is not served: name the https URL itself, policy chooses the proxy")
	}
	return m
}

func (b *builder) url(in *fetchsvcv1.FetchRequest) target.URL {
	u, err := target.Parse(in.GetUrl())
	if err != nil {
		b.fail("url", err.Error())
		return u
	}
	if len(in.GetParams()) > 0 {
		u.Query = content.AppendQuery(u.Query, contentFields(in.GetParams()))
		u.HasQuery = true
		if len(u.Query) > maxTarget {
			b.fail("params", "with them the URL is over 64 KiB: send them as a form body, or fewer of them")
		}
	}
	return u
}

// streamOnly refuses what only Stream can do.
func (b *builder) streamOnly(in *fetchsvcv1.FetchRequest) {
	if in.GetStream() != nil {
		b.fail("stream", "a streamed body needs the Stream RPC: here give raw, text, json, form or multipart")
	}
	if in.GetFraming() != fetchsvcv1.Framing_MODE_UNSPECIFIED {
		b.fail("framing", "framing needs the Stream RPC: leave it out")
	}
	if in.GetExpectContinue() {
		b.fail("expect_continue", "waiting for 100 Continue needs the Stream RPC: leave it out")
	}
}

// fetchOnly refuses what only Fetch can do.
func (b *builder) fetchOnly(in *fetchsvcv1.FetchRequest) {
	if in.GetAs() != fetchsvcv1.FetchRequest_AS_UNSPECIFIED {
		b.fail("as", "Stream hands the body on as it comes: leave it out, or choose a framing")
	}
	if in.GetCharset() != "" {
		b.fail("charset", "Stream hands the body on as it comes: leave it out, and decode what arrives")
	}
}

// indexed writes `list[3].part`.
func indexed(list string, i int, part string) string {
	return list + "[" + strconv.Itoa(i) + "]." + part
}

// quote shows a caller's own input, short.
func quote(s string) string { return strconv.Quote(clip(s, 64)) }

// quoteName is quote for a name that may have been written with its value behind it,
// a secret perhaps: `Authorization: Bearer …`.
func quoteName(s string) string {
	if at := strings.IndexAny(s, ":= \t"); at >= 0 {
		s = s[:at+1] + "…"
	}
	return quote(s)
}

// compactJSON writes a Value without spaces and without HTML escapes.
func compactJSON(v *structpb.Value) ([]byte, string) {
	if reason := checkValue(v, 1); reason != "" {
		return nil, reason
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v.AsInterface()); err != nil {
		return nil, err.Error()
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), ""
}

// maxDepth bounds how deep a JSON value nests.
const maxDepth = 100

func checkValue(v *structpb.Value, depth int) string {
	if depth > maxDepth {
		return "the value nests deeper than 100 levels: send it as json_text"
	}
	switch k := v.GetKind().(type) {
	case nil:
		return "the value has an element that is not set: every element is null, a boolean, a number, a string, a list or an object"
	case *structpb.Value_NumberValue:
		if math.IsNaN(k.NumberValue) || math.IsInf(k.NumberValue, 0) {
			return "JSON has no NaN and no infinity: send null or a string"
		}
	case *structpb.Value_ListValue:
		for _, e := range k.ListValue.GetValues() {
			if reason := checkValue(e, depth+1); reason != "" {
				return reason
			}
		}
	case *structpb.Value_StructValue:
		for _, e := range k.StructValue.GetFields() {
			if reason := checkValue(e, depth+1); reason != "" {
				return reason
			}
		}
	}
	return ""
}
