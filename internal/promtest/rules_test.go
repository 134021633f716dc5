package promtest

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// rule is one of rules.yaml: a recording or an alert.
type rule struct {
	Record, Alert string
	Expr, For     string
	Labels        map[string]string
	Annotations   map[string]string
}

func (r rule) name() string { return r.Record + r.Alert }

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name, Interval string
			Rules          []rule
		}
	}
	strict(t, rulesFile, &file)
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// strict reads YAML; a key that to has no place for is an error.
func strict(t *testing.T, name string, to any) {
	t.Helper()
	d := yaml.NewDecoder(strings.NewReader(string(read(t, name))))
	d.KnownFields(true)
	if err := d.Decode(to); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", "--lint-fatal", rulesFile)
	promtool(t, "test", "rules", filepath.Join(prometheusFolder, "rules_test.yaml"), filepath.Join(prometheusFolder, "rules_slo_test.yaml"))
}

// ruleTests are the files that promtool tests rules by.
type ruleTests struct {
	RuleFiles      []string `yaml:"rule_files"`
	Interval       string   `yaml:"evaluation_interval"`
	GroupEvalOrder []string `yaml:"group_eval_order"`
	Tests          []struct {
		Name, Interval string
		InputSeries    []struct{ Series, Values string } `yaml:"input_series"`
		Expressions    []struct {
			Expr     string
			EvalTime string `yaml:"eval_time"`
			Samples  []struct {
				Labels string
				Value  float64
			} `yaml:"exp_samples"`
		} `yaml:"promql_expr_test"`
	}
}

// TestEveryRuleIsTested: each recording rule has a value, and each alert fires, once
// at least; an alert's text then names no label but those that it has.
func TestEveryRuleIsTested(t *testing.T) {
	fired, tested := map[string][]string{}, map[string]bool{}
	quiet := 0
	for _, name := range []string{"rules_test.yaml", "rules_slo_test.yaml"} {
		var file ruleTests
		strict(t, filepath.Join(prometheusFolder, name), &file)
		for _, c := range file.Tests {
			for _, e := range c.Expressions {
				for name := range parse(e.Expr).metrics {
					tested[name] = tested[name] || len(e.Samples) > 0
				}
				if len(e.Samples) == 0 {
					quiet++
				}
				for _, s := range e.Samples {
					if m := regexp.MustCompile(`alertname="(\w+)"`).FindStringSubmatch(s.Labels); m != nil {
						fired[m[1]] = parse(s.Labels).metrics["ALERTS"]
					}
				}
			}
		}
	}
	label := regexp.MustCompile(`\$labels\.(\w+)`)
	for _, r := range rules(t) {
		switch has := fired[r.Alert]; {
		case r.Record != "" && !tested[r.Record]:
			t.Errorf("no test has a value of %s", r.Record)
		case r.Alert != "" && has == nil:
			t.Errorf("no test has %s fire", r.Alert)
		case r.Alert != "":
			for _, text := range r.Annotations {
				for _, l := range label.FindAllStringSubmatch(text, -1) {
					if !slices.Contains(has, l[1]) {
						t.Errorf("a text of %s names the label %s; it has %q", r.Alert, l[1], has)
					}
				}
			}
		}
	}
	if quiet == 0 {
		t.Error("no test has a time at which nothing fires")
	}
}

// TestAlertTexts: whoever is woken reads what is wrong, what to do first, and where
// there is more; a test of docs has the sections that are led to.
func TestAlertTexts(t *testing.T) {
	const page = "https://github.com/fetchsvc/fetchsvc/blob/main/docs/telemetry.md"
	all := rules(t)
	for _, r := range all {
		if r.Alert == "" {
			continue
		}
		if !strings.HasPrefix(r.Alert, "Fetchsvc") {
			t.Errorf("%s does not begin with Fetchsvc, by which the dashboard finds alerts", r.Alert)
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" && s != "info" {
			t.Errorf("%s has severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || len(r.Annotations["description"]) < 80 {
			t.Errorf("%s has no summary, or does not say what to do", r.Alert)
		}
		if got, want := r.Annotations["runbook_url"], page+"#"+strings.ToLower(r.Alert); got != want {
			t.Errorf("%s has runbook_url %q, want %s", r.Alert, got, want)
		}
		for _, other := range regexp.MustCompile(`\bFetchsvc[A-Z]\w+`).FindAllString(r.Annotations["description"], -1) {
			if !slices.ContainsFunc(all, func(r rule) bool { return r.Alert == other }) {
				t.Errorf("%s names %s, which there is none of", r.Alert, other)
			}
		}
	}
}

// TestEveryKindHasOneSource: the rules tell whose fault each kind of failure is, each
// kind once, and nothing that is no kind.
func TestEveryKindHasOneSource(t *testing.T) {
	list := regexp.MustCompile(`fetchsvc_outcome=~"([A-Z_|]+)"`)
	sources := map[string]string{}
	for _, r := range rules(t) {
		if r.Record != "upstream:fetchsvc_calls_failed:rate5m" {
			continue
		}
		for _, k := range strings.Split(list.FindStringSubmatch(r.Expr)[1], "|") {
			if other := sources[k]; other != "" {
				t.Errorf("%s is of %s and of %s", k, other, r.Labels["source"])
			}
			sources[k] = r.Labels["source"]
		}
	}
	for _, k := range fault.Kinds() {
		if sources[string(k)] == "" {
			t.Errorf("%s has no source: add it to one of the lists of upstream:fetchsvc_calls_failed:rate5m", k)
		}
		if got := strings.HasPrefix(string(k), "PROXY_"); got != (sources[string(k)] == "proxy") {
			t.Errorf("%s is of %s", k, sources[string(k)])
		}
		delete(sources, string(k))
	}
	for k := range sources {
		t.Errorf("there is no kind %s", k)
	}
}

// TestScrapeConfiguration: Prometheus takes it, once the files are there that it
// names.
func TestScrapeConfiguration(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules.yaml", read(t, rulesFile))
	write(t, dir, "api-key", []byte("key"))
	write(t, dir, "ca.crt", nil)
	text := strings.ReplaceAll(string(read(t, filepath.Join(prometheusFolder, "prometheus.yaml"))), "/etc/prometheus/fetchsvc/", dir+"/")
	promtool(t, "check", "config", write(t, dir, "prometheus.yaml", []byte(text)))
}
