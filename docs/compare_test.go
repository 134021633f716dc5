package docs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// anything is what the pages write for what they leave out.
const anything = "…"

// varying is what differs between two runs, and what stands for it.
var varying = []struct {
	pattern *regexp.Regexp
	token   string
}{
	{regexp.MustCompile(`\b[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT\b`), "<date>"},
	{regexp.MustCompile(`\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z`), "<time>"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "<digest>"},
	// Measured ones: a clock that was asked for has no fraction this long, or
	// stands as the page has it.
	{regexp.MustCompile(`\b\d+\.\d{3,9}s\b`), "<duration>"},
	{regexp.MustCompile(`\b(in|total) \d+(\.\d+)?(ns|µs|ms|s)\b`), "$1 <duration>"},
}

func normalise(s string) string {
	for _, v := range varying {
		s = v.pattern.ReplaceAllString(s, v.token)
	}
	return s
}

var spaces = regexp.MustCompile(`[ \t\r]+`)

// diffText compares line by line without regard to how wide spaces are.
func diffText(want, got string) string {
	tidy := func(s string) string {
		lines := strings.Split(strings.TrimSpace(normalise(s)), "\n")
		for i, line := range lines {
			lines[i] = strings.TrimSpace(spaces.ReplaceAllString(line, " "))
		}
		return strings.Join(lines, "\n")
	}
	if !matches(tidy(want), tidy(got)) {
		return "the page shows another output than this"
	}
	return ""
}

// matches compares a text in which "…" stands for anything.
func matches(want, got string) bool {
	if !strings.Contains(want, anything) {
		return want == got
	}
	parts := strings.Split(want, anything)
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return regexp.MustCompile(`(?s)\A` + strings.Join(parts, ".*?") + `\z`).MatchString(got)
}

// diffJSON compares values, not spelling: protojson varies its white space. A
// stream is one value after another.
func diffJSON(want, got string) string {
	w, err := jsonValues(want)
	if err != nil {
		return "the page's output is not JSON: " + err.Error()
	}
	g, err := jsonValues(got)
	if err != nil {
		return "the output is not JSON: " + err.Error()
	}
	if len(w) != len(g) {
		return fmt.Sprintf("the output has %d JSON values, and the page shows %d", len(g), len(w))
	}
	for i := range w {
		if problem := diffValue("$", w[i], g[i]); problem != "" {
			return problem
		}
	}
	return ""
}

func jsonValues(text string) (all []any, err error) {
	for dec := json.NewDecoder(strings.NewReader(text)); ; {
		var v any
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
}

func diffValue(at string, want, got any) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v, and the page shows an object", at, got)
		}
		return diffObject(at, w, g)
	case []any:
		g, ok := got.([]any)
		if !ok {
			return fmt.Sprintf("%s is %v, and the page shows a list", at, got)
		}
		return diffList(at, w, g)
	case string:
		if w == anything {
			return ""
		}
		if g, ok := got.(string); ok && matches(normalise(w), normalise(g)) {
			return ""
		}
	default:
		if reflect.DeepEqual(want, got) {
			return ""
		}
	}
	return fmt.Sprintf("%s is %#v, and the page shows %#v", at, got, want)
}

func diffObject(at string, want, got map[string]any) string {
	_, open := want[anything]
	for key := range got {
		if _, shown := want[key]; !shown && !open {
			return fmt.Sprintf("%s.%s is not on the page", at, key)
		}
	}
	for key, w := range want {
		if key == anything {
			continue
		}
		g, ok := got[key]
		if !ok {
			return fmt.Sprintf("%s.%s is on the page and not there", at, key)
		}
		if problem := diffValue(at+"."+key, w, g); problem != "" {
			return problem
		}
	}
	return ""
}

// diffList lets an element "…" stand for any number of elements, at the end.
func diffList(at string, want, got []any) string {
	open := len(want) > 0 && want[len(want)-1] == any(anything)
	if open {
		want = want[:len(want)-1]
	}
	if len(got) < len(want) || !open && len(got) > len(want) {
		return fmt.Sprintf("%s has %d elements, and the page shows %d", at, len(got), len(want))
	}
	for i, w := range want {
		if problem := diffValue(fmt.Sprintf("%s[%d]", at, i), w, got[i]); problem != "" {
			return problem
		}
	}
	return ""
}

// TestCompare makes sure that the comparison can fail.
func TestCompare(t *testing.T) {
	for name, c := range map[string]struct {
		json      bool
		want, got string
		same      bool
	}{
		"text":                    {false, "a\n  b", "a\nb\n", true},
		"other text":              {false, "a", "b", false},
		"left out":                {false, "a … c", "a b\nb c", true},
		"wrong after left out":    {false, "a … d", "a b c", false},
		"date":                    {false, "Date: Sun, 22 Nov 2026 11:46:50 GMT", "Date: Mon, 23 Nov 2026 01:00:00 GMT", true},
		"measured":                {false, "total 1.25ms", "total 50µs", true},
		"asked for":               {false, "clock of 200ms", "clock of 300ms", false},
		"json":                    {true, `{"a":1}`, `{ "a": 1 }`, true},
		"other value":             {true, `{"a":1}`, `{"a":2}`, false},
		"one too many":            {true, `{"a":1}`, `{"a":1,"b":2}`, false},
		"one too few":             {true, `{"a":1,"b":2}`, `{"a":1}`, false},
		"others left out":         {true, `{"a":1,"…":"…"}`, `{"a":1,"b":2}`, true},
		"missing among left out":  {true, `{"a":1,"…":"…"}`, `{"b":2}`, false},
		"elements left out":       {true, `[1,"…"]`, `[1,2,3]`, true},
		"wrong before left out":   {true, `[2,"…"]`, `[1,2,3]`, false},
		"list too short":          {true, `[1,2]`, `[1]`, false},
		"within a string":         {true, `{"a":"x…z"}`, `{"a":"xyz"}`, true},
		"duration":                {true, `{"a":"0.001s"}`, `{"a":"0.000123456s"}`, true},
		"one after another":       {true, `{"a":1}{"a":2}`, "{\"a\":1}\n{\"a\":2}\n", true},
		"one after another, less": {true, `{"a":1}`, `{"a":1}{"a":2}`, false},
		"not an object":           {true, `{"a":{"b":1}}`, `{"a":1}`, false},
		"output that is no JSON":  {true, `{}`, `oops`, false},
		"number is not a string":  {true, `{"a":"1"}`, `{"a":1}`, false},
		"page that is not JSON":   {true, `{"a":…}`, `{"a":1}`, false},
		"anything for any value":  {true, `{"a":"…"}`, `{"a":[1]}`, true},
		"anything must be there":  {true, `{"a":"…"}`, `{}`, false},
		"no list where one shows": {true, `[1]`, `1`, false},
	} {
		diff := diffText
		if c.json {
			diff = diffJSON
		}
		if problem := diff(c.want, c.got); (problem == "") != c.same {
			t.Errorf("%s: %q, want them to be the same: %v", name, problem, c.same)
		}
	}
}

func TestPorts(t *testing.T) {
	c := &child{grpc: "40001", rest: "40002", httpbin: "40003"}
	const text = "curl 127.0.0.1:8080 localhost:8080/v1 http://127.0.0.1:8081/get grpcurl 127.0.0.1:9090 127.0.0.1:80801 example.com:8080"
	want := "curl 127.0.0.1:40002 localhost:40002/v1 http://127.0.0.1:40003/get grpcurl 127.0.0.1:40001 127.0.0.1:80801 example.com:8080"
	if got := c.rewrite(text); got != want {
		t.Errorf("rewrite gives %s, want %s", got, want)
	}
	if got := c.restore(want); got != text {
		t.Errorf("restore gives %s, want %s", got, text)
	}
}

func TestFenceParsing(t *testing.T) {
	p := parsePage(t, "x.md", "# A\n```sh\necho a\n```\nb\n```json\n{}\n```\n")
	if len(p.fences) != 2 || p.fences[0] != (fence{"sh", 3, "echo a\n"}) || p.fences[1] != (fence{"json", 7, "{}\n"}) {
		t.Errorf("the fences are %+v", p.fences)
	}
	if strings.Contains(p.prose, "echo") || !strings.Contains(p.prose, "# A") {
		t.Errorf("the prose is %q", p.prose)
	}
	r := &runner{t: t, page: p}
	if r.output(0) == nil || r.output(1) != nil || !slices.Contains(fences, p.fences[0].info) {
		t.Error("the JSON is not seen as the output of the command")
	}
}
