package streamtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// failure is how a stream, or an item of a batch, failed, in one form for all
// doors.
type failure struct {
	Kind, Code, Source, ProxyError string
	SafeToRetry                    bool
	UpstreamStatus                 string
	Message                        string
	Fields                         []string // of the violations
	Attempts                       []string
	// odd is what no failure may have.
	odd []string
}

func (f *failure) Error() string {
	return fmt.Sprintf("%s (%s): %s; attempts %q; odd: %q", f.Kind, f.Code, f.Message, f.Attempts, f.odd)
}

func (f *failure) faultf(format string, args ...any) {
	f.odd = append(f.odd, fmt.Sprintf(format, args...))
}

// row is what the doors say of a kind: DESIGN's one table.
type row struct {
	code   string
	http   int
	proxy  string
	source string
}

var rows = map[string]row{
	"INVALID_REQUEST":           {"INVALID_ARGUMENT", 400, "http_request_error", "gateway"},
	"UPLOAD_INCOMPLETE":         {"INVALID_ARGUMENT", 400, "http_request_error", "gateway"},
	"UPLOAD_TOO_LONG":           {"INVALID_ARGUMENT", 400, "http_request_error", "gateway"},
	"REQUEST_TOO_LARGE":         {"RESOURCE_EXHAUSTED", 413, "http_request_error", "gateway"},
	"POLICY_DENIED":             {"PERMISSION_DENIED", 403, "http_request_denied", "gateway"},
	"CONNECTION_REFUSED":        {"UNAVAILABLE", 502, "connection_refused", "upstream"},
	"CONNECTION_RESET":          {"UNAVAILABLE", 502, "connection_terminated", "upstream"},
	"FIRST_BYTE_TIMEOUT":        {"DEADLINE_EXCEEDED", 504, "http_response_timeout", "upstream"},
	"IDLE_TIMEOUT":              {"DEADLINE_EXCEEDED", 504, "connection_read_timeout", "upstream"},
	"ATTEMPT_TIMEOUT":           {"DEADLINE_EXCEEDED", 504, "http_response_timeout", "upstream"},
	"TOTAL_TIMEOUT":             {"DEADLINE_EXCEEDED", 504, "http_response_timeout", "upstream"},
	"BODY_CUT_SHORT":            {"UNKNOWN", 502, "http_response_incomplete", "upstream"},
	"BAD_RESPONSE":              {"UNKNOWN", 502, "http_protocol_error", "upstream"},
	"RESPONSE_HEADER_TOO_LARGE": {"FAILED_PRECONDITION", 502, "http_response_header_section_size", "upstream"},
	"RESPONSE_TOO_LARGE":        {"FAILED_PRECONDITION", 502, "http_response_body_size", "upstream"},
	"BAD_CONTENT_CODING":        {"UNKNOWN", 502, "http_response_content_coding", "upstream"},
	"TOO_MANY_REDIRECTS":        {"FAILED_PRECONDITION", 502, "proxy_internal_response", "upstream"},
	"UPSTREAM_STATUS":           {"FAILED_PRECONDITION", 502, "proxy_internal_response", "upstream"},
	"CANCELLED":                 {"CANCELLED", 499, "proxy_internal_response", "gateway"},
}

// checkRow holds the failure to the table.
func (f *failure) checkRow() {
	r, ok := rows[f.Kind]
	if !ok {
		f.faultf("nobody expects the kind %q", f.Kind)
		return
	}
	if r.code == "UNAVAILABLE" {
		for _, at := range f.Attempts {
			if !strings.Contains(at, "UNSENT") {
				r.code = "UNKNOWN" // a mesh would send UNAVAILABLE again, unasked
			}
		}
	}
	if got, want := fmt.Sprint(f.Code, f.Source, f.ProxyError), fmt.Sprint(r.code, r.source, r.proxy); got != want {
		f.faultf("code, source and proxy_error are %s, want %s", got, want)
	}
}

// ofStatus reads a gRPC error.
func ofStatus(err error) error {
	st, ok := status.FromError(err)
	if !ok {
		return fmt.Errorf("the error is no gRPC status: %w", err)
	}
	return ofDetails(st)
}

func ofDetails(st *status.Status) *failure {
	f := &failure{Code: codeName(st.Code().String()), Message: st.Message()}
	size, informed := 0, false
	for i, d := range st.Details() {
		size += proto.Size(st.Proto().GetDetails()[i])
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			informed = d.GetDomain() == "fetchsvc"
			f.Kind, f.Source, f.ProxyError = d.GetReason(), d.GetMetadata()["source"], d.GetMetadata()["proxy_error"]
			f.SafeToRetry = d.GetMetadata()["safe_to_retry"] == "true"
			f.UpstreamStatus = d.GetMetadata()["upstream_status"]
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				f.Fields = append(f.Fields, v.GetField())
			}
		case *fetchsvcv1.CallLedger:
			f.Attempts = attemptLines(d.GetAttempts())
		default:
			f.faultf("the status has a detail that nobody knows: %v", d)
		}
	}
	if !informed {
		f.faultf("the status has no ErrorInfo of domain fetchsvc: %v", st)
	}
	if size > 4<<10 {
		f.faultf("the details are %d bytes, want 4 KiB at most", size)
	}
	f.checkRow()
	return f
}

// codeName turns Go's DeadlineExceeded into the specification's DEADLINE_EXCEEDED.
func codeName(s string) string {
	if s == "Canceled" {
		return "CANCELLED"
	}
	return strings.ToUpper(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(s, "${1}_$2"))
}

// problem is REST's error, as a client of its own making would read it.
type problem struct {
	Status         int               `json:"status"`
	Detail         string            `json:"detail"`
	Reason         string            `json:"reason"`
	Source         string            `json:"source"`
	ProxyError     string            `json:"proxy_error"`
	SafeToRetry    bool              `json:"safe_to_retry"`
	GRPCCode       string            `json:"grpc_code"`
	UpstreamStatus int               `json:"upstream_status"`
	Errors         []fieldError      `json:"errors"`
	Attempts       []json.RawMessage `json:"attempts"`
}

type fieldError struct{ Field, Reason string }

// ofLine reads the error of a last line.
func ofLine(text []byte) *failure {
	f := &failure{}
	var p problem
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&p); err != nil {
		f.faultf("the error does not decode: %v: %.500s", err, text)
		return f
	}
	f.Code, f.Message, f.Kind, f.Source, f.ProxyError = p.GRPCCode, p.Detail, p.Reason, p.Source, p.ProxyError
	f.SafeToRetry = p.SafeToRetry
	if p.UpstreamStatus != 0 {
		f.UpstreamStatus = strconv.Itoa(p.UpstreamStatus)
	}
	for _, e := range p.Errors {
		f.Fields = append(f.Fields, e.Field)
	}
	var attempts []*fetchsvcv1.Attempt
	for _, raw := range p.Attempts {
		at := &fetchsvcv1.Attempt{}
		if err := protojson.Unmarshal(raw, at); err != nil {
			f.faultf("attempts: %v: %s", err, raw)
		}
		attempts = append(attempts, at)
	}
	f.Attempts = attemptLines(attempts)
	if want := rows[f.Kind].http; p.Status != want {
		f.faultf("the problem says status %d, want %d", p.Status, want)
	}
	f.checkRow()
	return f
}

// ofProblem reads the error that stands for a whole answer.
func ofProblem(res *http.Response, text []byte) *failure {
	f := ofLine(text)
	if got := res.Header.Get("Content-Type"); got != "application/problem+json" {
		f.faultf("Content-Type is %q, want application/problem+json", got)
	}
	if want := rows[f.Kind].http; res.StatusCode != want {
		f.faultf("%s is answered with HTTP %d, want %d", f.Kind, res.StatusCode, want)
	}
	return f
}

// attemptLines are `REASON METHOD WIRE status` or `… KIND`.
func attemptLines(attempts []*fetchsvcv1.Attempt) (out []string) {
	for _, at := range attempts {
		ends := fmt.Sprint(at.GetStatus())
		if e := at.GetError(); e != nil {
			ends = e.GetReason()
			if at.GetStatus() != 0 {
				ends = fmt.Sprint(at.GetStatus(), " ", ends)
			}
		}
		line := strings.Join([]string{at.GetReason().String(), at.GetMethod(), at.GetWire().String(), ends}, " ")
		if at.GetHop() != 0 {
			line = fmt.Sprintf("hop %d %s", at.GetHop(), line)
		}
		out = append(out, line)
	}
	return out
}
