package server

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// domain is google.rpc.ErrorInfo.domain of every error.
const domain = "fetchsvc"

// failure is an RPC's error: a fault and what was tried. gRPC sees it as a
// status with details, shortened to what old clients can take; REST sees all.
type failure struct {
	fault *fault.Error
	// tried is nil where nothing was.
	tried *fetch.Response
	// over is the limit that the caller is over; nil: none.
	over *overLimit
	// trace is the id of the trace that has the call; empty: it has none.
	trace string
}

// in notes the trace that the failure is of.
func (f *failure) in(ctx context.Context) *failure {
	if t := telemetry.TraceFrom(ctx); t != nil {
		f.trace = t.ID.String()
	}
	return f
}

func (f *failure) Error() string { return f.fault.Error() }

func (f *failure) Unwrap() error { return f.fault }

// asFailure gives every error that leaves a handler a kind.
func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	var known *fault.Error
	if !errors.As(err, &known) {
		if st, ok := status.FromError(err); ok {
			return &failure{fault: fromStatus(st)}
		}
		switch {
		case errors.Is(err, context.Canceled):
			known = fault.Wrap(fault.Cancelled, err, "the caller cancelled the call")
		case errors.Is(err, context.DeadlineExceeded):
			known = fault.Wrap(fault.TotalTimeout, err, "the caller's deadline passed")
		default:
			known = fault.From(err)
		}
	}
	return &failure{fault: known}
}

// fromStatus names a status that gRPC's own machinery made.
func fromStatus(st *status.Status) *fault.Error {
	kind := fault.Internal
	switch st.Code() {
	case codes.InvalidArgument:
		kind = fault.InvalidRequest
	case codes.Unimplemented:
		kind = fault.Unimplemented
	case codes.ResourceExhausted:
		kind = fault.RequestTooLarge
	case codes.Canceled, codes.Unavailable: // of a connection that is gone, which clients can bring about as often as they like
		kind = fault.Cancelled
	case codes.DeadlineExceeded:
		kind = fault.TotalTimeout
	}
	if kind == fault.Internal {
		return fault.From(st.Err())
	}
	return fault.Wrap(kind, st.Err(), st.Message())
}

// mostDetails bounds all status details together. gRPC clients of a few years
// ago lose the whole status above it.
const mostDetails = 4 << 10

// GRPCStatus is how grpc-go learns the code and the details.
func (f *failure) GRPCStatus() *status.Status {
	message := clip(strings.ToValidUTF8(f.fault.Message, "\uFFFD"), 1<<10)
	st := status.New(codeOf(f.fault), message)
	details := []protoadapt.MessageV1{protoadapt.MessageV1Of(f.info())}
	if f.fault.RetryAfter > 0 {
		details = append(details, protoadapt.MessageV1Of(&errdetails.RetryInfo{RetryDelay: durationpb.New(f.fault.RetryAfter)}))
	}
	if f.over != nil {
		details = append(details, protoadapt.MessageV1Of(f.over.quotaFailure()))
	}
	if len(f.fault.Violations) > 0 {
		details = append(details, protoadapt.MessageV1Of(f.badRequest()))
	}
	if f.tried != nil && len(f.tried.Attempts) > 0 {
		room := mostDetails - 256 - len(message) // the envelopes, and what goes beside them
		for _, d := range details {
			room -= proto.Size(protoadapt.MessageV2Of(d))
		}
		if ledger := shorten(f.ledger(), room); ledger != nil {
			details = append(details, protoadapt.MessageV1Of(ledger))
		}
	}
	for ; len(details) > 0; details = details[:len(details)-1] {
		if with, err := st.WithDetails(details...); err == nil {
			return with
		}
	}
	return st
}

func (f *failure) info() *errdetails.ErrorInfo {
	r := rowOf(f.fault.Kind)
	info := &errdetails.ErrorInfo{Reason: string(f.fault.Kind), Domain: domain, Metadata: map[string]string{
		"source":        string(r.source),
		"proxy_error":   r.proxyError,
		"safe_to_retry": strconv.FormatBool(f.fault.SafeToRetry),
	}}
	if f.fault.UpstreamStatus != 0 {
		info.Metadata["upstream_status"] = strconv.Itoa(f.fault.UpstreamStatus)
	}
	if f.trace != "" {
		info.Metadata["trace_id"] = f.trace
	}
	return info
}

// badRequest lists the first violations; a caller mends those and sees the rest.
func (f *failure) badRequest() *errdetails.BadRequest {
	const most = 8
	br := &errdetails.BadRequest{}
	for _, v := range f.fault.Violations[:min(len(f.fault.Violations), most)] {
		br.FieldViolations = append(br.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: clip(v.Field, 100), Description: clip(v.Reason, 250),
		})
	}
	return br
}

func (f *failure) ledger() *fetchsvcv1.CallLedger {
	return &fetchsvcv1.CallLedger{Attempts: attemptsProto(f.tried.Attempts), History: historyProto(f.tried.History, true)}
}

// shorten cuts a ledger until it fits room: first headers, then long URLs, then
// the attempts in the middle. Nil: nothing of it fits.
func shorten(l *fetchsvcv1.CallLedger, room int) *fetchsvcv1.CallLedger {
	steps := []func(){
		func() {
			for _, a := range l.Attempts {
				a.Headers = nil
			}
		},
		func() {
			for _, a := range l.Attempts {
				a.Url = clip(a.Url, 120)
				if a.Error != nil {
					a.Error.Message = clip(a.Error.Message, 120)
				}
			}
			for _, h := range l.History {
				h.Url = clip(h.Url, 120)
			}
		},
		func() { l.History = l.History[:0] },
		func() {
			if n := len(l.Attempts); n > 4 {
				l.Attempts = append(l.Attempts[:1:1], l.Attempts[n-3:]...)
			}
		},
		func() { l.Attempts = l.Attempts[max(len(l.Attempts)-1, 0):] },
	}
	for _, step := range steps {
		if proto.Size(l) <= room {
			return l
		}
		step()
		l.Shortened = true
	}
	if proto.Size(l) > room {
		return nil
	}
	return l
}

// clip cuts s to at most n bytes at a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
