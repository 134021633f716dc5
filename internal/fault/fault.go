// Package fault names every way a call can end without a usable response.
//
// A failure is one [Error]: its [Kind] says what happened, its message is
// written for the caller, and its cause stays inside the process. Kinds know
// nothing of gRPC or HTTP; internal/server maps them to both from one table.
//
// Use it for failures of a call. Start-up and configuration errors are plain
// errors: nobody branches on them.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Wire says how much of a try reached the upstream, which is what decides
// whether the request may be sent again.
type Wire uint8

const (
	// Unsent: no byte of the request left this process; any method may be resent.
	Unsent Wire = iota
	// MaybeProcessed: some of it left and no answer came; only an idempotent
	// request (RFC 9110 section 9.2.2) may be resent.
	MaybeProcessed
	// Answered: a response head arrived.
	Answered
)

// String gives the word that the API and the logs use.
func (w Wire) String() string {
	switch w {
	case MaybeProcessed:
		return "maybe_processed"
	case Answered:
		return "answered"
	default:
		return "unsent"
	}
}

// Violation is one fault of a request: the field, what is wrong with it and
// what to write instead.
type Violation struct {
	// Field is the path in the API's own spelling, such as `headers[2].name`.
	Field string
	// Reason says what is wrong and how to fix it, in one sentence each.
	Reason string
}

// Error is a call's failure.
type Error struct {
	Kind Kind
	// Message is for the caller: no secret, no userinfo, no internals.
	Message string
	// Wire is what reached the upstream before the failure.
	Wire Wire
	// SafeToRetry says that sending the same call again cannot do its work twice.
	SafeToRetry bool
	// RetryAfter is how long to wait before that; 0 says nothing.
	RetryAfter time.Duration
	// Violations are the faults of the request; set for InvalidRequest.
	Violations []Violation
	// UpstreamStatus is the status of the answer that was refused
	// (fail_on_status), or 0.
	UpstreamStatus int
	// Rule is the rule of the policy that refused the call, in the policy's own words:
	// `deny.rules[2]`, `allow`, `paths`, `hosts`; empty: none did.
	Rule string

	cause error
}

// New makes an Error of kind with a message for the caller.
func New(kind Kind, message string) *Error {
	return &Error{Kind: kind, Message: message}
}

// Newf is New with a format. Arguments reach the caller.
func Newf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an Error of kind whose cause is kept for errors.Is, errors.As and
// the log, and is not shown to the caller.
func Wrap(kind Kind, cause error, message string) *Error {
	return &Error{Kind: kind, Message: message, cause: cause}
}

// Invalid makes an InvalidRequest for one field.
func Invalid(field, reason string) *Error {
	return InvalidAll([]Violation{{Field: field, Reason: reason}})
}

// Invalidf is Invalid with a format.
func Invalidf(field, format string, args ...any) *Error {
	return Invalid(field, fmt.Sprintf(format, args...))
}

// InvalidAll makes an InvalidRequest of all violations; there is at least one.
func InvalidAll(violations []Violation) *Error {
	var b strings.Builder
	for i, v := range violations {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(v.Field)
		b.WriteString(": ")
		b.WriteString(v.Reason)
	}
	return &Error{Kind: InvalidRequest, Message: b.String(), Violations: violations, SafeToRetry: false}
}

// Error gives the kind, the message and the cause: for logs, never for callers.
func (e *Error) Error() string {
	if e.cause != nil {
		return string(e.Kind) + ": " + e.Message + ": " + e.cause.Error()
	}
	return string(e.Kind) + ": " + e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is makes errors.Is(err, fault.DNSError) ask for a kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// From finds the Error in err, or wraps err as Internal: no failure leaves the
// engine without a kind.
func From(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Wrap(Internal, err, "an unexpected failure inside fetchsvc; the log has the details")
}

// RefusedBy names what refused the call: the rule of policy, or what stands in every
// way: `guard`, `grants`, `callers`, `limits.concurrent`. Empty: it was not refused.
func (e *Error) RefusedBy() string {
	if e.Rule != "" {
		return e.Rule
	}
	switch e.Kind {
	case AddressDenied:
		return "guard"
	case NotGranted:
		return "grants"
	case Unauthenticated:
		return "callers"
	case RateLimited:
		return "limits.per_second"
	case TooManyCalls:
		return "limits.concurrent"
	}
	return ""
}
