package audit

import (
	"context"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/trace"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// RecordName is the event name of log records that are calls.
const RecordName = "fetchsvc.call"

// Records gives a Tell that hands each call to logger, which must not block.
func Records(logger log.Logger) func(*Entry) {
	return func(e *Entry) {
		logger.Emit(trace.ContextWithSpanContext(context.Background(), e.Span), e.record())
	}
}

// record is e with the line's keys as attributes, but for those that a record has a
// place of its own for. Words that are empty are left out.
func (e *Entry) record() (r log.Record) {
	r.SetEventName(RecordName)
	r.SetTimestamp(e.Time)
	severity := e.severity()
	r.SetSeverity(severity)
	r.SetSeverityText(severity.String())
	r.SetBody(attribute.StringValue(e.summary()))
	all := make([]attribute.KeyValue, 0, 34)
	for _, word := range [...]struct{ key, value string }{
		{"decision", e.Decision}, {"outcome", e.Outcome}, {"reason", e.Reason}, {"rule", e.Rule},
		{"caller", e.Caller}, {"proof", e.Proof}, {"door", e.Door}, {"rpc", e.RPC}, {"peer", e.Peer},
		{"method", e.Method}, {"url", e.URL}, {"final_url", e.Final}, {"upstream", e.Upstream}, {"route", e.Route},
		{"retries_stopped", e.Stopped}, {"proxy", e.Proxy}, {"credential", e.Credential}, {"user_agent", e.UserAgent},
		{"request_content_type", e.RequestType}, {"response_content_type", e.ResponseType},
	} {
		if word.value != "" {
			all = append(all, attribute.String(word.key, word.value))
		}
	}
	if len(e.Addresses) > 0 {
		all = append(all, attribute.StringSlice("addresses", e.Addresses))
	}
	r.AddAttributes(append(all,
		attribute.Int64("policy_generation", e.Policy), attribute.Int("status", e.Status), attribute.Int("redirects", e.Redirects), attribute.Int("attempts", e.Attempts),
		attribute.Int64("bytes_sent", e.BytesSent), attribute.Int64("bytes_received", e.BytesReceived),
		attribute.Float64("duration_ms", e.Duration), attribute.Float64("waited_ms", e.Waited),
		attribute.Float64("sampled", e.Sampled), attribute.Int64("suppressed", e.Suppressed))...)
	return r
}

// severity is ERROR of a call that should have been answered, WARN of one that was
// refused or that report mode would refuse, else INFO: callers may hang up as they like.
func (e *Entry) severity() log.Severity {
	switch {
	case e.Decision == Denied || e.Decision == Invalid:
		return log.SeverityWarn
	case e.Outcome != Answered && e.Outcome != string(fault.Cancelled):
		return log.SeverityError
	case e.Decision == Reported:
		return log.SeverityWarn
	}
	return log.SeverityInfo
}

// summary is a record's text, for people.
func (e *Entry) summary() string {
	what := e.RPC // of a call that never came to policy nothing else is known
	if e.URL != "" {
		what = e.Method + " " + e.URL
	}
	if e.Outcome == Answered {
		return what + ": " + strconv.Itoa(e.Status)
	}
	return what + ": " + e.Outcome
}
