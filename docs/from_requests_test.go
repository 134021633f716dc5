package docs_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// requestsCase is one row of from-requests.md, made through fetchsvc and by the
// real requests. In requests to fetchsvc `{U}` stands for the upstream's URL; in
// Python it is the variable U.
type requestsCase struct {
	// row is the page's heading and first cell, such as "Arguments: params"; a row
	// may have several cases.
	row string
	// names starts the upstreams; nil: U is an echo.
	names func(t *testing.T, w *requestsWorld) map[string]string

	// One of these is asked of fetchsvc: calls of Fetch, one Stream, one batch, or
	// whatever do does.
	fetch  []string
	stream string
	batch  string
	do     func(t *testing.T, w *requestsWorld, names map[string]string) any

	// look gives what is compared of the answers; else view is its name.
	look func(t *testing.T, all []*fetchAnswer) any
	view string
	// want is what fetchsvc shows, as JSON; "…" is as in the pages.
	want string
	// kind is the error that is wanted instead; want is then what requests shows.
	kind string

	// python sets `r` or `out`; empty: requests has nothing to compare.
	python string
	// differs is what requests shows where that is not want; the page says so.
	differs string
	// raises is the exception that is wanted instead.
	raises string
}

// requestsRow is one row of a table of the page.
type requestsRow struct {
	key    string
	names  []string // the code of its first cell
	claims bool     // that fetchsvc has it
}

var (
	codeSpan  = regexp.MustCompile("`([^`]+)`")
	firstWord = regexp.MustCompile(`^[A-Za-z_]\w*`)
)

// readRequestsRows parses the page's tables.
func readRequestsRows(t *testing.T) []requestsRow {
	t.Helper()
	page, err := os.ReadFile("from-requests.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []requestsRow
	section := ""
	for _, line := range strings.Split(string(page), "\n") {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			section = name
		}
		cells := strings.Split(line, "|")
		if !strings.HasPrefix(line, "| ") || len(cells) != 5 || strings.TrimSpace(cells[2]) == "fetchsvc" {
			continue
		}
		first, second := strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])
		r := requestsRow{key: section + ": " + strings.ReplaceAll(first, "`", "")}
		for _, m := range codeSpan.FindAllStringSubmatch(first, -1) {
			r.names = append(r.names, firstWord.FindString(m[1]))
		}
		r.claims = !strings.HasPrefix(second, "**Not there yet:**") && !strings.HasPrefix(second, "**Nothing to do:**")
		if r.claims && strings.Contains(second, "**") {
			t.Errorf("%s: spell it **Not there yet:** or **Nothing to do:**", r.key)
		}
		rows = append(rows, r)
	}
	return rows
}

// TestFromRequestsRows: what the page says fetchsvc has is tested, and nothing
// else is.
func TestFromRequestsRows(t *testing.T) {
	tested := map[string]bool{}
	for _, c := range requestsCases() {
		tested[c.row] = true
	}
	seen := map[string]bool{}
	for _, r := range readRequestsRows(t) {
		if seen[r.key] {
			t.Errorf("the page has two rows %q", r.key)
		}
		seen[r.key] = true
		if r.claims && !tested[r.key] {
			t.Errorf("the page says that fetchsvc has %q, and no case tests it", r.key)
		}
		if !r.claims && tested[r.key] {
			t.Errorf("the page says that fetchsvc does not have %q, and a case tests it", r.key)
		}
	}
	for row := range tested {
		if !seen[row] {
			t.Errorf("a case tests %q, which is no row of the page", row)
		}
	}
}

// TestFromRequestsIsComplete: every public name of requests has a row.
func TestFromRequestsIsComplete(t *testing.T) {
	needPeers(t)
	names := newPython(t).run(t, pythonCase{Code: `
import inspect
def public(names): return sorted(n for n in names if not n.startswith("_") and n != "self")
session = requests.Session()
out = {
    "Arguments": public(inspect.signature(requests.Session.request).parameters),
    "Session": public(set(dir(session)) | set(requests.Session.__attrs__)),
    "Response": public(dir(requests.Response())),
    "Exceptions": public(n for n, c in vars(requests.exceptions).items()
        if isinstance(c, type) and c.__module__ == "requests.exceptions"),
    "Retry": public(inspect.signature(urllib3.Retry.__init__).parameters),
}`})
	var there map[string][]string
	if err := json.Unmarshal(names, &there); err != nil || len(there["Response"]) < 20 {
		t.Fatalf("requests tells of itself: %s, %v", names, err)
	}
	rows := readRequestsRows(t)
	for section, names := range there {
		for _, name := range names {
			if !slices.ContainsFunc(rows, func(r requestsRow) bool {
				return strings.HasPrefix(r.key, section+": ") && slices.Contains(r.names, name)
			}) {
				t.Errorf("requests has %s, and the page's table %s does not", name, section)
			}
		}
	}
}

// TestFromRequests makes every case's call through each door of fetchsvc, and by
// requests where that is installed.
func TestFromRequests(t *testing.T) {
	if testing.Short() && os.Getenv("CI") != "true" {
		t.Skip("starts the service")
	}
	t.Parallel()
	dependOnSources(t)
	w := newRequestsWorld(t)
	if why := peers(); why != "" {
		if os.Getenv("CI") == "true" {
			t.Fatal(why)
		}
		t.Logf("nothing is compared with requests: %s (make .build/peers installs it)", why)
	} else {
		w.python = newPython(t)
	}
	compared := 0
	for _, c := range requestsCases() {
		if c.python != "" && w.python != nil {
			compared++
		}
		t.Run(c.row, func(t *testing.T) { c.run(t, w) })
	}
	t.Logf("%d cases, %d of them by requests too", len(requestsCases()), compared)
}

// run makes the call through each door, then by requests, against one upstream.
func (c *requestsCase) run(t *testing.T, w *requestsWorld) {
	names := map[string]string{"U": ""}
	if c.names != nil {
		names = c.names(t, w)
	} else {
		names = echo(t, w)
	}
	for door, call := range c.doors(w, names) {
		all, got := call(t)
		switch {
		case c.kind != "":
			if last := all[len(all)-1]; last.reason != c.kind {
				t.Errorf("over %s it is %q (%s), want %s", door, last.reason, last.detail, c.kind)
			}
		default:
			if got == nil {
				for _, a := range all {
					if a.reason != "" {
						t.Errorf("over %s it fails: %s: %s", door, a.reason, a.detail)
						return
					}
				}
				got = c.see(t, all)
			}
			if problem := diffJSON(c.want, mask(t, names, got)); problem != "" {
				t.Errorf("over %s: %s\nwhole: %s", door, problem, mask(t, names, got))
			}
		}
	}
	if c.python == "" || w.python == nil {
		return
	}
	got := w.python.run(t, pythonCase{Code: c.python, View: c.view, Names: names})
	if c.raises != "" {
		var said struct{ Raised []string }
		if err := json.Unmarshal(got, &said); err != nil || !slices.Contains(said.Raised, c.raises) {
			t.Errorf("requests gives %s, want the exception %s", got, c.raises)
		}
		return
	}
	shows := mask(t, names, json.RawMessage(got))
	want := c.want
	if c.differs != "" {
		if diffJSON(c.want, shows) == "" {
			t.Error("requests does what fetchsvc does, and the case says that it differs")
		}
		want = c.differs
	}
	if problem := diffJSON(want, shows); problem != "" {
		t.Errorf("by requests: %s\nwhole: %s", problem, shows)
	}
}

// see gives what is compared: of one answer, or a list.
func (c *requestsCase) see(t *testing.T, all []*fetchAnswer) any {
	t.Helper()
	if c.look != nil {
		return c.look(t, all)
	}
	view := requestsViews[c.view]
	if view == nil {
		t.Fatalf("there is no view %q", c.view)
	}
	return view(t, all[len(all)-1])
}

// mask writes a value as JSON with the upstreams' names for their URLs.
func mask(t *testing.T, names map[string]string, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for name, url := range names {
		if strings.HasPrefix(url, "http") {
			pairs = append(pairs, url, "{"+name+"}")
		}
	}
	return strings.NewReplacer(pairs...).Replace(string(text))
}

// fill is the way back, for what is asked.
func fill(names map[string]string, text string) string {
	for name, url := range names {
		text = strings.ReplaceAll(text, "{"+name+"}", url)
	}
	return text
}
