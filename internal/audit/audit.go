// Package audit writes one canonical line of JSON for each call: who, what, under
// which rule, with which outcome. The keys are always the same. Nothing secret can
// be in it: URLs come without their query, headers only by allow-list, and request
// and response bodies not at all.
//
// Refused and failed calls always have their line; answered ones may be sampled,
// and floods of calls that never came to policy are counted (flood.go). The lines
// can be chained by SHA-256, so that a line that was changed, dropped or moved
// shows (chain.go).
package audit

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Entry is one line. The order of its fields is the order in the line.
type Entry struct {
	Time time.Time `json:"time"`
	// Message is `call`, or `log` of a line about the log itself, which has a Time
	// and a Reason and no more.
	Message string `json:"msg"`
	// Decision is `allowed`, `reported` (a rule in report mode would have refused
	// it), `denied` (by policy, the guard, a limit of the caller, for want of identity
	// or because the service stops) or `invalid`.
	Decision string `json:"decision"`
	// Outcome is `answered` or the kind of failure, as callers see it.
	Outcome string `json:"outcome"`
	// Reason says why it was denied, reported or failed.
	Reason string `json:"reason"`
	// Rule names the rule of the policy that refused or would have refused it, or
	// another gate that did.
	Rule string `json:"rule"`

	Caller string `json:"caller"`
	// Proof is how the caller proved who it is.
	Proof string `json:"proof"`
	// Door is `grpc` or `rest`, empty for calls of the service's own; RPC is the
	// method called.
	Door string `json:"door"`
	RPC  string `json:"rpc"`
	// Peer is the address that the call came from, without its port; empty for
	// calls of the service's own, `*` where it stands for several.
	Peer string `json:"peer"`

	Method string `json:"method"`
	// URL has no query; Final is where the answer came from, if elsewhere.
	URL      string `json:"url"`
	Final    string `json:"final_url"`
	Upstream string `json:"upstream"`
	Route    string `json:"route"`
	// Policy is the generation in force when the call began.
	Policy int64 `json:"policy_generation"`

	Status    int `json:"status"`
	Redirects int `json:"redirects"`
	Attempts  int `json:"attempts"`
	// Stopped is why no further attempt was made.
	Stopped string `json:"retries_stopped"`
	// Addresses are those of the attempts, each once.
	Addresses  []string `json:"addresses"`
	Proxy      string   `json:"proxy"`
	Credential string   `json:"credential"`

	UserAgent    string `json:"user_agent"`
	RequestType  string `json:"request_content_type"`
	ResponseType string `json:"response_content_type"`

	BytesSent     int64 `json:"bytes_sent"`
	BytesReceived int64 `json:"bytes_received"`
	// Duration and Waited are in milliseconds; Waited is the part between attempts.
	Duration float64 `json:"duration_ms"`
	Waited   float64 `json:"waited_ms"`

	TraceID string `json:"trace_id"`
	SpanID  string `json:"span_id"`
	// Span is what those two name, for log records.
	Span trace.SpanContext `json:"-"`
	// Sampled is the share of such lines that is written, 0 to 1.
	Sampled float64 `json:"sampled"`
	// Suppressed is how many more calls like this one have no line of their own.
	Suppressed int64 `json:"suppressed"`
}

// Config is what a Log is made of.
type Config struct {
	// W gets the lines, several in one Write where calls end faster than it writes.
	// What it gives back counts: a line that does not fit in it whole is lost. The Log
	// does not close it. nil: there are no lines, and only Tell hears of calls.
	W io.Writer
	// Tell hears of each call that has a line, before it is written, and of a flood
	// what its line says. It must not block, and may read the entry while it is called.
	// nil: nobody hears.
	Tell func(*Entry)
	// Sample is the share of answered calls that get a line, 0 to 1. Refused and
	// failed calls always do.
	Sample float64
	// Chain links the lines; Past is what they follow, empty at the start of a log.
	Chain bool
	Past  Past
	// Failed is told that lines could not be written, once until they can be again:
	// then with nil and how many were lost meanwhile. nil: nobody is.
	Failed func(lost int64, err error)
}

// Past is what a log held when it was opened.
type Past struct {
	// Last is the hash of its last line; empty: there is none.
	Last string
	// Torn is what the log is to say of a line that a crash cut off; empty: none was.
	Torn string
}

// New makes a Log. Close it: it has a goroutine that writes.
func New(cfg Config) *Log {
	l := &Log{cfg: cfg, last: cfg.Past.Last, wake: make(chan struct{}, 1), over: make(chan struct{}), ended: make(chan struct{})}
	l.room, l.queue = sync.NewCond(&l.mu), newBatch()
	l.floods = newFloods()
	go l.run()
	if cfg.Past.Torn != "" {
		l.put(notice(cfg.Past.Torn))
	}
	return l
}

// Write writes e, unless it is an answered call that the sample leaves out.
func (l *Log) Write(e *Entry) {
	e.Sampled = 1
	if e.Decision == Allowed && e.Outcome == Answered {
		if e.Sampled = l.cfg.Sample; rand.Float64() >= l.cfg.Sample {
			return
		}
	}
	l.enter(e)
}

// Refuse writes e, of a call that never came to policy, unless so many like it
// came before that it is only counted (flood.go).
func (l *Log) Refuse(e *Entry) {
	e.Sampled = 1
	if l.floods.admit(e) {
		l.enter(e)
	}
}

// enter has e told and written.
func (l *Log) enter(e *Entry) {
	if line := l.line(e); line != nil {
		l.put(line)
	}
}

// line tells of e and gives its line; nil: lines are not written.
func (l *Log) line(e *Entry) []byte {
	e.Message = "call"
	e.RPC = clip(e.RPC) // of an RPC that there is none of, its name is the caller's
	if e.Addresses == nil {
		e.Addresses = []string{}
	}
	if l.cfg.Tell != nil {
		l.cfg.Tell(e)
	}
	if l.cfg.W == nil {
		return nil
	}
	return encode(e)
}

// encode gives the line of a call.
func encode(e *Entry) []byte {
	line, err := json.Marshal(e)
	if err != nil { // no field can fail
		line = fmt.Appendf(nil, `{"msg":"call","reason":%q}`, err)
	}
	return line
}

// notice gives a line of the log about itself.
func notice(reason string) []byte {
	line, err := json.Marshal(&Entry{Time: time.Now().UTC(), Message: "log", Reason: reason, Addresses: []string{}, Sampled: 1})
	if err != nil { // no field can fail
		return fmt.Appendf(nil, `{"msg":"log","reason":%q}`, reason)
	}
	return line
}

// The words of Decision, and Outcome of a call that was answered.
const (
	Allowed  = "allowed"
	Reported = "reported"
	Denied   = "denied"
	Invalid  = "invalid"
	Answered = "answered"
)
