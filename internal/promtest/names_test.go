package promtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// beside are metrics that others make: OpenTelemetry of the Go runtime, client_golang
// of the process, Prometheus of what it scrapes. That they are served is looked at in
// TestScrape.
var beside = map[string][]string{
	"go_memory_used_bytes": {"go_memory_type"}, "go_memory_limit_bytes": nil, "go_memory_allocated_bytes_total": nil,
	"go_memory_gc_goal_bytes": nil, "go_goroutines": nil, "go_processor_limit": nil,
	"process_start_time_seconds": nil, "process_open_fds": nil, "process_max_fds": nil,
	"process_resident_memory_bytes": nil, "process_cpu_seconds_total": nil,
	"up": nil, "ALERTS": {"alertname", "alertstate", "severity"},
	"": {"otel_metric_overflow"}, // any
}

// everywhere are labels that all have: Prometheus adds them.
var everywhere = []string{"job", "instance"}

// known gives every name that an expression may use, with its labels: those of the
// catalogue, of others, and of the recording rules.
func known(t *testing.T) map[string][]string {
	t.Helper()
	all := maps.Clone(beside)
	for _, m := range telemetry.Metrics() {
		var labels []string
		for _, a := range m.Attributes {
			labels = append(labels, strings.ReplaceAll(string(a), ".", "_"))
		}
		name := m.Prometheus()
		if m.Kind != telemetry.Histogram {
			all[name] = labels
			continue
		}
		all[name+"_sum"], all[name+"_count"] = labels, labels
		all[name+"_bucket"] = append(slices.Clone(labels), "le")
	}
	for _, r := range rules(t) {
		if r.Record != "" {
			all[r.Record] = append(slices.Collect(maps.Keys(r.Labels)), parse(r.Expr).groups...)
			if strings.HasPrefix(r.Record, "upstream:") {
				all[r.Record] = append(all[r.Record], "fetchsvc_upstream", "source")
			}
		}
	}
	return all
}

// unknown lists what an expression names that nobody has. made are labels that it
// makes by itself.
func unknown(names map[string][]string, expr string, made ...string) (wrong []string) {
	u := parse(expr)
	groups := slices.Concat(made, everywhere)
	for name, labels := range u.metrics {
		has, ok := names[name]
		if !ok {
			wrong = append(wrong, fmt.Sprintf("there is no metric %q", name))
			continue
		}
		groups = append(groups, has...)
		for _, l := range labels {
			if !slices.Contains(has, l) && !slices.Contains(everywhere, l) {
				wrong = append(wrong, fmt.Sprintf("metric %q has no label %q", name, l))
			}
		}
	}
	for _, l := range u.groups {
		if !slices.Contains(groups, l) {
			wrong = append(wrong, fmt.Sprintf("no metric here has the label %q", l))
		}
	}
	return wrong
}

func TestRulesNameWhatThereIs(t *testing.T) {
	names := known(t)
	for _, r := range rules(t) {
		for _, w := range unknown(names, r.Expr) {
			t.Errorf("%s: %s", r.name(), w)
		}
	}
}

func TestDashboardNamesWhatThereIs(t *testing.T) {
	names := known(t)
	for _, e := range expressions(t) {
		for _, w := range unknown(names, e.text, "class") { // by label_replace
			t.Errorf("%s: %s", e.of, w)
		}
	}
}

// TestUnknown: the check finds what is misspelt.
func TestUnknown(t *testing.T) {
	names := known(t)
	for expr, want := range map[string]string{
		`rate(fetchsvc_call_total[5m])`:                                        "no metric",
		`rate(fetchsvc_calls_total{fetchsvc_kind="INTERNAL"}[5m])`:             "no label",
		`sum by (fetchsvc_credential) (rate(fetchsvc_calls_total[5m]))`:        "no metric here has the label",
		`rate(fetchsvc_calls_bucket[5m])`:                                      "no metric",
		`sum by (le) (rate(fetchsvc_call_duration_seconds_count{le="1"}[5m]))`: "no label",
	} {
		if got := strings.Join(unknown(names, expr), "; "); !strings.Contains(got, want) {
			t.Errorf("of %s it says %q, want %q", expr, got, want)
		}
	}
	if got := unknown(names, `sum by (le, instance) (rate(fetchsvc_call_duration_seconds_bucket{job="fetchsvc"}[5m]))`); got != nil {
		t.Errorf("what is right is called wrong: %q", got)
	}
}
