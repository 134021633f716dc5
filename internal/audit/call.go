package audit

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

// clipAt bounds the words that callers and peers choose.
const clipAt = 512

// FromCall is the entry of a call that the engine made or refused. What belongs to
// the door it came by is the caller's of this function to add.
func FromCall(f *fetch.Finished, now time.Time) *Entry {
	req, res := f.Request, f.Response
	e := &Entry{
		Time: now.UTC(), Decision: Allowed, Outcome: Answered,
		Caller: req.Caller, Method: clip(req.Method), URL: clip(req.URL.Place()),
		Upstream: f.Upstream, Route: f.Route, Policy: f.Generation,
		UserAgent: clip(req.Header.Get("User-Agent")), RequestType: mediaType(req.Header),
		Status: res.Status, Redirects: len(res.History), Attempts: len(res.Attempts),
		BytesSent: res.BytesSent, BytesReceived: res.BytesReceived, Duration: milliseconds(res.Elapsed),
	}
	if res.Header != nil {
		e.ResponseType = mediaType(res.Header)
	}
	if len(res.History) > 0 && res.Status != 0 {
		e.Final = clip(res.URL.Place())
	}
	if f.Reported != "" {
		e.Decision, e.Reason, e.Rule = Reported, clip(f.Reported), f.ReportedRule
	}
	if f.Err != nil {
		e.Decision, e.Outcome, e.Reason = decision(f.Err.Kind, e.Decision), string(f.Err.Kind), clip(f.Err.Message)
		e.Rule = cmp.Or(f.Err.RefusedBy(), e.Rule)
	}
	e.attempts(res.Attempts)
	return e
}

// attempts sums up the ledger.
func (e *Entry) attempts(all []*fetch.Attempt) {
	for _, a := range all {
		e.Waited += milliseconds(a.Wait)
		if a.Address != "" && !slices.Contains(e.Addresses, a.Address) {
			e.Addresses = append(e.Addresses, a.Address)
		}
		if a.Proxy != "" {
			e.Proxy = a.Proxy
		}
		if a.Credential != "" {
			e.Credential = a.Credential
		}
		if a.Stopped != "" {
			e.Stopped, _, _ = strings.Cut(a.Stopped, ":")
		}
		if e.Status == 0 {
			e.Status = a.Status
		}
	}
}

// FromRefusal is the entry of a call that never came to the engine.
func FromRefusal(f *fault.Error, now time.Time) *Entry {
	return &Entry{Time: now.UTC(), Decision: decision(f.Kind, Invalid), Outcome: string(f.Kind), Reason: clip(f.Message), Rule: f.RefusedBy()}
}

// decision is the word for a failure; otherwise stands for those that are no
// refusal.
func decision(k fault.Kind, otherwise string) string {
	if k.Denial() {
		return Denied
	}
	switch k {
	case fault.InvalidRequest, fault.RequestTooLarge:
		return Invalid
	}
	return otherwise
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}

// clip keeps what others chose short and printable.
func clip(s string) string {
	if len(s) > clipAt {
		s = s[:clipAt] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// mediaType is what h says of its content, without parameters: a peer may put there
// what it likes, such as what it was sent.
func mediaType(h http.Header) string {
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return clip(strings.TrimSpace(kind))
}
