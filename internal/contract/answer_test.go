package contract

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// answer is what a door said, in one form for both: a response, or an error.
type answer struct {
	Status                int32
	Reason, Version       string
	Headers               []string
	Content, Charset      string
	URL                   string
	History               []string
	Stopped, Decoded      string
	Truncated             bool
	Trailers, Links       []string
	Cookies               []string
	Upstream              string
	Sent, Received, Sized int64

	// Attempts are `REASON METHOD WIRE status` or `… KIND`, for either outcome.
	Attempts []string
	// Notes are what else the ledger says of an attempt, `#1` being the first: the
	// wait before it, its credential, its proxy, why none followed.
	Notes []string

	Kind, Code, Source, ProxyError string
	SafeToRetry                    bool
	UpstreamStatus                 string
	RetryAfter                     string
	Message                        string
	Violations                     []violation

	// Arrived is the last request as the upstream saw it.
	Arrived arrived

	faults    []string
	shortened bool
	last      []string // the headers of the last attempt
}

type violation struct{ Field, Reason string }

// arrived is a request on the upstream's side.
type arrived struct {
	Line   string
	Header []string
	Body   string
}

// fault notes what no answer may have, whatever the case.
func (a *answer) fault(format string, args ...any) {
	a.faults = append(a.faults, fmt.Sprintf(format, args...))
}

// ofResponse reads a response; mask hides what differs from run to run.
func ofResponse(r *fetchsvcv1.FetchResponse, mask *strings.Replacer) *answer {
	a := &answer{
		Status: r.GetStatus(), Reason: r.GetReason(), Version: r.GetHttpVersion(), Headers: lines(r.GetHeaders(), mask),
		Charset: r.GetCharset(), URL: mask.Replace(r.GetUrl()), Stopped: r.GetRedirectStopped(), Decoded: r.GetDecoded(),
		Truncated: r.GetTruncated(), Trailers: lines(r.GetTrailers(), mask), Upstream: r.GetUpstream(),
		Sent: r.GetBytesSent(), Received: r.GetBytesReceived(), Sized: r.GetBytesDecoded(),
	}
	if r.GetElapsed().AsDuration() <= 0 {
		a.fault("elapsed is %v, want more than 0", r.GetElapsed().AsDuration())
	}
	for _, l := range r.GetLinks() {
		a.Links = append(a.Links, mask.Replace(fmt.Sprintf("%s %s %q", l.GetUrl(), l.GetRel(), lines(l.GetParams(), mask))))
	}
	for _, c := range r.GetCookies() {
		a.Cookies = append(a.Cookies, cookieLine(c))
	}
	for _, h := range r.GetHistory() {
		a.History = append(a.History, hopLine(h, mask))
	}
	a.ledger(r.GetAttempts(), mask)
	a.content(r, mask)
	return a
}

// content reads the body; an echo becomes Arrived.
func (a *answer) content(r *fetchsvcv1.FetchResponse, mask *strings.Replacer) {
	switch c := r.GetContent().(type) {
	case *fetchsvcv1.FetchResponse_Body:
		if bytes.Contains(c.Body, []byte(`"raw_head_base64"`)) {
			var e testpeer.Echoed
			if err := json.Unmarshal(c.Body, &e); err != nil {
				a.fault("the echo does not decode: %v", err)
			}
			a.Arrived = ofEcho(e, mask)
			a.Content, a.Received, a.Sized = "echo", 0, 0 // its length is that of the address
			a.Headers = drop(a.Headers, "Content-Length")
			return
		}
		if len(c.Body) > large {
			a.Content = "bytes " + digest(string(c.Body))
			return
		}
		a.Content = mask.Replace(fmt.Sprintf("bytes %q", c.Body))
	case *fetchsvcv1.FetchResponse_Text:
		a.Content = mask.Replace(fmt.Sprintf("text %q", c.Text))
	case *fetchsvcv1.FetchResponse_Json:
		var compact bytes.Buffer
		text, err := protojson.Marshal(c.Json)
		if err == nil {
			err = json.Compact(&compact, text) // protojson's spaces vary on purpose
		}
		if err != nil {
			a.fault("the JSON content does not encode: %v", err)
		}
		a.Content = "json " + compact.String()
	default:
		a.fault("the response has no content, not even an empty one")
	}
}

// cookieLine is a cookie in one line.
func cookieLine(c *fetchsvcv1.SetCookie) string {
	s := c.GetName() + "=" + c.GetValue()
	for _, part := range []struct{ name, value string }{{"domain", c.GetDomain()}, {"path", c.GetPath()}, {"samesite", c.GetSameSite()}} {
		if part.value != "" {
			s += " " + part.name + "=" + part.value
		}
	}
	if c.GetExpires() != nil {
		s += " expires=" + c.GetExpires().AsTime().Format("2006-01-02T15:04:05Z")
	}
	if c.MaxAge != nil {
		s += fmt.Sprint(" max-age=", c.GetMaxAge())
	}
	for _, flag := range []struct {
		name string
		set  bool
	}{{"secure", c.GetSecure()}, {"httponly", c.GetHttpOnly()}, {"partitioned", c.GetPartitioned()}} {
		if flag.set {
			s += " " + flag.name
		}
	}
	return s
}

// hopLine is a redirect in one line.
func hopLine(h *fetchsvcv1.Hop, mask *strings.Replacer) string {
	s := fmt.Sprintf("%s %s %d -> %s", h.GetMethod(), h.GetUrl(), h.GetStatus(), h.GetLocation())
	if d := h.GetDroppedHeaders(); len(d) > 0 {
		s += " without " + strings.Join(d, ", ")
	}
	for _, c := range h.GetCookies() {
		s += " sets " + cookieLine(c)
	}
	return mask.Replace(s)
}

// lines writes fields as `Name: value`; a value that is not text as `Name:: "…"`.
// Date is left out.
func lines(fields []*fetchsvcv1.Field, mask *strings.Replacer) (out []string) {
	for _, f := range fields {
		switch {
		case f.GetName() == "Date":
		case len(f.GetRawValue()) > 0:
			out = append(out, fmt.Sprintf("%s:: %q", f.GetName(), f.GetRawValue()))
		default:
			out = append(out, mask.Replace(f.GetName()+": "+f.GetValue()))
		}
	}
	return out
}

func drop(lines []string, name string) (out []string) {
	for _, l := range lines {
		if !strings.HasPrefix(l, name+": ") {
			out = append(out, l)
		}
	}
	return out
}

// ofEcho reads what an echo upstream saw.
func ofEcho(e testpeer.Echoed, mask *strings.Replacer) arrived {
	if len(e.RawHead) > 0 {
		return ofRaw(append(e.RawHead, e.RawBody...), mask)
	}
	a := arrived{Line: fmt.Sprintf("%s %s %s", e.Method, e.RequestURI, e.Proto), Body: digest(mask.Replace(string(e.Body)))}
	a.Header = append(a.Header, mask.Replace("Host: "+e.Host))
	for _, f := range e.Header {
		a.Header = append(a.Header, mask.Replace(f.Name+": "+f.Value))
	}
	return a
}

// ofRaw reads a request's bytes.
func ofRaw(b []byte, mask *strings.Replacer) arrived {
	head, body, _ := strings.Cut(string(b), "\r\n\r\n")
	line, rest, _ := strings.Cut(head, "\r\n")
	a := arrived{Line: mask.Replace(line), Body: digest(body)}
	if len(body) <= large {
		a.Body = mask.Replace(body)
	}
	if rest != "" {
		a.Header = strings.Split(mask.Replace(rest), "\r\n")
	}
	return a
}

// large is the size above which a body is compared by its digest.
const large = 64 << 10

// digest is s itself, or what tells a large one from others.
func digest(s string) string {
	if len(s) <= large {
		return s
	}
	return fmt.Sprintf("%d bytes with SHA-256 %x", len(s), sha256.Sum256([]byte(s)))
}
