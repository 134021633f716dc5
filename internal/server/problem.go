package server

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// problem is an error as REST tells it: RFC 9457, with the whole detail.
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
	RetryAfter     string            `json:"retry_after,omitempty"`
	UpstreamStatus int               `json:"upstream_status,omitempty"`
	TraceID        string            `json:"trace_id,omitempty"`
	Errors         []fieldProblem    `json:"errors,omitempty"`
	Attempts       []json.RawMessage `json:"attempts,omitempty"`
	History        []json.RawMessage `json:"history,omitempty"`
}

type fieldProblem struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// errorsPage is where each reason is explained.
const errorsPage = "https://github.com/fetchsvc/fetchsvc/blob/main/docs/errors.md#"

// newProblem writes f from the table that gRPC's status comes from too.
func newProblem(f *failure) problem {
	r := rowOf(f.fault.Kind)
	p := problem{
		Type: errorsPage + strings.ToLower(string(f.fault.Kind)), Title: r.title, Status: r.http, Detail: strings.ToValidUTF8(f.fault.Message, "\uFFFD"),
		Reason: string(f.fault.Kind), Source: string(r.source), ProxyError: r.proxyError,
		SafeToRetry: f.fault.SafeToRetry, GRPCCode: codeNames[codeOf(f.fault)], UpstreamStatus: f.fault.UpstreamStatus,
		TraceID: f.trace,
	}
	if d := f.fault.RetryAfter; d > 0 {
		p.RetryAfter = strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
	}
	for _, v := range f.fault.Violations {
		p.Errors = append(p.Errors, fieldProblem{v.Field, v.Reason})
	}
	if f.tried != nil {
		ledger := f.ledger()
		for _, a := range ledger.Attempts {
			p.Attempts = append(p.Attempts, rawJSON(a))
		}
		for _, h := range ledger.History {
			p.History = append(p.History, rawJSON(h))
		}
	}
	return p
}

func rawJSON(m proto.Message) json.RawMessage {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return json.RawMessage("null")
	}
	return text
}

// writeProblem answers with err. Beside the body it says the same to machines
// that read headers: Proxy-Status (RFC 9209) and Retry-After (RFC 9110).
func writeProblem(w http.ResponseWriter, err error) {
	f := asFailure(err)
	p := newProblem(f)
	body, marshalErr := json.Marshal(p)
	if marshalErr != nil {
		body = []byte(`{"title":"A defect of fetchsvc","status":500}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Proxy-Status", proxyStatus(p))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if f.fault.Kind == fault.Unauthenticated {
		h.Set("WWW-Authenticate", `Bearer realm="fetchsvc"`) // RFC 9110 section 15.5.2, RFC 6750 section 3
	}
	if d := f.fault.RetryAfter; d > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(d.Seconds()))))
	}
	body = append(body, '\n')
	h.Set("Content-Length", strconv.Itoa(len(body))) // whole, also before the connection is at its end
	w.WriteHeader(p.Status)
	_, _ = w.Write(body)
}

// proxyStatus is one member of RFC 9209's list. The detail is a structured-field
// string: printable ASCII.
func proxyStatus(p problem) string {
	detail := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return '\''
		}
		return r
	}, clip(p.Detail, 200))
	s := "fetchsvc; error=" + p.ProxyError + `; details="` + strings.ReplaceAll(detail, "…", "...") + `"`
	if p.UpstreamStatus != 0 {
		s += "; received-status=" + strconv.Itoa(p.UpstreamStatus)
	}
	return s
}

// notFound and methodNotAllowed answer what no RPC has.
func notFound(w http.ResponseWriter, r *http.Request) {
	writeProblem(w, fault.Newf(fault.NotFound, "there is no %s; the API is described at /docs and /openapi.json", quote(r.URL.Path)))
}

func methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	allow := http.MethodPost
	if r.URL.Path == "/v1/upstreams" || r.URL.Path == "/v1/policy:snapshot" {
		allow = http.MethodGet
	}
	w.Header().Set("Allow", allow) // RFC 9110 section 15.5.6
	writeProblem(w, fault.Newf(fault.MethodNotAllowed, "%s does not take %s, but %s: see /docs", quote(r.URL.Path), quote(r.Method), allow))
}
