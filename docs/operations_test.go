package docs_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// firstCells are the words in the first cells of a section's tables that are code.
func firstCells(t *testing.T, heading string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, row := range rows(section(t, "docs/operations.md", heading)) {
		for _, code := range inlineCode.FindAllString(row[0], -1) {
			all[strings.Trim(code, "`")] = true
		}
	}
	return all
}

// sameNames holds that a section's tables are about what there is, all of it.
func sameNames(t *testing.T, heading string, there map[string]bool) {
	t.Helper()
	told := firstCells(t, heading)
	for name := range there {
		if !told[name] {
			t.Errorf("%s: there is no row for %s", heading, name)
		}
	}
	for name := range told {
		if !there[name] {
			t.Errorf("%s: there is a row for %s, which is not there", heading, name)
		}
	}
}

// TestEveryKindHasItsFirstLook: each kind of error has its row.
func TestEveryKindHasItsFirstLook(t *testing.T) {
	there := map[string]bool{}
	for _, kind := range fault.Kinds() {
		there[string(kind)] = true
	}
	sameNames(t, "At three in the morning", there)
}

// TestEveryAlarmIsListed: each line of level WARN or ERROR has its row.
func TestEveryAlarmIsListed(t *testing.T) {
	logged := regexp.MustCompile(`\b(?:[lL]og|own)\.(?:Warn|Error)(?:Context\(ctx, |\()"([^"]+)"`)
	sameNames(t, "What to alert on", sources(t, logged, ".go"))
}

// TestEveryFlagOfServeIsDescribed: each flag has its row, and its default.
func TestEveryFlagOfServeIsDescribed(t *testing.T) {
	if testing.Short() && os.Getenv("CI") != "true" {
		t.Skip("builds the service")
	}
	dependOnSources(t)
	out, err := exec.Command(build(t), "serve", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[a-z-]+)`).FindAllStringSubmatch(string(out), -1) {
		if m[1] != "--help" {
			there[m[1]] = true
		}
	}
	sameNames(t, "Flags", there)
}
