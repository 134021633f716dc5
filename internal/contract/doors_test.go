package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// door makes one call and says what came of it.
type door func(t *testing.T, in *fetchsvcv1.FetchRequest, mask *strings.Replacer) *answer

// overGRPC calls as a gRPC client does.
func (w *world) overGRPC(t *testing.T, in *fetchsvcv1.FetchRequest, mask *strings.Replacer) *answer {
	t.Helper()
	res, err := w.api.Fetch(t.Context(), in)
	if err == nil {
		return ofResponse(res, mask)
	}
	return ofStatus(err, mask)
}

// ofStatus reads a gRPC error with its details.
func ofStatus(err error, mask *strings.Replacer) *answer {
	a := &answer{}
	st, ok := status.FromError(err)
	if !ok {
		a.fault("the error is no gRPC status: %v", err)
		return a
	}
	a.Code, a.Message = codeName(st.Code().String()), mask.Replace(st.Message())
	size := 0
	for i, d := range st.Details() {
		size += proto.Size(st.Proto().GetDetails()[i])
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			a.Kind, a.Source, a.ProxyError = d.GetReason(), d.GetMetadata()["source"], d.GetMetadata()["proxy_error"]
			a.SafeToRetry = d.GetMetadata()["safe_to_retry"] == "true"
			a.UpstreamStatus = d.GetMetadata()["upstream_status"]
			if d.GetDomain() != "fetchsvc" {
				a.fault("ErrorInfo.domain is %q, want fetchsvc", d.GetDomain())
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				a.Violations = append(a.Violations, violation{v.GetField(), mask.Replace(v.GetDescription())})
			}
		case *errdetails.RetryInfo:
			a.RetryAfter = seconds(d.GetRetryDelay().AsDuration())
		case *fetchsvcv1.CallLedger:
			a.ledger(d.GetAttempts(), mask)
			for _, h := range d.GetHistory() {
				a.History = append(a.History, hopLine(h, mask))
			}
			a.shortened = d.GetShortened()
		default:
			a.fault("the status has a detail that nobody knows: %v", d)
		}
	}
	if size > 4<<10 {
		a.fault("the status details are %d bytes, want 4 KiB at most: older clients lose them", size)
	}
	return a
}

// codeName turns Go's DeadlineExceeded into the specification's DEADLINE_EXCEEDED.
func codeName(s string) string {
	if s == "Canceled" {
		return "CANCELLED"
	}
	return strings.ToUpper(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(s, "${1}_$2"))
}

// seconds is a wait as Retry-After has it: whole seconds, rounded up.
func seconds(d time.Duration) string {
	return fmt.Sprintf("%ds", (d+time.Second-1)/time.Second)
}

// problem is REST's error, as a client of its own making would read it.
type problem struct {
	Type           string            `json:"type"`
	Title          string            `json:"title"`
	Status         int               `json:"status"`
	Detail         string            `json:"detail"`
	Reason         string            `json:"reason"`
	Source         string            `json:"source"`
	ProxyError     string            `json:"proxy_error"`
	SafeToRetry    bool              `json:"safe_to_retry"`
	GRPCCode       string            `json:"grpc_code"`
	RetryAfter     string            `json:"retry_after"`
	UpstreamStatus int               `json:"upstream_status"`
	TraceID        string            `json:"trace_id"`
	Errors         []fieldError      `json:"errors"`
	Attempts       []json.RawMessage `json:"attempts"`
	History        []json.RawMessage `json:"history"`
}

type fieldError struct{ Field, Reason string }

// overREST calls as an HTTP client does.
func (w *world) overREST(t *testing.T, in *fetchsvcv1.FetchRequest, mask *strings.Replacer) *answer {
	t.Helper()
	body, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(in)
	if err != nil {
		t.Fatalf("the request does not encode as JSON: %v", err)
	}
	res, text := w.post(t, "/v1/fetch", string(body))
	if res.StatusCode != http.StatusOK {
		return ofProblem(res, text, mask)
	}
	var out fetchsvcv1.FetchResponse
	if err := protojson.Unmarshal(text, &out); err != nil {
		t.Fatalf("REST answered 200 with what is no FetchResponse: %v\n%.500s", err, text)
	}
	a := ofResponse(&out, mask)
	if got := res.Header.Get("Content-Type"); got != "application/json" {
		a.fault("REST's Content-Type is %q, want application/json", got)
	}
	if !bytes.Contains(text, []byte(`"http_version":`)) {
		a.fault("REST's JSON does not use the proto names: %.200s", text)
	}
	return a
}

// post sends a body to the REST door and reads the whole answer.
func (w *world) post(t *testing.T, path, body string) (*http.Response, []byte) {
	t.Helper()
	return w.do(t, http.MethodPost, path, body, nil)
}

func (w *world) do(t *testing.T, method, path, body string, header http.Header) (*http.Response, []byte) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, w.rest+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		r.Host = host
	}
	res, err := w.web.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: the answer broke off: %v", method, path, err)
	}
	return res, text
}

// proxyStatusForm is RFC 9209's one member, as fetchsvc writes it.
var proxyStatusForm = regexp.MustCompile(`^fetchsvc; error=([a-z_]+); details="([^"\\]*)"(?:; received-status=(\d+))?$`)

// ofProblem reads a REST error.
func ofProblem(res *http.Response, text []byte, mask *strings.Replacer) *answer {
	a := &answer{}
	var p problem
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		a.fault("the error body does not decode: %v\n%.500s", err, text)
		return a
	}
	a.Code, a.Message, a.Kind, a.Source, a.ProxyError = p.GRPCCode, mask.Replace(p.Detail), p.Reason, p.Source, p.ProxyError
	a.SafeToRetry = p.SafeToRetry
	if p.RetryAfter != "" {
		wait, err := time.ParseDuration(p.RetryAfter)
		a.RetryAfter = seconds(wait)
		if header := res.Header.Get("Retry-After"); err != nil || header+"s" != a.RetryAfter {
			a.fault("retry_after is %q (%v) and the header Retry-After %q", p.RetryAfter, err, header)
		}
	}
	if p.UpstreamStatus != 0 {
		a.UpstreamStatus = strconv.Itoa(p.UpstreamStatus)
	}
	for _, e := range p.Errors {
		a.Violations = append(a.Violations, violation{e.Field, mask.Replace(e.Reason)})
	}
	a.checkProblem(res, p)
	var attempts []*fetchsvcv1.Attempt
	for _, raw := range p.Attempts {
		var at fetchsvcv1.Attempt
		if err := protojson.Unmarshal(raw, &at); err != nil {
			a.fault("attempts: %v: %s", err, raw)
		}
		attempts = append(attempts, &at)
	}
	a.ledger(attempts, mask)
	for _, raw := range p.History {
		var h fetchsvcv1.Hop
		if err := protojson.Unmarshal(raw, &h); err != nil {
			a.fault("history: %v: %s", err, raw)
		}
		a.History = append(a.History, hopLine(&h, mask))
	}
	return a
}

// checkProblem holds what is said twice to be the same.
func (a *answer) checkProblem(res *http.Response, p problem) {
	if got := res.Header.Get("Content-Type"); got != "application/problem+json" {
		a.fault("Content-Type is %q, want application/problem+json", got)
	}
	if p.Status != res.StatusCode {
		a.fault("the problem says status %d, HTTP says %d", p.Status, res.StatusCode)
	}
	if want, ok := contractRows[p.Reason]; !ok || want.http != res.StatusCode {
		a.fault("%s is answered with HTTP %d, want %d", p.Reason, res.StatusCode, want.http)
	}
	if p.Type == "" || p.Title == "" || p.Detail == "" {
		a.fault("type %q, title %q and detail %q must all be there", p.Type, p.Title, p.Detail)
	}
	m := proxyStatusForm.FindStringSubmatch(res.Header.Get("Proxy-Status"))
	switch {
	case m == nil:
		a.fault("Proxy-Status is malformed: %s", res.Header.Get("Proxy-Status"))
	case m[1] != p.ProxyError || m[3] != a.UpstreamStatus:
		a.fault("Proxy-Status says %s, the problem says proxy_error %s and upstream_status %q", m[0], p.ProxyError, a.UpstreamStatus)
	}
}

// comparable gives both doors' answers without what they may differ in: gRPC
// shortens a long ledger and lists of violations to keep its status small.
func comparable(overGRPC, overREST *answer) (g, r answer) {
	g, r = *overGRPC, *overREST
	g.faults, r.faults, g.last, r.last = nil, nil, nil, nil
	if g.shortened {
		g.shortened = false
		kept := func(all, some []string) []string {
			return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return !slices.Contains(some, s) })
		}
		r.Attempts, r.History, r.Notes = kept(r.Attempts, g.Attempts), kept(r.History, g.History), kept(r.Notes, g.Notes)
	}
	for _, a := range []*answer{&g, &r} {
		a.Arrived.Header = slices.Clone(a.Arrived.Header)
		for i, line := range a.Arrived.Header {
			a.Arrived.Header[i] = madeKey.ReplaceAllString(line, ": a random UUID")
		}
	}
	if cut, ok := strings.CutSuffix(g.Message, "…"); ok && strings.HasPrefix(r.Message, cut) {
		r.Message = g.Message
	}
	if len(g.Violations) == 8 && len(r.Violations) > 8 {
		r.Violations = r.Violations[:8]
	}
	return g, r
}

var _ fmt.Stringer = (*answer)(nil)

// String is for failures.
func (a *answer) String() string {
	text, _ := json.MarshalIndent(a, "", "  ")
	return string(text)
}
