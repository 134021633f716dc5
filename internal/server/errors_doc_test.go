package server

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// docRow is one line of the table in docs/errors.md.
type docRow struct{ kind, anchor, code, http, proxyError, source, title string }

var (
	docLine    = regexp.MustCompile("(?m)^\\| \\[`([A-Z_0-9]+)`\\]\\(#([a-z_0-9]+)\\) \\|(.*)\\|$")
	docStop    = regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| .* \\| .* \\|$")
	protoStops = regexp.MustCompile(`(?s)// Why no other attempt followed .* The words:(.*?)\n  string stopped`)
	docSection = regexp.MustCompile(`(?m)^### (\S+)\n+((?:[^#\n].*\n+)+)`)
)

func readErrorsPage(t *testing.T) (rows []docRow, sections map[string]string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range docLine.FindAllStringSubmatch(string(page), -1) {
		cells := strings.Split(m[3], "|")
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		if len(cells) != 5 {
			t.Fatalf("the line of %s has %d cells after the first, want 5", m[1], len(cells))
		}
		rows = append(rows, docRow{m[1], m[2], cells[0], cells[1], cells[2], cells[3], cells[4]})
	}
	sections = map[string]string{}
	for _, m := range docSection.FindAllStringSubmatch(string(page), -1) {
		sections[m[1]] = m[2]
	}
	return rows, sections
}

// TestErrorsPage holds docs/errors.md equal to the one status table.
func TestErrorsPage(t *testing.T) {
	rows, _ := readErrorsPage(t)
	kinds := fault.Kinds()
	if len(rows) != len(kinds) {
		t.Errorf("the page has %d rows, want one for each of %d kinds", len(rows), len(kinds))
	}
	for i, k := range kinds[:min(len(rows), len(kinds))] {
		r := statusTable[k]
		want := docRow{
			string(k), strings.ToLower(string(k)), codeNames[r.code], strconv.Itoa(r.http),
			r.proxyError, string(r.source), r.title,
		}
		if rows[i] != want {
			t.Errorf("row %d is %+v, want %+v", i+1, rows[i], want)
		}
	}
}

// TestErrorsPageExplains: problem.type links to a heading of each kind, and
// below it stands what to do.
func TestErrorsPageExplains(t *testing.T) {
	_, sections := readErrorsPage(t)
	for _, k := range fault.Kinds() {
		p := newProblem(&failure{fault: fault.New(k, "x")})
		_, anchor, _ := strings.Cut(p.Type, "#")
		text, ok := sections[anchor]
		if !ok {
			t.Errorf("%s links to #%s, and the page has no such heading", k, anchor)
			continue
		}
		if !strings.Contains(text, "**To do:**") {
			t.Errorf("the page does not say what to do about %s", k)
		}
		delete(sections, anchor)
	}
	for heading := range sections {
		if heading == strings.ToLower(heading) && strings.Contains(heading, "_") {
			t.Errorf("the page explains %s, which is no kind", heading)
		}
	}
}

// TestErrorsPageStops: the words of Attempt.stopped are the contract's, in its
// order.
func TestErrorsPageStops(t *testing.T) {
	page, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	contract, err := os.ReadFile("../../proto/fetchsvc/v1/ledger.proto")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	_, table, _ := strings.Cut(string(page), "## Why fetchsvc stopped retrying")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, m := range docStop.FindAllStringSubmatch(table, -1) {
		if m[1] != "UNSENT" {
			got = append(got, m[1])
		}
	}
	m := protoStops.FindSubmatch(contract)
	if m == nil {
		t.Fatal("ledger.proto does not list the words of Attempt.stopped")
	}
	want := regexp.MustCompile(`[A-Z]+_?[A-Z_]+`).FindAllString(string(m[1]), -1)
	if !slices.Equal(got, want) {
		t.Errorf("the page explains %q, the contract has %q", got, want)
	}
}
