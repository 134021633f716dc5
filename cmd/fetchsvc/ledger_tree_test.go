package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

func fromJSON[M proto.Message](t *testing.T, m M, text string) M {
	t.Helper()
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	return m
}

// answeredCall went over a redirect to another host, was retried there, and
// came back over HTTP/2 with what a hostile server may put into a header.
func answeredCall(t *testing.T) *fetchsvcv1.FetchResponse {
	return fromJSON(t, &fetchsvcv1.FetchResponse{}, `{
		"status": 200, "http_version": "2", "upstream": "shop", "elapsed": "0.4321s", "bytes_sent": "15", "bytes_received": "20480",
		"bytes_decoded": "3145728", "decoded": "gzip", "truncated": true, "redirect_stopped": "mode",
		"headers": [{"name": "Content-Type", "value": "text/plain"}, {"name": "X-Evil", "value": "a\u001b[31mred"}, {"name": "X-Latin", "raw_value": "/A=="}],
		"trailers": [{"name": "X-Sum", "value": "1"}], "body": "Ym9keQ==",
		"history": [{"method": "POST", "url": "http://a.example/start?x=1", "status": 307, "location": "https://b.example/end",
			"headers": [{"name": "Location", "value": "https://b.example/end"}], "dropped_headers": ["Authorization", "X-Trace"]}],
		"attempts": [
			{"number": 1, "hop": 0, "reason": "FIRST", "method": "POST", "url": "http://a.example/start?x=1", "address": "192.0.2.1:80", "http_version": "1.1",
				"headers": [{"name": "Host", "value": "a.example"}, {"name": "Authorization", "value": "REDACTED"}],
				"timings": {"dns": "0.001s", "connect": "0.0123456s", "connection": "0.0134s", "send": "0.000012s", "first_byte": "0.05s", "body": "0.000001s", "total": "0.0635s"},
				"wire": "ANSWERED", "status": 307, "bytes_sent": "5"},
			{"number": 2, "hop": 1, "reason": "FIRST", "method": "POST", "url": "https://b.example/end", "address": "[2001:db8::1]:443",
				"timings": {"dns": "0.002s", "total": "0.1s"}, "wire": "UNSENT", "error": {"reason": "CONNECT_TIMEOUT", "message": "no connection within 100ms"}},
			{"number": 3, "hop": 1, "reason": "RETRY", "wait": "0.2s", "wait_reason": "backoff", "method": "POST", "url": "https://b.example/end", "address": "[2001:db8::1]:443",
				"http_version": "2", "timings": {"connect": "0.01s", "tls": "0.02s", "connection": "0.03s", "total": "0.05s"}, "wire": "ANSWERED", "status": 503,
				"headers": [{"name": "Host", "value": "b.example"}], "bytes_sent": "5", "bytes_received": "0"},
			{"number": 4, "hop": 1, "reason": "RETRY", "method": "POST", "url": "https://b.example/end", "address": "[2001:db8::1]:443", "connection_reused": true,
				"http_version": "2", "timings": {"connection": "0.000004s", "total": "1.5s"}, "wire": "ANSWERED", "status": 200,
				"headers": [{"name": "Host", "value": "b.example"}], "bytes_sent": "5", "bytes_received": "20480"}
		]}`)
}

func TestVerbose(t *testing.T) {
	var out bytes.Buffer
	res := answeredCall(t)
	writeVerbose(&out, res, responseHeads(res))
	golden(t, "verbose.golden", out.String())
	if strings.Contains(out.String(), "\x1b") {
		t.Error("an escape sequence of the upstream reaches the terminal")
	}
}

func TestInclude(t *testing.T) {
	o := &fetchOptions{include: true}
	got, err := o.answer(answeredCall(t))
	if err != nil {
		t.Fatal(err)
	}
	want := "HTTP/1.1 307 Temporary Redirect\r\nLocation: https://b.example/end\r\n\r\n" +
		"HTTP/2 200 \r\nContent-Type: text/plain\r\nX-Evil: a\x1b[31mred\r\nX-Latin: \xfc\r\n\r\nbody"
	if string(got) != want {
		t.Errorf("got %q, want %q: on stdout every byte is as it came", got, want)
	}
}

// TestFailure shows what a user reads when a call fails, and the exit code.
func TestFailure(t *testing.T) {
	info := func(reason, source, safe string) *errdetails.ErrorInfo {
		return &errdetails.ErrorInfo{Domain: "fetchsvc", Reason: reason, Metadata: map[string]string{"source": source, "safe_to_retry": safe}}
	}
	ledger := fromJSON(t, &fetchsvcv1.CallLedger{}, `{"shortened": true,
		"history": [{"method": "GET", "url": "http://a/0", "status": 302, "location": "/1"}, {"method": "GET", "url": "http://a/1", "status": 302, "location": "/2"}],
		"attempts": [{"number": 3, "hop": 2, "reason": "FIRST", "method": "GET", "url": "http://a/2", "address": "192.0.2.1:80", "wire": "MAYBE_PROCESSED",
			"timings": {"total": "0.1s"}, "error": {"reason": "CONNECTION_RESET", "message": "the connection was reset"}}]}`)
	one := &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "url", Description: "has no scheme"}}}
	two := &errdetails.BadRequest{FieldViolations: append([]*errdetails.BadRequest_FieldViolation{{Field: "method", Description: "has a space"}}, one.FieldViolations...)}
	tests := []struct {
		name    string
		code    codes.Code
		message string
		details []protoadapt.MessageV1
		verbose bool

		streamed bool
		maxBytes int64
	}{
		{name: "refused", code: codes.Unavailable, message: "192.0.2.1:80 refused the connection", details: []protoadapt.MessageV1{info("CONNECTION_REFUSED", "upstream", "true"), ledger}},
		{name: "reset, verbose", code: codes.Unknown, message: "the connection was reset", details: []protoadapt.MessageV1{info("CONNECTION_RESET", "upstream", "false"), ledger}, verbose: true},
		{name: "one fault", code: codes.InvalidArgument, message: "url: has no scheme", details: []protoadapt.MessageV1{info("INVALID_REQUEST", "gateway", "false"), one}},
		{name: "two faults", code: codes.InvalidArgument, message: "method: has a space; url: has no scheme", details: []protoadapt.MessageV1{info("INVALID_REQUEST", "gateway", "false"), two}},
		{name: "faults beside a message", code: codes.InvalidArgument, message: "cut off…", details: []protoadapt.MessageV1{info("INVALID_REQUEST", "gateway", "false"), two}},
		{name: "status", code: codes.FailedPrecondition, message: "answered 404", details: []protoadapt.MessageV1{info("UPSTREAM_STATUS", "upstream", "false")}},
		{name: "timeout", code: codes.Unavailable, message: "no connection", details: []protoadapt.MessageV1{info("CONNECT_TIMEOUT", "upstream", "true")}},
		{name: "denied", code: codes.PermissionDenied, message: "no", details: []protoadapt.MessageV1{info("ADDRESS_DENIED", "gateway", "false")}},
		{name: "stopping", code: codes.Unavailable, message: "stopping", details: []protoadapt.MessageV1{info("SHUTTING_DOWN", "gateway", "true")}},
		{name: "proxy, of a newer service", code: codes.Unavailable, message: "no", details: []protoadapt.MessageV1{info("PROXY_REFUSED", "proxy", "true")}},
		{name: "wait", code: codes.ResourceExhausted, message: "slow down", details: []protoadapt.MessageV1{info("RATE_LIMITED", "gateway", "true"), fromJSON(t, &errdetails.RetryInfo{}, `{"retryDelay":"1.5s"}`)}},
		{name: "defect", code: codes.Internal, message: "a defect", details: []protoadapt.MessageV1{info("INTERNAL", "gateway", "false")}},
		{name: "no service", code: codes.Unavailable, message: `connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:9: connect: connection refused"`},
		{name: "another service", code: codes.Unimplemented, message: "unknown service fetchsvc.v1.FetchService"},
		{name: "somebody else's details", code: codes.Unavailable, message: "no", details: []protoadapt.MessageV1{&errdetails.ErrorInfo{Domain: "example.com", Reason: "X"}}},
		{name: "deadline on this side", code: codes.DeadlineExceeded, message: "context deadline exceeded"},
		{name: "deadline on this side, of a stream", code: codes.DeadlineExceeded, message: "context deadline exceeded", streamed: true},
		{name: "large", code: codes.ResourceExhausted, message: "the body is larger", details: []protoadapt.MessageV1{info("RESPONSE_TOO_LARGE", "upstream", "false")}},
		{name: "larger than asked for", code: codes.ResourceExhausted, message: "the body is larger", details: []protoadapt.MessageV1{info("RESPONSE_TOO_LARGE", "upstream", "false")}, maxBytes: 1},
		{name: "large, of a stream", code: codes.ResourceExhausted, message: "the body is larger", details: []protoadapt.MessageV1{info("RESPONSE_TOO_LARGE", "upstream", "false")}, maxBytes: 1, streamed: true},
		{name: "a torn upload", code: codes.InvalidArgument, message: "no end", details: []protoadapt.MessageV1{info("UPLOAD_INCOMPLETE", "gateway", "false")}},
		{name: "anything else", code: codes.ResourceExhausted, message: "grpc: received message larger than max"},
	}
	var out strings.Builder
	for _, tt := range tests {
		st, err := status.New(tt.code, tt.message).WithDetails(tt.details...)
		if err != nil {
			t.Fatal(err)
		}
		o := &fetchOptions{clientOptions: clientOptions{server: "127.0.0.1:9090"}, maxTime: 2 * time.Second, verbose: tt.verbose, streamed: tt.streamed, maxBytes: tt.maxBytes}
		failure := o.teller().callError(st.Err())
		out.WriteString("# " + tt.name + "\n")
		fmt.Fprintf(&out, "fetchsvc: %v\nexit %d\n\n", failure, exitCode(failure))
	}
	golden(t, "failures.golden", out.String())
}
