package main

import (
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// request says in the API's words what the flags say in curl's. What the words
// may mean is the service's to judge.
func (o *fetchOptions) request(url string, in *inputs) (*fetchsvcv1.FetchRequest, error) {
	if err := o.conflicts(); err != nil {
		return nil, err
	}
	req := &fetchsvcv1.FetchRequest{
		Url: url, IdempotencyKey: o.key, MaxResponseBytes: o.maxBytes, FailOnStatus: o.fail,
		ExpectContinue: o.expectContinue,
	}
	o.addBounds(req)
	o.addHandling(req)
	for _, step := range []func(*fetchsvcv1.FetchRequest, *inputs) error{o.addHeaders, o.addParams, o.addCookies, o.addBody} {
		if err := step(req, in); err != nil {
			return nil, err
		}
	}
	req.Method = o.methodFor(req)
	return req, checkText(req)
}

func (o *fetchOptions) addBounds(req *fetchsvcv1.FetchRequest) {
	var t fetchsvcv1.Timeouts
	if o.maxTime > 0 && !o.streams() { // the total of a stream ends at its head: see stream
		t.Total = durationpb.New(o.maxTime)
	}
	if o.connectTimeout > 0 {
		t.Connect = durationpb.New(o.connectTimeout)
	}
	if t.Total != nil || t.Connect != nil {
		req.Timeouts = &t
	}
	if o.noLocation {
		req.Redirects = &fetchsvcv1.Redirects{Mode: fetchsvcv1.Redirects_NONE}
	} else if o.maxRedirs != nil {
		req.Redirects = &fetchsvcv1.Redirects{Max: o.maxRedirs}
	}
}

// addHandling says how the answer is to be handed over.
func (o *fetchOptions) addHandling(req *fetchsvcv1.FetchRequest) {
	if o.rawCoding {
		req.Decode = fetchsvcv1.Decode_NONE
	}
	switch {
	case o.sse:
		req.Framing = fetchsvcv1.Framing_SSE
		o.accept(req, "text/event-stream")
	case o.lines:
		req.Framing = fetchsvcv1.Framing_LINES
	case o.streams():
	case o.printJSON:
		req.As = fetchsvcv1.FetchRequest_AUTO // for people: text where it is text
	default:
		req.As = fetchsvcv1.FetchRequest_BYTES
	}
}

func (o *fetchOptions) methodFor(req *fetchsvcv1.FetchRequest) string {
	switch {
	case o.method != "":
		return o.method
	case o.head:
		return http.MethodHead
	case o.uploadFile != "":
		return http.MethodPut
	case req.GetBody() != nil:
		return http.MethodPost
	default:
		return http.MethodGet
	}
}

func (o *fetchOptions) addHeaders(req *fetchsvcv1.FetchRequest, _ *inputs) error {
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		value = strings.Trim(value, " \t")
		switch bare, empty := strings.CutSuffix(h, ";"); {
		case !ok && empty:
			name, value = bare, "" // curl's way to send an empty value
		case !ok:
			return fmt.Errorf("--header %q: write \"NAME: VALUE\"", h)
		case value == "" && strings.EqualFold(name, "Content-Type"):
			continue // see addBody: none is added then
		case value == "":
			return fmt.Errorf("--header %q: nothing that could be removed is sent; for an empty value write %q", h, name+";")
		}
		req.Headers = append(req.Headers, field(name, value))
	}
	if o.userAgent != nil && !o.hasHeader("User-Agent") {
		req.Headers = append(req.Headers, field("User-Agent", *o.userAgent))
	}
	return nil
}

// hasHeader says whether --header gives name, be it to remove it.
func (o *fetchOptions) hasHeader(name string) bool {
	for _, h := range o.headers {
		end := strings.IndexAny(h, ":;")
		if end >= 0 && strings.EqualFold(h[:end], name) {
			return true
		}
	}
	return false
}

func (o *fetchOptions) addParams(req *fetchsvcv1.FetchRequest, _ *inputs) error {
	for _, p := range o.params {
		name, value, ok := strings.Cut(p, "=")
		if !ok {
			return fmt.Errorf("--param %q: write NAME=VALUE", p)
		}
		req.Params = append(req.Params, field(name, value))
	}
	return nil
}

func (o *fetchOptions) addCookies(req *fetchsvcv1.FetchRequest, _ *inputs) error {
	for _, line := range o.cookies {
		for pair := range strings.SplitSeq(line, ";") {
			name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
			if !ok && name == "" {
				continue // a final semicolon
			}
			if !ok {
				return fmt.Errorf("--cookie %q: write NAME=VALUE; a file of cookies is not read", line)
			}
			req.Cookies = append(req.Cookies, &fetchsvcv1.Cookie{Name: name, Value: value})
		}
	}
	return nil
}

// field keeps a value as it is: as text, or as bytes where it is not UTF-8.
func field(name, value string) *fetchsvcv1.Field {
	if utf8.ValidString(value) {
		return &fetchsvcv1.Field{Name: name, Value: value}
	}
	return &fetchsvcv1.Field{Name: name, RawValue: []byte(value)}
}

// checkText refuses what protobuf could not carry, by the flag's name.
func checkText(req *fetchsvcv1.FetchRequest) error {
	texts := [][2]string{
		{"the URL", req.GetUrl()}, {"--request", req.GetMethod()},
		{"--idempotency-key", req.GetIdempotencyKey()}, {"--json", req.GetJsonText()},
	}
	for _, f := range req.GetHeaders() {
		texts = append(texts, [2]string{"a name in --header", f.GetName()})
	}
	for _, f := range req.GetParams() {
		texts = append(texts, [2]string{"a name in --param", f.GetName()})
	}
	for _, c := range req.GetCookies() {
		texts = append(texts, [2]string{"--cookie", c.GetName()}, [2]string{"--cookie", c.GetValue()})
	}
	for _, p := range req.GetMultipart().GetParts() {
		texts = append(texts, [2]string{"--form", p.GetName()}, [2]string{"--form", p.GetFilename()}, [2]string{"--form", p.GetContentType()})
	}
	for _, t := range texts {
		if !utf8.ValidString(t[1]) {
			return fmt.Errorf("%s is not UTF-8: convert it first", t[0])
		}
	}
	return nil
}
