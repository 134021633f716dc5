package streamtest

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// outcome is what a caller got of a stream, in one form for all doors.
type outcome struct {
	Head *head // nil: none came
	// Body are the chunks together; Lines and Events stand for them under a
	// framing.
	Body          string
	Lines, Events []string
	End           *tail    // nil: none came
	Fail          *failure // nil: the stream ended well

	// odd is what no stream may do.
	odd []string
}

// head is what the message `head` says.
type head struct {
	Status                          int32
	Version                         string
	Headers                         []string
	URL, Decoded, Upstream, Stopped string
	History                         []string
	sent, received                  int64
	attempts                        int
	truncated                       bool
}

// tail is what the message `end` says.
type tail struct {
	Trailers                []string
	Sent, Received, Decoded int64
	Truncated               bool
	Attempts                []string
}

func (o *outcome) faultf(format string, args ...any) {
	o.odd = append(o.odd, fmt.Sprintf(format, args...))
}

// collect receives to the end. seen, if any, is called for every message.
func collect(s stream, mask *strings.Replacer, seen func(*fetchsvcv1.StreamResponse)) *outcome {
	o := &outcome{}
	var body strings.Builder
	for {
		m, err := s.recv()
		if err != nil {
			o.Body = body.String()
			o.finish(err, mask)
			return o
		}
		if o.End != nil {
			o.faultf("behind `end` comes %v", m)
		}
		if _, first := m.GetMessage().(*fetchsvcv1.StreamResponse_Head); first != (o.Head == nil) {
			o.faultf("`head` must come first and once; now comes %v", m)
		}
		switch m := m.GetMessage().(type) {
		case *fetchsvcv1.StreamResponse_Head:
			o.Head = ofHead(m.Head, mask)
		case *fetchsvcv1.StreamResponse_Chunk:
			if len(m.Chunk) == 0 {
				o.faultf("a chunk is empty")
			}
			body.Write(m.Chunk)
		case *fetchsvcv1.StreamResponse_Line:
			o.Lines = append(o.Lines, lineOf(m.Line))
		case *fetchsvcv1.StreamResponse_Event:
			o.Events = append(o.Events, eventOf(m.Event))
		case *fetchsvcv1.StreamResponse_End:
			o.End = &tail{
				Trailers: fieldLines(m.End.GetTrailers()), Sent: m.End.GetBytesSent(), Received: m.End.GetBytesReceived(),
				Decoded: m.End.GetBytesDecoded(), Truncated: m.End.GetTruncated(), Attempts: attemptLines(m.End.GetAttempts()),
			}
			if m.End.GetElapsed().AsDuration() <= 0 {
				o.faultf("`end` says that it took %v", m.End.GetElapsed())
			}
		default:
			o.faultf("a message is of no kind: %v", m)
		}
		if seen != nil {
			seen(m)
		}
	}
}

// finish reads how the stream ended.
func (o *outcome) finish(err error, mask *strings.Replacer) {
	if err == io.EOF {
		if o.End == nil {
			o.faultf("the stream ended well and without `end`")
		}
		return
	}
	if !errors.As(err, &o.Fail) {
		o.faultf("the stream failed oddly: %v", err)
		return
	}
	if o.End != nil {
		o.faultf("the stream failed behind `end`: %v", err)
	}
	o.odd = append(o.odd, o.Fail.odd...)
	o.Fail.odd = nil
	o.Fail.Message = mask.Replace(o.Fail.Message)
}

func ofHead(r *fetchsvcv1.FetchResponse, mask *strings.Replacer) *head {
	h := &head{
		Status: r.GetStatus(), Version: r.GetHttpVersion(), Headers: fieldLines(r.GetHeaders()), URL: mask.Replace(r.GetUrl()),
		Decoded: r.GetDecoded(), Upstream: r.GetUpstream(), Stopped: r.GetRedirectStopped(),
		sent: r.GetBytesSent(), received: r.GetBytesReceived(), attempts: len(r.GetAttempts()), truncated: r.GetTruncated(),
	}
	for _, hop := range r.GetHistory() {
		h.History = append(h.History, fmt.Sprintf("%s %d -> %s", hop.GetMethod(), hop.GetStatus(), mask.Replace(hop.GetLocation())))
	}
	return h
}

// fieldLines writes fields as `Name: value`, without Date.
func fieldLines(fields []*fetchsvcv1.Field) (out []string) {
	for _, f := range fields {
		if f.GetName() != "Date" {
			out = append(out, f.GetName()+": "+f.GetValue())
		}
	}
	return out
}

func lineOf(l *fetchsvcv1.Line) string {
	if raw, ok := l.GetContent().(*fetchsvcv1.Line_Raw); ok {
		return fmt.Sprintf("raw %q", raw.Raw)
	}
	return fmt.Sprintf("%q", l.GetText())
}

// eventOf writes an event as `type data`, and its id and retry if they are set.
func eventOf(e *fetchsvcv1.Event) string {
	s := fmt.Sprintf("%q %q", e.GetEvent(), e.GetData())
	if e.Id != nil {
		s += fmt.Sprintf(" id %q", e.GetId())
	}
	if e.Retry != nil {
		s += fmt.Sprint(" retry ", e.GetRetry())
	}
	return s
}

// String is for failures.
func (o *outcome) String() string {
	short := *o
	short.Body = brief(o.Body)
	text, _ := json.MarshalIndent(short, "", "  ")
	return string(text)
}

// brief is s, or what tells a large one from others.
func brief(s string) string {
	if len(s) <= 1<<10 {
		return s
	}
	return fmt.Sprintf("%d bytes with SHA-256 %x", len(s), sha256.Sum256([]byte(s)))
}
