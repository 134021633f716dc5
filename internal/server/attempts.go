package server

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

// attemptsProto writes the ledger, redacted.
func attemptsProto(in []*fetch.Attempt) []*fetchsvcv1.Attempt {
	out := make([]*fetchsvcv1.Attempt, len(in))
	slabs := make([]attemptSlab, len(in))
	for i, a := range in {
		out[i] = slabs[i].fill(a)
	}
	return out
}

// attemptSlab is one line of the ledger with all its parts, so that it costs one
// allocation and not a dozen: every call has one.
type attemptSlab struct {
	attempt   fetchsvcv1.Attempt
	timings   fetchsvcv1.Timings
	durations [8]durationpb.Duration
	host      fetchsvcv1.Field
}

func (s *attemptSlab) fill(a *fetch.Attempt) *fetchsvcv1.Attempt {
	out := &s.attempt
	out.Number, out.Hop, out.Reason = int32(a.Number), int32(a.Hop), reasons[a.Reason]
	out.Method, out.Url, out.Headers = a.Method, a.URL.Redacted(), s.sentHeaders(a)
	out.Address, out.ConnectionReused, out.HttpVersion = a.Address, a.Reused, a.Proto
	out.Timings, out.Wire, out.Status = s.fillTimings(&a.Timings), wires[a.Wire], int32(a.Status)
	out.BytesSent, out.BytesReceived, out.Scrubbed = a.BytesSent, a.BytesReceived, int32(a.Scrubbed)
	out.WaitReason, out.Stopped, out.Credential, out.Proxy = a.WaitReason, a.Stopped, a.Credential, a.Proxy
	if a.Wait > 0 {
		out.Wait = durationpb.New(a.Wait)
	}
	if a.Err != nil {
		out.Error = &fetchsvcv1.AttemptError{Reason: string(a.Err.Kind), Message: strings.ToValidUTF8(a.Err.Message, "\uFFFD")}
	}
	return out
}

// sentHeaders are those of a, with what net/http writes itself in front.
func (s *attemptSlab) sentHeaders(a *fetch.Attempt) []*fetchsvcv1.Field {
	if a.Header == nil {
		return nil
	}
	out := make([]*fetchsvcv1.Field, 0, len(a.Header)+3)
	s.host.Name, s.host.Value = "Host", cmp.Or(a.Host, a.URL.HostPort())
	out = append(out, &s.host)
	switch {
	case a.Length > 0 || a.Length == 0 && sendsZeroLength(a.Method):
		out = append(out, &fetchsvcv1.Field{Name: "Content-Length", Value: strconv.FormatInt(a.Length, 10)})
	case a.Length < 0 && a.Proto != "2":
		out = append(out, &fetchsvcv1.Field{Name: "Transfer-Encoding", Value: "chunked"})
	}
	return append(out, headerFields(a.Header, func(name string) bool {
		return secretHeader(name) || slices.Contains(a.Secret, name)
	})...)
}

// sendsZeroLength: RFC 9110 section 8.6 wants a length where the method has a
// meaning for a body.
func sendsZeroLength(method string) bool {
	return method == "POST" || method == "PUT" || method == "PATCH"
}

var reasons = map[fetch.Reason]fetchsvcv1.Attempt_Reason{
	fetch.First:     fetchsvcv1.Attempt_FIRST,
	fetch.Again:     fetchsvcv1.Attempt_RETRY,
	fetch.Challenge: fetchsvcv1.Attempt_CHALLENGE,
	fetch.Resume:    fetchsvcv1.Attempt_RESUME,
	fetch.Resend:    fetchsvcv1.Attempt_RESEND,
}

var wires = map[fault.Wire]fetchsvcv1.Attempt_Wire{
	fault.Unsent:         fetchsvcv1.Attempt_UNSENT,
	fault.MaybeProcessed: fetchsvcv1.Attempt_MAYBE_PROCESSED,
	fault.Answered:       fetchsvcv1.Attempt_ANSWERED,
}

func (s *attemptSlab) fillTimings(t *fetch.Timings) *fetchsvcv1.Timings {
	next := 0
	set := func(d time.Duration) *durationpb.Duration {
		if d == 0 {
			return nil
		}
		p := &s.durations[next]
		next++
		p.Seconds, p.Nanos = int64(d/time.Second), int32(d%time.Second)
		return p
	}
	out := &s.timings
	out.Dns, out.Connect, out.Tls, out.Connection = set(t.DNS), set(t.Connect), set(t.TLS), set(t.Connection)
	out.Send, out.FirstByte, out.Body, out.Total = set(t.Send), set(t.FirstByte), set(t.Body), set(t.Total)
	return out
}

// historyProto lists the redirects. In a response it is the caller's own data, as
// it came; in an error, which callers log, it is redacted.
func historyProto(in []fetch.Hop, redact bool) []*fetchsvcv1.Hop {
	if len(in) == 0 {
		return nil
	}
	out := make([]*fetchsvcv1.Hop, len(in))
	for i, h := range in {
		out[i] = &fetchsvcv1.Hop{
			Method: h.Method, Url: h.URL.String(), Status: int32(h.Status), Location: strings.ToValidUTF8(h.Location, "\uFFFD"),
			DroppedHeaders: h.Dropped,
		}
		if redact {
			out[i].Url, out[i].Location = h.URL.Redacted(), ""
			continue
		}
		out[i].Headers, out[i].Cookies = headerFields(h.Header, nil), cookiesProto(h.Header)
	}
	return out
}
