package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// checkRequest is one line of --requests.
type checkRequest struct {
	Line   int    `json:"line"`
	Caller string `json:"caller"`
	Method string `json:"method"`
	// URL is for people: redacted.
	URL     string `json:"url"`
	message *fetchsvcv1.ExplainRequest
}

// requestChange is a request that two policies treat differently.
type requestChange struct {
	checkRequest
	Differences []difference `json:"differences"`
}

// difference is one thing that is not as it was: `decision`, `upstream`, `route`,
// `report`, or a setting's name.
type difference struct {
	What   string `json:"what"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// compare asks both policies about every request.
func (o *checkOptions) compare(ctx context.Context, found *checked, snapshot *policy.Snapshot, in io.Reader) error {
	old, err := policy.Load(o.against, policy.Options{}) // its secrets may be gone
	if err != nil {
		return exit{fmt.Errorf("--against %s: %w", o.against, err), exitOther}
	}
	requests, err := readRequests(ctx, o.requests, in)
	if err != nil {
		return exit{err, exitOther}
	}
	before, err := newExplainer(old)
	if err != nil {
		return exit{err, exitOther}
	}
	defer before.close()
	after, err := newExplainer(snapshot)
	if err != nil {
		return exit{err, exitOther}
	}
	defer after.close()
	found.Requests = len(requests)
	for _, r := range requests {
		was, err := r.explain(ctx, before)
		if err != nil {
			return exit{fmt.Errorf("%s:%d: %w", o.requests, r.Line, err), exitOther}
		}
		is, err := r.explain(ctx, after)
		if err != nil {
			return exit{fmt.Errorf("%s:%d: %w", o.requests, r.Line, err), exitOther}
		}
		if d := differences(was, is); len(d) > 0 {
			found.Changes = append(found.Changes, requestChange{r, d})
		}
	}
	return nil
}

// explain asks x. What no policy could make a call of is an error.
func (r checkRequest) explain(ctx context.Context, x *explainer) (*fetchsvcv1.ExplainResponse, error) {
	res, err := x.Explain(ctx, r.message)
	if err == nil && res.GetDeniedKind() == string(fault.InvalidRequest) { // it asks for no options
		err = errors.New(res.GetReason())
	}
	return res, err
}

// differences lists what is not the same. Where one of the two denies, the rest
// follows from that.
func differences(was, is *fetchsvcv1.ExplainResponse) []difference {
	var out []difference
	add := func(what, before, after string) {
		if before != after {
			out = append(out, difference{what, before, after})
		}
	}
	if !was.GetAllowed() || !is.GetAllowed() {
		if was.GetAllowed() != is.GetAllowed() || was.GetDeniedKind() != is.GetDeniedKind() {
			add("decision", decisionText(was), decisionText(is))
		}
		return out
	}
	add("upstream", was.GetUpstream(), is.GetUpstream())
	add("route", orNone(was.GetRoute()), orNone(is.GetRoute()))
	add("report", orNone(was.GetReported()), orNone(is.GetReported()))
	values := map[string]string{}
	for _, s := range was.GetSettings() {
		values[s.GetName()] = s.GetValue()
	}
	for _, s := range is.GetSettings() {
		add(s.GetName(), orNone(values[s.GetName()]), s.GetValue())
		delete(values, s.GetName())
	}
	for _, s := range was.GetSettings() {
		if before, gone := values[s.GetName()]; gone {
			add(s.GetName(), before, "none")
		}
	}
	return out
}

func decisionText(x *fetchsvcv1.ExplainResponse) string {
	if x.GetAllowed() {
		return "allowed by upstream " + strings.TrimSpace(x.GetUpstream()+" "+x.GetRoute())
	}
	return "denied: " + x.GetDeniedKind() + ": " + x.GetReason()
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// changed counts.
func (c *checked) changed() string {
	verb := "change"
	if len(c.Changes) == 1 {
		verb = "changes"
	}
	return fmt.Sprintf("%d of %s %s, %d as before", len(c.Changes), number(c.Requests, "request"), verb, c.Requests-len(c.Changes))
}

func (c requestChange) write(w io.Writer) {
	fmt.Fprintf(w, "\nline %d: %s %s by %s\n", c.Line, visible(c.Method), visible(c.URL), visible(c.Caller))
	const short = 80
	for _, d := range c.Differences {
		format := "  %s: %s → %s\n"
		if len(d.Before)+len(d.After) > short {
			format = "  %s\n    was %s\n    now %s\n"
		}
		fmt.Fprintf(w, format, d.What, visible(d.Before), visible(d.After))
	}
}

// maxRequestLine holds a URL of 64 KiB, and what stands beside it.
const maxRequestLine = 256 << 10

// readRequests reads the requests of a file, or of stdin, and tells of all bad
// lines at once.
func readRequests(ctx context.Context, name string, stdin io.Reader) ([]checkRequest, error) {
	return interruptible(ctx, func() ([]checkRequest, error) {
		if name == "-" {
			return parseRequests("stdin", stdin)
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return parseRequests(name, f)
	})
}

func parseRequests(name string, from io.Reader) ([]checkRequest, error) {
	const most = 20 // bad lines
	var out []checkRequest
	var bad []error
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxRequestLine)
	at := 1
	for ; lines.Scan() && len(bad) < most; at++ {
		text := bytes.TrimSpace(bytes.TrimPrefix(lines.Bytes(), []byte("\ufeff")))
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		r, err := parseRequest(text)
		if err != nil {
			bad = append(bad, fmt.Errorf("%s:%d: %w", name, at, err))
			continue
		}
		r.Line = at
		out = append(out, r)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		bad = append(bad, fmt.Errorf("%s:%d: the line is over 256 KiB, and a URL takes 64 KiB", name, at))
	case err != nil:
		return nil, err
	case len(bad) == 0 && len(out) == 0:
		return nil, fmt.Errorf("%s holds no request: write one on each line, such as GET https://example.com/ billing", name)
	}
	return out, errors.Join(bad...)
}

// parseRequest reads JSON, or `METHOD URL [caller]`.
func parseRequest(text []byte) (checkRequest, error) {
	var r checkRequest
	if text[0] == '{' {
		var in struct{ Caller, Method, URL string }
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&in); err != nil {
			return r, fmt.Errorf(`%s: write {"caller":"billing","method":"GET","url":"https://example.com/"}`, visible(strings.TrimPrefix(err.Error(), "json: ")))
		}
		if dec.More() {
			return r, errors.New("there is more behind the object: write one on each line")
		}
		r.Caller, r.Method, r.URL = in.Caller, in.Method, in.URL
	} else {
		words := strings.Fields(string(text))
		if len(words) < 2 || len(words) > 3 {
			return r, fmt.Errorf("%s: write METHOD URL [caller], such as GET https://example.com/ billing", number(len(words), "word"))
		}
		r.Method, r.URL = words[0], words[1]
		if len(words) == 3 {
			r.Caller = words[2]
		}
	}
	return r, r.prepare()
}

// prepare fills in what was left out, and makes the message.
func (r *checkRequest) prepare() error {
	if r.Method == "" {
		r.Method = "GET"
	}
	if r.Caller == "" {
		r.Caller = policy.Anonymous
	}
	u, err := target.Parse(r.URL)
	if err != nil {
		return fmt.Errorf("url: %w", err)
	}
	r.message = &fetchsvcv1.ExplainRequest{Request: &fetchsvcv1.FetchRequest{Method: r.Method, Url: r.URL}, Caller: r.Caller}
	r.URL = u.Redacted()
	return nil
}
