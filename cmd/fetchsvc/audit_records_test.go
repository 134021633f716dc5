package main

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"

	"github.com/fetchsvc/fetchsvc/internal/oteltest"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// callRecord is what a test looks at of a log record that is a call.
type callRecord struct{ severity, outcome, url, trace, span string }

// callRecords are those of a sink, in the order of outcomes.
func callRecords(sink *oteltest.Sink) (all []callRecord) {
	for _, r := range sink.Records() {
		if r.GetEventName() == "fetchsvc.call" {
			all = append(all, callRecord{r.GetSeverityText(), attribute(r, "outcome"), attribute(r, "url"),
				hex.EncodeToString(r.GetTraceId()), hex.EncodeToString(r.GetSpanId())})
		}
	}
	slices.SortFunc(all, func(a, b callRecord) int { return strings.Compare(a.outcome, b.outcome) })
	return all
}

func attribute(r *logs.LogRecord, key string) string {
	i := slices.IndexFunc(r.GetAttributes(), func(a *common.KeyValue) bool { return a.GetKey() == key })
	if i < 0 {
		return ""
	}
	return r.GetAttributes()[i].GetValue().GetStringValue()
}

// TestAuditRecords: where log records are exported, calls are among them, with an
// audit log and without one, and its sample holds for both.
func TestAuditRecords(t *testing.T) {
	t.Parallel()
	up := testpeer.Echo(t)
	log := t.TempDir() + "/audit.log"
	for name, tt := range map[string]struct {
		args, env []string
		want      string // severity and outcome of each
	}{
		"with a file":           {args: []string{"--audit", log}, want: "WARN INVALID_REQUEST, WARN POLICY_DENIED, INFO answered"},
		"without a file":        {want: "WARN INVALID_REQUEST, WARN POLICY_DENIED, INFO answered"},
		"sampled":               {args: []string{"--audit-sample=0"}, want: "WARN INVALID_REQUEST, WARN POLICY_DENIED"},
		"no records":            {args: []string{"--audit", log + "2"}, env: []string{"OTEL_LOGS_EXPORTER=none"}},
		"a file that is broken": {args: []string{"--audit", "/dev/full"}, want: "WARN INVALID_REQUEST, WARN POLICY_DENIED, INFO answered"},
	} {
		sink := oteltest.NewSink(t)
		c := start(t, input{env: append(tt.env, "OTEL_EXPORTER_OTLP_ENDPOINT="+sink.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_METRICS_EXPORTER=none")},
			append([]string{"serve", "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0", "--policy", writeTemp(t, "policy.yaml", allowing(strings.TrimPrefix(up.URL, "http://")))}, tt.args...)...)
		m := c.await(c.stderr, `"msg":"serving","grpc":"([^"]+)","rest":"([^"]+)"`)
		runToEnd(t, input{}, "fetch", "--server", m[1], up.URL+"/get?key=canary").ok(t)
		runToEnd(t, input{}, "fetch", "--server", m[1], "http://127.0.0.1:1/")
		ask(t, http.MethodPost, "http://"+m[2]+"/v1/fetch", `{"url":`)
		c.signal(syscall.SIGTERM)
		if code := c.wait(); code != 0 {
			t.Errorf("%s: exit code %d: %s", name, code, c.stderr)
		}
		got := callRecords(sink)
		var said []string
		for _, r := range got {
			said = append(said, r.severity+" "+r.outcome)
		}
		if strings.Join(said, ", ") != tt.want {
			t.Errorf("%s: the records are %q, want %q", name, said, tt.want)
		}
		if text := fmt.Sprint(sink.Records()); strings.Contains(text, "canary") {
			t.Errorf("%s: a secret is exported: %s", name, text)
		}
		if name != "with a file" {
			continue
		}
		var lines []callRecord
		for i, e := range auditLines(t, log) {
			lines = append(lines, callRecord{"", e["outcome"].(string), e["url"].(string), e["trace_id"].(string), e["span_id"].(string)})
			if i < len(got) {
				got[i].severity = ""
			}
		}
		slices.SortFunc(lines, func(a, b callRecord) int { return strings.Compare(a.outcome, b.outcome) })
		if !slices.Equal(got, lines) {
			t.Errorf("the records are\n%v, want what the lines have:\n%v", got, lines)
		}
	}
	r := runToEnd(t, input{}, "serve", "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0", "--audit-sample=0.5")
	if r.code != 2 || !strings.Contains(r.stderr, "--audit-sample needs --audit FILE, or log records") {
		t.Errorf("a sample of nothing: got exit code %d and %s, want 2 and what it needs", r.code, r.stderr)
	}
}
