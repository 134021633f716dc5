package server

import (
	"strconv"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

// attemptsProto writes the ledger, redacted.
func attemptsProto(in []*fetch.Attempt) []*fetchsvcv1.Attempt {
	out := make([]*fetchsvcv1.Attempt, len(in))
	for i, a := range in {
		out[i] = &fetchsvcv1.Attempt{
			Number: int32(a.Number), Hop: int32(a.Hop), Reason: reasons[a.Reason],
			Method: a.Method, Url: a.URL.Redacted(), Headers: sentHeaders(a),
			Address: a.Address, ConnectionReused: a.Reused, HttpVersion: a.Proto,
			Timings: timingsProto(&a.Timings), Wire: wires[a.Wire], Status: int32(a.Status),
			BytesSent: a.BytesSent, BytesReceived: a.BytesReceived,
		}
		if a.Err != nil {
			out[i].Error = &fetchsvcv1.AttemptError{Reason: string(a.Err.Kind), Message: a.Err.Message}
		}
	}
	return out
}

// sentHeaders are those of a, with what net/http writes itself in front.
func sentHeaders(a *fetch.Attempt) []*fetchsvcv1.Field {
	if a.Header == nil {
		return nil
	}
	out := make([]*fetchsvcv1.Field, 0, len(a.Header)+3)
	out = append(out, &fetchsvcv1.Field{Name: "Host", Value: a.URL.HostPort()})
	switch {
	case a.Length > 0 || a.Length == 0 && sendsZeroLength(a.Method):
		out = append(out, &fetchsvcv1.Field{Name: "Content-Length", Value: strconv.FormatInt(a.Length, 10)})
	case a.Length < 0 && a.Proto != "2":
		out = append(out, &fetchsvcv1.Field{Name: "Transfer-Encoding", Value: "chunked"})
	}
	return append(out, headerFields(a.Header, true)...)
}

// sendsZeroLength: RFC 9110 section 8.6 wants a length where the method has a
// meaning for a body.
func sendsZeroLength(method string) bool {
	return method == "POST" || method == "PUT" || method == "PATCH"
}

var reasons = map[fetch.Reason]fetchsvcv1.Attempt_Reason{
	fetch.First:  fetchsvcv1.Attempt_FIRST,
	fetch.Retry:  fetchsvcv1.Attempt_RETRY,
	fetch.Resend: fetchsvcv1.Attempt_RESEND,
}

var wires = map[fault.Wire]fetchsvcv1.Attempt_Wire{
	fault.Unsent:         fetchsvcv1.Attempt_UNSENT,
	fault.MaybeProcessed: fetchsvcv1.Attempt_MAYBE_PROCESSED,
	fault.Answered:       fetchsvcv1.Attempt_ANSWERED,
}

func timingsProto(t *fetch.Timings) *fetchsvcv1.Timings {
	return &fetchsvcv1.Timings{
		Dns: duration(t.DNS), Connect: duration(t.Connect), Tls: duration(t.TLS), Connection: duration(t.Connection),
		Send: duration(t.Send), FirstByte: duration(t.FirstByte), Body: duration(t.Body), Total: duration(t.Total),
	}
}

func historyProto(in []fetch.Hop) []*fetchsvcv1.Hop {
	if len(in) == 0 {
		return nil
	}
	out := make([]*fetchsvcv1.Hop, len(in))
	for i, h := range in {
		out[i] = &fetchsvcv1.Hop{
			Method: h.Method, Url: h.URL.String(), Status: int32(h.Status), Location: newField("", h.Location).GetValue(),
			Headers: headerFields(h.Header, false), Cookies: cookiesProto(h.Header), DroppedHeaders: h.Dropped,
		}
	}
	return out
}
