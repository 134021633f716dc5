package contract

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// testCase is one call and what must come of it, by whichever door.
type testCase struct {
	name string
	// peers are the upstreams; nil: an echo.
	peers setup
	// in is the FetchRequest as JSON; `{peer}` is the upstream's host:port. `as`
	// is BYTES unless it says otherwise.
	in string
	// edit finishes the request where JSON would be unwieldy.
	edit func(in *fetchsvcv1.FetchRequest)
	// uneven: how much of the body goes out depends on timing.
	uneven bool
	// also lists what else is wrong on the upstreams' side; nil: nothing is asked.
	also func(ps peers) []string
	want want
	// sent is what must reach the upstream last; nil: nothing is asked.
	sent *sent
}

// want is what must come of a call. Fields are exact and their zero value means
// what a plain answer has, unless the comment says otherwise.
type want struct {
	status  int    // 0: 200
	reason  string // "": the standard phrase, and none on HTTP/2; "none": none
	version string // "": 1.1
	// headers are lines, in order, of the response's headers of those names; a
	// name alone must be absent. Others may be there.
	headers []string
	content string // "": not asked
	charset string
	url     string // "": not asked
	history []string
	stopped string
	decoded string
	cut     bool // truncated

	trailers, links, cookies []string

	upstream string // "": open
	// received and sized are the bytes on the wire and decoded; 0: not asked.
	received, sized int64
	// attempts are all of them; nil: one for each hop, answered. For an error:
	// nil is none at all.
	attempts []string
	// notes are what the ledger says beside, as in answer.Notes.
	notes []string

	// kind makes it an error.
	kind           string
	retryAfter     string
	safe           bool
	says           []string // what the message must contain
	fields         []string // the violations' fields, in order
	manyFields     bool     // more than gRPC lists
	upstreamStatus string
}

// sent is what must reach the upstream.
type sent struct {
	line string // "": not asked
	// has are header lines that must be there, in order; not are names that
	// must not.
	has, not []string
	body     *string // nil: not asked
}

func body(s string) *string { return &s }

// run sends the case through both doors.
func (c testCase) run(t *testing.T, w *world) {
	grpc := c.call(t, w, w.overGRPC, "gRPC")
	rest := c.call(t, w, w.overREST, "REST")
	g, r := comparable(grpc, rest)
	if c.uneven {
		g.Sent, r.Sent = 0, 0
	}
	if diff := cmp.Diff(g, r, cmp.AllowUnexported(answer{}, arrived{})); diff != "" {
		t.Errorf("the doors differ (-gRPC +REST):\n%s", diff)
	}
}

// call sends the case through one door, to upstreams of its own.
func (c testCase) call(t *testing.T, w *world, through door, name string) *answer {
	t.Helper()
	set := c.peers
	if set == nil {
		set = echo
	}
	ps := set(t, w)
	in := c.request(t, ps)
	a := through(t, in, ps.mask())
	for _, p := range ps {
		if p.done != nil {
			p.done()
		}
	}
	if p := ps["peer"]; p.raw != nil {
		requests := p.raw.Requests()
		if len(requests) > 0 && a.Arrived.Line == "" {
			a.Arrived = ofRaw(requests[len(requests)-1], ps.mask())
		}
		if c.want.unreached() && p.raw.Conns() > 0 {
			a.fault("the upstream was reached by %d connections although nothing was tried", p.raw.Conns())
		}
	}
	a.checkLedger()
	a.checkSecrets()
	problems := append(a.faults, c.want.check(a, in)...)
	if c.also != nil {
		problems = append(problems, c.also(ps)...)
	}
	problems = append(problems, c.sent.check(a.Arrived)...)
	for _, p := range problems {
		t.Errorf("over %s: %s", name, p)
	}
	if len(problems) > 0 {
		t.Logf("over %s the answer was %s", name, a)
	}
	return a
}

func (c testCase) request(t *testing.T, ps peers) *fetchsvcv1.FetchRequest {
	t.Helper()
	in := &fetchsvcv1.FetchRequest{}
	if err := protojson.Unmarshal([]byte(ps.fill(c.in)), in); err != nil {
		t.Fatalf("the case's request: %v", err)
	}
	if c.edit != nil {
		c.edit(in)
	}
	if in.As == fetchsvcv1.FetchRequest_AS_UNSPECIFIED {
		in.As = fetchsvcv1.FetchRequest_BYTES // the doors' defaults differ
	}
	return in
}

// check lists how a falls short.
func (w want) check(a *answer, in *fetchsvcv1.FetchRequest) (problems []string) {
	equal := func(what string, got, want any) {
		if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
			problems = append(problems, fmt.Sprintf("%s is %q, want %q", what, g, w))
		}
	}
	list := func(what string, got, want []string) {
		if !slices.Equal(got, want) {
			problems = append(problems, fmt.Sprintf("%s are\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t")))
		}
	}
	if !a.shortened {
		list("notes", a.Notes, w.notes)
	}
	if w.kind != "" || a.Kind != "" || a.Code != "" {
		w.checkError(a, equal, list)
		return problems
	}
	w.defaults(in)
	equal("status", a.Status, w.status)
	equal("reason", a.Reason, w.reason)
	equal("http_version", a.Version, w.version)
	list("headers", ofNames(a.Headers, w.headers), present(w.headers))
	if w.content != "" {
		equal("content", a.Content, w.content)
	}
	equal("charset", a.Charset, w.charset)
	if w.url != "" {
		equal("url", a.URL, w.url)
	}
	list("history", a.History, w.history)
	equal("redirect_stopped", a.Stopped, w.stopped)
	equal("decoded", a.Decoded, w.decoded)
	equal("truncated", a.Truncated, w.cut)
	list("trailers", a.Trailers, w.trailers)
	list("links", a.Links, w.links)
	list("cookies", a.Cookies, w.cookies)
	equal("upstream", a.Upstream, w.upstream)
	if w.received != 0 {
		equal("bytes_received", a.Received, w.received)
	}
	if w.sized != 0 {
		equal("bytes_decoded", a.Sized, w.sized)
	}
	list("attempts", a.Attempts, w.attempts)
	return problems
}

// defaults fills in what a plain answer has.
func (w *want) defaults(in *fetchsvcv1.FetchRequest) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if w.version == "" {
		w.version = "1.1"
	}
	if w.reason == "" && w.version != "2" {
		w.reason = http.StatusText(w.status)
	} else if w.reason == "none" {
		w.reason = ""
	}
	if w.upstream == "" {
		w.upstream = "open"
	}
	if w.attempts == nil && len(w.history) == 0 {
		method := in.GetMethod()
		if method == "" {
			method = http.MethodGet
		}
		w.attempts = []string{fmt.Sprintf("FIRST %s ANSWERED %d", method, w.status)}
	}
}

func (w want) checkError(a *answer, equal func(string, any, any), list func(string, []string, []string)) {
	row := contractRows[w.kind]
	code := row.code
	if n := len(w.attempts); code == "UNAVAILABLE" && n > 0 && !strings.Contains(w.attempts[n-1], "UNSENT") {
		code = "UNKNOWN" // a mesh would send UNAVAILABLE again, unasked
	}
	equal("reason", a.Kind, w.kind)
	equal("gRPC code", a.Code, code)
	equal("source", a.Source, row.source)
	equal("proxy_error", a.ProxyError, row.proxy)
	equal("safe_to_retry", a.SafeToRetry, w.safe)
	equal("upstream_status", a.UpstreamStatus, w.upstreamStatus)
	equal("retry_after", a.RetryAfter, w.retryAfter)
	if a.shortened {
		list("the last attempt", a.Attempts[max(len(a.Attempts)-1, 0):], w.attempts[max(len(w.attempts)-1, 0):])
	} else {
		list("attempts", a.Attempts, w.attempts)
		list("history", a.History, withoutLocation(w.history))
	}
	var fields []string
	for _, v := range a.Violations {
		fields = append(fields, v.Field)
		if v.Reason == "" {
			equal("the violation of "+v.Field, "empty", "a sentence")
		}
	}
	if w.manyFields {
		equal("there are 8 violations or more", len(fields) >= 8, true)
	} else {
		list("violations", fields, w.fields)
	}
	for _, s := range w.says {
		if !strings.Contains(a.Message, s) {
			equal("the message", a.Message, "… "+s+" …")
		}
	}
}

// withoutLocation is history as an error has it: what ends up in logs shows no
// Location, which may carry a code or a signature.
func withoutLocation(history []string) (out []string) {
	for _, h := range history {
		head, _, _ := strings.Cut(h, " -> ")
		out = append(out, head+" -> ")
	}
	return out
}

// ofNames gives the lines whose names wanted mentions; present those that are
// whole lines.
func ofNames(lines, wanted []string) (out []string) {
	for _, l := range lines {
		name, _, _ := strings.Cut(l, ":")
		if slices.ContainsFunc(wanted, func(s string) bool { n, _, _ := strings.Cut(s, ":"); return n == name }) {
			out = append(out, l)
		}
	}
	return out
}

func present(wanted []string) (out []string) {
	for _, s := range wanted {
		if strings.Contains(s, ":") {
			out = append(out, s)
		}
	}
	return out
}

// check lists how what arrived falls short.
func (s *sent) check(a arrived) (problems []string) {
	if s == nil {
		return nil
	}
	if s.line != "" && a.Line != s.line {
		problems = append(problems, fmt.Sprintf("the upstream got the line %q, want %q", a.Line, s.line))
	}
	at := 0
	for _, line := range s.has {
		i := slices.Index(a.Header[at:], line)
		if i < 0 {
			problems = append(problems, fmt.Sprintf("the upstream got no header %q (or not in this order)", line))
			continue
		}
		at += i + 1
	}
	for _, name := range s.not {
		for _, l := range a.Header {
			if n, _, _ := strings.Cut(l, ":"); strings.EqualFold(n, name) {
				problems = append(problems, fmt.Sprintf("the upstream got the header %q, which must not arrive", l))
			}
		}
	}
	if s.body != nil && a.Body != digest(*s.body) {
		problems = append(problems, fmt.Sprintf("the upstream got the body %q, want %q", a.Body, *s.body))
	}
	return problems
}

// unreached says that the upstream must not even see a connection.
func (w want) unreached() bool {
	return w.kind != "" && len(w.attempts) == 0 || w.kind == "ADDRESS_DENIED" && len(w.attempts) == 1
}
