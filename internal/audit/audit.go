// Package audit writes one canonical line of JSON for each call: who, what, under
// which rule, with which outcome. The keys are always the same. Nothing secret can
// be in it: URLs come without their query, headers only by allow-list, and request
// and response bodies not at all.
//
// Refused and failed calls always have their line; answered ones may be sampled.
// The lines can be chained by SHA-256, so that a line that was changed, dropped or
// moved shows (chain.go).
package audit

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

// Entry is one line. The order of its fields is the order in the line.
type Entry struct {
	Time time.Time `json:"time"`
	// Message is `call`.
	Message string `json:"msg"`
	// Decision is `allowed`, `reported` (a rule in report mode would have refused
	// it), `denied` (by policy, the guard or for want of identity) or `invalid`.
	Decision string `json:"decision"`
	// Outcome is `answered` or the kind of failure, as callers see it.
	Outcome string `json:"outcome"`
	// Reason says why it was denied, reported or failed.
	Reason string `json:"reason"`

	Caller string `json:"caller"`
	// Proof is how the caller proved who it is.
	Proof string `json:"proof"`
	// Door is `grpc` or `rest`, empty for calls of the service's own; RPC is the
	// method called.
	Door string `json:"door"`
	RPC  string `json:"rpc"`

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
	// Sampled is the share of such lines that is written, 0 to 1.
	Sampled float64 `json:"sampled"`
}

// Config is what a Log is made of.
type Config struct {
	// W gets the lines, each in one Write. Required.
	W io.Writer
	// Sample is the share of answered calls that get a line, 0 to 1. Refused and
	// failed calls always do.
	Sample float64
	// Chain links the lines; Last is the hash of the line that the first one
	// follows, empty at the start of a file.
	Chain bool
	Last  string
	// Failed is told, once until it works again, that a line could not be written;
	// nil: nobody is.
	Failed func(err error)
}

// Log writes entries. Safe for concurrent use.
type Log struct {
	cfg Config

	mu     sync.Mutex
	last   string
	failed bool
}

// New makes a Log.
func New(cfg Config) *Log { return &Log{cfg: cfg, last: cfg.Last} }

// Write writes e, unless it is an answered call that the sample leaves out.
func (l *Log) Write(e *Entry) {
	e.Message, e.Sampled = "call", 1
	e.RPC = clip(e.RPC) // of an RPC that there is none of, its name is the caller's
	if e.Decision == Allowed && e.Outcome == Answered {
		if e.Sampled = l.cfg.Sample; rand.Float64() >= l.cfg.Sample {
			return
		}
	}
	if e.Addresses == nil {
		e.Addresses = []string{}
	}
	line, err := json.Marshal(e)
	if err != nil { // no field can fail
		line = fmt.Appendf(nil, `{"msg":"call","reason":%q}`, err)
	}
	l.put(line)
}

// put writes one line, linked to the one before where lines are chained.
func (l *Log) put(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	hash := ""
	if l.cfg.Chain {
		line, hash = link(line, l.last)
	}
	_, err := l.cfg.W.Write(append(line, '\n'))
	if err == nil && l.cfg.Chain {
		l.last = hash
	}
	if err != nil && !l.failed && l.cfg.Failed != nil {
		l.cfg.Failed(err)
	}
	l.failed = err != nil
}

// The words of Decision, and Outcome of a call that was answered.
const (
	Allowed  = "allowed"
	Reported = "reported"
	Denied   = "denied"
	Invalid  = "invalid"
	Answered = "answered"
)
