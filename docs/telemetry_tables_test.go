package docs_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

const telemetryPage = "docs/telemetry.md"

// table writes one in Markdown.
type table struct{ strings.Builder }

func newTable(heads ...string) *table {
	t := &table{}
	t.row(heads...)
	t.WriteString("|" + strings.Repeat("---|", len(heads)) + "\n")
	return t
}

func (t *table) row(cells ...string) {
	t.WriteString("|")
	for _, c := range cells {
		if c == "" {
			t.WriteString(" |")
			continue
		}
		t.WriteString(" " + strings.ReplaceAll(c, "|", "\\|") + " |")
	}
	t.WriteString("\n")
}

func codeList[T ~string](words []T) string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = "`" + string(w) + "`"
	}
	return strings.Join(all, ", ")
}

// TestTelemetryTables: the page lists what the code emits and reads.
func TestTelemetryTables(t *testing.T) {
	generated(t, telemetryPage, "variables", variableTable(), exactly)
	generated(t, telemetryPage, "spans", spanTable(), exactly)
	generated(t, telemetryPage, "events", eventTable(), exactly)
	generated(t, telemetryPage, "attributes", attributeTable(), exactly)
	generated(t, telemetryPage, "metrics", metricTable(), exactly)
	generated(t, telemetryPage, "scrape", scrapeConfig(t), exactly)
	generated(t, telemetryPage, "log lines", logLineTable(t), exactly)
	generated(t, telemetryPage, "log keys", logKeyTable(t), exactly)
}

func variableTable() string {
	out := newTable("Variable", "Meaning", "Default")
	for _, v := range telemetry.Variables() {
		name := "`" + v.Name + "`"
		if v.PerSignal {
			name += " ¹"
		}
		def := v.Default
		if def == "" {
			def = "none"
		}
		out.row(name, v.Meaning, def)
	}
	return out.String()
}

func spanTable() string {
	out := newTable("Span", "Kind", "Under", "Meaning")
	for _, s := range telemetry.Spans() {
		out.row("`"+s.Name+"`", s.Where.String(), s.Parent, s.Meaning)
	}
	return out.String()
}

func eventTable() string {
	out := newTable("Event", "Meaning")
	for _, e := range telemetry.Events() {
		out.row("`"+e.Name+"`", e.Meaning)
	}
	return out.String()
}

func attributeTable() string {
	out := newTable("Attribute", "On", "Meaning")
	for _, a := range telemetry.Attributes() {
		out.row("`"+string(a.Key)+"`", a.Where.String(), strings.ReplaceAll(a.Meaning, "docs/errors.md", "[Errors](errors.md#the-table)"))
	}
	return out.String()
}

func metricTable() string {
	out := newTable("Metric", "Under /metrics", "Kind, unit", "Attributes", "Meaning")
	for _, m := range telemetry.Metrics() {
		out.row("`"+m.Name+"`", "`"+m.Prometheus()+"`", fmt.Sprintf("%s, `%s`", m.Kind, m.Unit), codeList(m.Attributes), m.Meaning)
	}
	return out.String()
}

// scrapeConfig is what a Prometheus needs that runs already.
func scrapeConfig(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../deploy/observability/prometheus/prometheus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, config, found := strings.Cut(string(text), "\nscrape_configs:\n")
	if !found {
		t.Fatal("prometheus.yaml has no scrape_configs")
	}
	var out []string
	for line := range strings.Lines(config) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			out = append(out, line)
		}
	}
	return "```yaml file prometheus.yaml\nscrape_configs:\n" + strings.Join(out, "") + "```"
}

// alertRule is one of the alert rules that the repository has.
type alertRule struct {
	Alert       string
	Labels      map[string]string
	Annotations struct {
		Runbook string `yaml:"runbook_url"`
	}
}

// alertRules are by name; one that has several windows is there once.
func alertRules(t *testing.T) map[string][]alertRule {
	t.Helper()
	text, err := os.ReadFile("../deploy/observability/prometheus/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []alertRule } }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	all := map[string][]alertRule{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert != "" {
				all[r.Alert] = append(all[r.Alert], r)
			}
		}
	}
	return all
}

// TestEveryAlertHasItsSection: each alert leads to its section of the page, which says
// how urgent it is and what to do, and no section is of another.
func TestEveryAlertHasItsSection(t *testing.T) {
	text := section(t, telemetryPage, "Alerts")
	told := map[string]string{}
	for _, part := range strings.Split(text, "\n### ")[1:] {
		name, body, _ := strings.Cut(part, "\n")
		told[name] = strings.TrimSpace(body)
	}
	rules := alertRules(t)
	if len(rules) < 20 {
		t.Fatalf("there are %d alerts", len(rules))
	}
	for name, all := range rules {
		body, there := told[name]
		if !there {
			t.Errorf("the alert %s has no section", name)
			continue
		}
		for _, r := range all {
			if want := "/docs/telemetry.md#" + strings.ToLower(name); !strings.HasSuffix(r.Annotations.Runbook, want) {
				t.Errorf("the alert %s leads to %q, want %s", name, r.Annotations.Runbook, want)
			}
			if severity := r.Labels["severity"]; !strings.Contains(body, "*"+severity+"*") && !strings.Contains(body, "*"+severity+",") {
				t.Errorf("the section %s does not say that it may be %q", name, severity)
			}
		}
		if len(strings.Fields(body)) < 25 {
			t.Errorf("the section %s says no more than %q", name, body)
		}
	}
	for name := range told {
		if rules[name] == nil {
			t.Errorf("there is a section %s, and no such alert", name)
		}
	}
	named := regexp.MustCompile(`\bFetchsvc[A-Z]\w+`)
	for _, p := range readPages(t) {
		for _, name := range named.FindAllString(p.prose, -1) {
			if rules[name] == nil {
				t.Errorf("%s names the alert %s, which is not there", p.path, name)
			}
		}
	}
}

// TestAttributesThatAreNamed: an attribute of fetchsvc's that the page names is there, as
// it stands on spans or as a label. Policy, metrics and names of spans look the same.
func TestAttributesThatAreNamed(t *testing.T) {
	there := map[string]bool{}
	add := func(name string) { there[name], there[strings.ReplaceAll(name, ".", "_")] = true, true }
	for _, a := range telemetry.Attributes() {
		add(string(a.Key))
	}
	for _, m := range telemetry.Metrics() {
		add(m.Name)
		there[m.Prometheus()] = true
	}
	for _, e := range telemetry.Events() {
		add(e.Name)
	}
	for _, s := range telemetry.Spans() {
		add(s.Name)
	}
	add("fetchsvc.call") // a log record
	named := regexp.MustCompile(`^fetchsvc[._][a-z_.]+$`)
	for _, p := range readPages(t) {
		for _, code := range inlineCode.FindAllString(p.prose, -1) {
			if name := strings.Trim(code, "`"); p.path == telemetryPage && named.MatchString(name) && !there[name] {
				t.Errorf("%s names %s, which is not there", p.path, name)
			}
		}
	}
}

// TestMetricsThatAreNamed: a metric that the page names is there.
func TestMetricsThatAreNamed(t *testing.T) {
	there := map[string]bool{}
	for _, m := range telemetry.Metrics() {
		there[m.Name], there[m.Prometheus()] = true, true
		if m.Kind == telemetry.Histogram {
			for _, end := range []string{"_bucket", "_count", "_sum"} {
				there[m.Prometheus()+end] = true
			}
		}
	}
	named := regexp.MustCompile(`\b(?:fetchsvc|http_client|rpc_server)_[a-z_]+_(?:total|seconds|bytes|bucket|count|sum|success|generation)\b`)
	for _, p := range readPages(t) {
		texts := []string{p.prose}
		for _, f := range p.fences {
			texts = append(texts, f.text)
		}
		for _, name := range named.FindAllString(strings.Join(texts, "\n"), -1) {
			if !there[name] && !strings.Contains(name, "upstream_") {
				t.Errorf("%s names the metric %s, which is not there", p.path, name)
			}
		}
	}
}
