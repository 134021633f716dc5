package streamtest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// testCase is one stream and what must come of it, by whichever door.
type testCase struct {
	name string
	// script is the upstream; or else peer starts one and gives its URL.
	script testpeer.Script
	peer   func(t *testing.T, w *world) (url string)
	// in is the FetchRequest as JSON; `{peer}` is the upstream's host:port.
	in string
	// upload sends what follows `start`; nil: nothing does, and the caller's side
	// is closed.
	upload func(up *uploader)
	want   want
	// sent judges what reached the upstream (scripts only).
	sent func(t *testing.T, s *testpeer.RawServer)
}

// want is what must come of a stream. Fields are exact and their zero value means
// what a plain stream has, unless the comment says otherwise.
type want struct {
	status  int      // 0: 200; noHead: the stream fails before it
	version string   // "": 1.1
	headers []string // lines that must be there
	// body is what arrives, of a failed stream too; anyBody: not asked.
	body          string
	lines, events []string
	decoded       string
	stopped       string
	history       []string

	// Of a stream that ends well:
	trailers  []string
	truncated bool
	sentBytes int64 // what `end` counts; anyBytes: not asked
	received  int64 // 0: as many as body has; anyBytes: not asked

	// Of one that fails:
	kind           string
	says           []string // what the message must contain
	fields         []string // the violations' fields
	safe           bool
	upstreamStatus string

	// attempts are all of them; nil: one, answered, and failed by kind if that is
	// what came.
	attempts []string
	untried  bool // there is no attempt at all
}

const (
	noHead   = -1
	anyBody  = "\x00any"
	anyBytes = -1
)

// run sends the case through every door.
func (c testCase) run(t *testing.T, w *world) {
	var first *outcome
	for _, d := range doors() {
		o := c.call(t, w, d)
		if t.Failed() {
			return
		}
		if first == nil {
			first = o
			continue
		}
		if diff := cmp.Diff(c.comparable(first), c.comparable(o), cmp.AllowUnexported(outcome{}, head{}, failure{})); diff != "" {
			t.Errorf("the doors differ (-gRPC +%s):\n%s", d.name, diff)
		}
	}
}

// comparable gives an outcome without what is not asked.
func (c testCase) comparable(o *outcome) outcome {
	out := *o
	out.odd = nil
	if o.Head != nil {
		h := *o.Head
		out.Head = &head{
			Status: h.Status, Version: h.Version, Headers: h.Headers, URL: h.URL, Decoded: h.Decoded,
			Upstream: h.Upstream, Stopped: h.Stopped, History: h.History,
		}
	}
	if c.want.body == anyBody || o.Lines != nil || o.Events != nil {
		out.Body = "" // and what was read ahead of a line or event counts as handed on
		if o.Fail != nil {
			f := *o.Fail
			f.Message, _, _ = strings.Cut(f.Message, " (")
			out.Fail = &f
		}
	}
	if o.End != nil {
		e := *o.End
		if c.want.sentBytes == anyBytes {
			e.Sent = 0
		}
		if c.want.received == anyBytes {
			e.Received = 0
		}
		out.End = &e
	}
	if o.Fail != nil && out.Fail == o.Fail {
		f := *o.Fail
		f.odd = nil
		out.Fail = &f
	} else if out.Fail != nil {
		out.Fail.odd = nil
	}
	return out
}

// call sends the case through one door, to an upstream of its own.
func (c testCase) call(t *testing.T, w *world, d door) *outcome {
	t.Helper()
	var raw *testpeer.RawServer
	var url string
	if c.script != nil {
		raw = testpeer.Raw(t, c.script)
		url = raw.URL
	} else {
		url = c.peer(t, w)
	}
	_, addr, _ := strings.Cut(url, "://")
	port := addr[strings.LastIndexByte(addr, ':'):]
	in := &fetchsvcv1.FetchRequest{}
	text := strings.NewReplacer("{peer}", addr, ":{port}", port).Replace(c.in)
	if text == "" {
		text = `{"url":"` + url + `"}`
	}
	if err := protojson.Unmarshal([]byte(text), in); err != nil {
		t.Fatalf("the case's request: %v", err)
	}
	s := d.open(t, w)
	up := newUploader(s, in, raw, c.upload)
	o := collect(s, strings.NewReplacer(addr, "{peer}", port, ":{port}"), up.saw)
	s.close()
	up.wait()
	problems := append(o.odd, c.want.check(o, in)...)
	for _, p := range problems {
		t.Errorf("over %s: %s", d.name, p)
	}
	if len(problems) > 0 {
		t.Logf("over %s the outcome was %s", d.name, o)
	}
	if raw != nil && c.sent != nil {
		c.sent(t, raw)
	}
	return o
}

// check lists how o falls short.
func (w want) check(o *outcome, in *fetchsvcv1.FetchRequest) (problems []string) {
	equal := func(what string, got, want any) {
		if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
			problems = append(problems, fmt.Sprintf("%s is %q, want %q", what, brief(g), brief(w)))
		}
	}
	list := func(what string, got, want []string) {
		if !slices.Equal(got, want) {
			problems = append(problems, fmt.Sprintf("%s are\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t")))
		}
	}
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.checkHead(o.Head, equal, list)
	if w.body != anyBody {
		equal("the body", o.Body, w.body)
	}
	list("lines", o.Lines, w.lines)
	list("events", o.Events, w.events)
	method := in.GetMethod()
	if method == "" {
		method = http.MethodGet
	}
	if w.attempts == nil && !w.untried {
		line := fmt.Sprintf("FIRST %s ANSWERED %d", method, w.status)
		if w.kind != "" {
			line += " " + w.kind
		}
		w.attempts = []string{line}
	}
	if w.kind != "" {
		w.checkFailure(o, equal, list)
		return problems
	}
	if o.Fail != nil {
		return append(problems, fmt.Sprintf("it failed: %v", o.Fail))
	}
	if o.End == nil {
		return append(problems, "there is no `end`")
	}
	list("trailers", o.End.Trailers, w.trailers)
	equal("truncated", o.End.Truncated, w.truncated)
	list("attempts", o.End.Attempts, w.attempts)
	if w.sentBytes != anyBytes {
		equal("bytes_sent", o.End.Sent, w.sentBytes)
	}
	if w.received == 0 && w.decoded == "" && !w.truncated && w.lines == nil && w.events == nil && w.body != anyBody {
		w.received = int64(len(w.body))
	}
	if w.received > 0 {
		equal("bytes_received", o.End.Received, w.received)
	}
	if w.lines == nil && w.events == nil {
		equal("bytes_decoded", o.End.Decoded, len(o.Body))
	}
	return problems
}

func (w want) checkHead(h *head, equal func(string, any, any), list func(string, []string, []string)) {
	if w.status == noHead || h == nil {
		equal("that there is a head", h != nil, w.status != noHead)
		return
	}
	if w.version == "" {
		w.version = "1.1"
	}
	equal("status", h.Status, w.status)
	equal("http_version", h.Version, w.version)
	for _, line := range w.headers {
		if !slices.Contains(h.Headers, line) {
			equal("the headers", h.Headers, "… "+line+" …")
		}
	}
	equal("decoded", h.Decoded, w.decoded)
	equal("redirect_stopped", h.Stopped, w.stopped)
	list("history", h.History, w.history)
	// These come with `end`.
	equal("the head's counts, attempts and truncated", fmt.Sprint(h.sent, h.received, h.attempts, h.truncated), "0 0 0 false")
}

func (w want) checkFailure(o *outcome, equal func(string, any, any), list func(string, []string, []string)) {
	f := o.Fail
	if f == nil {
		equal("the failure", "none", w.kind)
		return
	}
	if w.status != noHead {
		w.says = append(slices.Clone(w.says), "bytes of the body had been handed on)")
		if o.Lines == nil && o.Events == nil {
			w.says = append(w.says, fmt.Sprintf("(%d bytes", len(o.Body)))
		}
	}
	equal("reason", f.Kind, w.kind)
	equal("safe_to_retry", f.SafeToRetry, w.safe)
	equal("upstream_status", f.UpstreamStatus, w.upstreamStatus)
	list("attempts", f.Attempts, w.attempts)
	list("the violations' fields", f.Fields, w.fields)
	for _, s := range w.says {
		if !strings.Contains(f.Message, s) {
			equal("the message", f.Message, "… "+s+" …")
		}
	}
}
