package promtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// dashboard is what is looked at of Grafana's.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Panels        []gpanel
	Templating    struct{ List []variable }
	Annotations   struct {
		List []struct {
			Name, Expr string
			Datasource source
		}
	}
}

type source struct{ Type, UID string }

type gpanel struct {
	ID                       int
	Type, Title, Description string
	Collapsed                bool
	GridPos                  struct{ H, W, X, Y int }
	Datasource               *source
	Panels                   []gpanel
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct {
		RefID, Expr string
		Exemplar    bool
		Datasource  *source
	}
}

type variable struct {
	Name, Type, Definition, AllValue string
	Multi, IncludeAll                bool
	Datasource                       *source
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal(read(t, dashboardFile), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// all gives every panel, those in closed rows too.
func (d dashboard) all() (all []gpanel) {
	for _, p := range d.Panels {
		all = append(append(all, p), p.Panels...)
	}
	return all
}

// expression is one of the dashboard's, as Prometheus gets it.
type expression struct{ of, text string }

var values = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)

func expressions(t *testing.T) (all []expression) {
	t.Helper()
	d := readDashboard(t)
	fill := strings.NewReplacer("$__rate_interval", "5m", "$upstream", ".*", "$caller", ".*", "$instance", ".*").Replace
	for _, p := range d.all() {
		for _, q := range p.Targets {
			all = append(all, expression{p.Title + " " + q.RefID, fill(q.Expr)})
		}
	}
	for _, a := range d.Annotations.List {
		all = append(all, expression{"annotation " + a.Name, fill(a.Expr)})
	}
	for _, v := range d.Templating.List {
		if m := values.FindStringSubmatch(v.Definition); m != nil {
			all = append(all, expression{"variable " + v.Name, fmt.Sprintf("group by (%s) (%s)", m[2], m[1])})
		}
	}
	return all
}

// TestDashboardExpressions: promtool parses each.
func TestDashboardExpressions(t *testing.T) {
	type one struct{ Record, Expr string }
	var all []one
	for i, e := range expressions(t) {
		if strings.Contains(e.text, "$") && !strings.Contains(e.text, "${1}") {
			t.Errorf("%s has a variable that there is none of: %s", e.of, e.text)
		}
		all = append(all, one{fmt.Sprintf("dashboard:%d", i), e.text})
	}
	if len(all) < 50 {
		t.Errorf("the dashboard has %d expressions only", len(all))
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": all}}})
	if err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", write(t, t.TempDir(), "dashboard.yaml", text))
}

// TestDashboard: it can be imported anywhere, and each panel says what it shows.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	if d.SchemaVersion < 39 || d.UID == "" || d.Title == "" {
		t.Errorf("schema %d, uid %q, title %q", d.SchemaVersion, d.UID, d.Title)
	}
	if bytes.Contains(read(t, dashboardFile), []byte(`"__inputs"`)) {
		t.Error("it was exported for sharing: export it without")
	}
	ids, titles := map[int]bool{}, map[string]bool{}
	exemplars, row := 0, ""
	for _, p := range d.all() {
		if p.Type == "row" {
			row = p.Title
		}
		title := row + "/" + p.Title
		if p.ID == 0 || ids[p.ID] || titles[title] {
			t.Errorf("panel %q has no id or title of its own", title)
		}
		ids[p.ID], titles[title] = true, true
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || len(p.Targets) == 0 || !p.Datasource.ours() {
			t.Errorf("panel %q lacks a title, a description, an expression or the datasource", title)
		}
		if p.FieldConfig.Defaults.Unit == "" && p.Type != "heatmap" {
			t.Errorf("panel %q has no unit", title)
		}
		for _, q := range p.Targets {
			if !q.Datasource.ours() || q.RefID == "" {
				t.Errorf("panel %q asks another datasource", title)
			}
			if q.Exemplar {
				exemplars++
			}
		}
	}
	if exemplars == 0 {
		t.Error("no panel shows exemplars")
	}
	for _, open := range slices.Concat([][]gpanel{d.Panels}, closed(d)) {
		overlaps(t, open)
	}
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
		if v.Type == "query" && (!v.Datasource.ours() || !v.Multi || !v.IncludeAll || v.AllValue != ".*") {
			t.Errorf("variable %s does not offer several values and all", v.Name)
		}
	}
	if want := []string{"datasource", "upstream", "caller", "instance"}; !slices.Equal(names, want) {
		t.Errorf("the variables are %q, want %q", names, want)
	}
}

func (s *source) ours() bool { return s != nil && s.Type == "prometheus" && s.UID == "${datasource}" }

// closed gives the panels of each closed row.
func closed(d dashboard) (all [][]gpanel) {
	for _, p := range d.Panels {
		if p.Collapsed != (len(p.Panels) > 0) {
			p.Panels = nil
		}
		if len(p.Panels) > 0 {
			all = append(all, p.Panels)
		}
	}
	return all
}

// overlaps finds panels that cover others, or stand out to the right.
func overlaps(t *testing.T, panels []gpanel) {
	t.Helper()
	for i, p := range panels {
		a := p.GridPos
		if a.W == 0 || a.H == 0 || a.X+a.W > 24 {
			t.Errorf("panel %q has no place: %+v", p.Title, a)
		}
		for _, q := range panels[:i] {
			if b := q.GridPos; a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panel %q covers %q", p.Title, q.Title)
			}
		}
	}
}

// TestDatasources: exemplars lead to a datasource that there is, by the label that the
// service gives them.
func TestDatasources(t *testing.T) {
	var file struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			JSONData                     struct {
				TimeInterval string `yaml:"timeInterval"`
				Exemplars    []struct {
					Name          string
					DatasourceUID string `yaml:"datasourceUid"`
				} `yaml:"exemplarTraceIdDestinations"`
			} `yaml:"jsonData"`
		}
	}
	if err := yaml.Unmarshal(read(t, datasourcesFile), &file); err != nil {
		t.Fatal(err)
	}
	var uids []string
	for _, d := range file.Datasources {
		uids = append(uids, d.UID)
	}
	if len(file.Datasources) != 2 || file.Datasources[0].Type != "prometheus" || len(file.Datasources[0].JSONData.Exemplars) != 1 {
		t.Fatalf("the datasources are %+v", file.Datasources)
	}
	e := file.Datasources[0].JSONData.Exemplars[0]
	if e.Name != "trace_id" || !slices.Contains(uids, e.DatasourceUID) {
		t.Errorf("exemplars lead by %q to %q, and there are %q", e.Name, e.DatasourceUID, uids)
	}
}
