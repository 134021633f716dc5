package policy

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

func TestEmptyFileDeniesEverything(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "{}\n", "\ufeff", "---\n...\n", "upstreams: []\n"} {
		s := mustParse(t, text)
		u, _ := target.Parse("https://example.com/")
		if _, err := s.Match(u); !errors.Is(err, fault.PolicyDenied) {
			t.Errorf("Parse(%q) then Match gives %v, want a denial", text, err)
		}
	}
}

// TestDecode holds what values are taken for.
func TestDecode(t *testing.T) {
	tests := []struct {
		name, text string
		want       *policyv1.Policy
	}{
		{"durations", "defaults: {timeouts: {total: 1m30s, attempt: 1.5s, connect: \"500ms\"}}",
			&policyv1.Policy{Defaults: &policyv1.Defaults{Timeouts: &policyv1.Timeouts{
				Total: durationpb.New(90 * time.Second), Attempt: durationpb.New(1500 * time.Millisecond), Connect: durationpb.New(500 * time.Millisecond),
			}}}},
		{"numbers", "defaults: {retry: {max_attempts: 3, read: 0, statuses: [502, 503], budget: {ratio: 1}}}",
			&policyv1.Policy{Defaults: &policyv1.Defaults{Retry: &policyv1.Retry{
				MaxAttempts: proto.Int32(3), Read: proto.Int32(0), Statuses: []int32{502, 503},
				Budget: &policyv1.RetryBudget{Ratio: proto.Float64(1)},
			}}}},
		{"numbers as text, as they are written", "defaults: {tls: {min_version: 1.2}}\noperators: [007, 1e3, 2026-01-02]",
			&policyv1.Policy{
				Defaults:  &policyv1.Defaults{Tls: &policyv1.Tls{MinVersion: "1.2"}},
				Operators: []string{"007", "1e3", "2026-01-02"},
			}},
		{"an empty mapping is there", "batch: {}", &policyv1.Policy{Batch: &policyv1.Batch{}}},
		{"an empty list at the top is none", "upstreams: []\noperators: []", &policyv1.Policy{}},
		{"a byte order mark", "\ufeffoperators: [a]", &policyv1.Policy{Operators: []string{"a"}}},
		{"other line ends", "operators:\r\n  - a\r  - b\n", &policyv1.Policy{Operators: []string{"a", "b"}}},
		{"JSON", `{"operators": ["a", "*"]}`, &policyv1.Policy{Operators: []string{"a", "*"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := readDocument("p.yaml", []byte(tt.text))
			if len(d.problems) > 0 {
				t.Fatalf("it has faults: %v", d.problems)
			}
			if !proto.Equal(d.file, tt.want) {
				t.Errorf("got %v, want %v", d.file, tt.want)
			}
		})
	}
}

// TestEveryFieldRefusesWhatItIsNot writes for every field of the schema a value
// of another kind, and asks for the fault at its path.
func TestEveryFieldRefusesWhatItIsNot(t *testing.T) {
	fields := 0
	var walk func(md protoreflect.MessageDescriptor, path, before, after string, seen []protoreflect.FullName)
	walk = func(md protoreflect.MessageDescriptor, path, before, after string, seen []protoreflect.FullName) {
		for _, name := range seen {
			if name == md.FullName() {
				return
			}
		}
		seen = append(seen, md.FullName())
		for i := range md.Fields().Len() {
			fields++
			fd := md.Fields().Get(i)
			at, open, end := joinPath(path, fd.TextName()), before+"{"+fd.TextName()+": ", "}"+after
			wrong := "[[1]]"
			if fd.IsList() {
				wrong = "{a: b}"
			}
			d := readDocument("p.yaml", []byte(open+wrong+end))
			if len(d.problems) == 0 || d.problems[0].Path != at {
				t.Errorf("%s%s%s: got %v, want a fault at %s", open, wrong, end, d.problems, at)
			}
			if !isMessage(fd) {
				continue
			}
			if fd.IsList() {
				walk(fd.Message(), at+"[0]", open+"[", "]"+end, seen)
				continue
			}
			walk(fd.Message(), at, open, end, seen)
		}
	}
	walk(new(policyv1.Policy).ProtoReflect().Descriptor(), "", "", "", nil)
	if fields < 100 {
		t.Errorf("only %d fields were tried", fields)
	}
}

func TestManyFaults(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, "wrong%d: 1\n", i)
	}
	_, err := Parse("p.yaml", []byte(b.String()), Options{})
	var faults *Error
	if !errors.As(err, &faults) {
		t.Fatalf("Parse gives %v, want faults", err)
	}
	last := faults.Problems[len(faults.Problems)-1]
	if len(faults.Problems) != maxProblems+1 || last.Reason != "and 4000 more" {
		t.Errorf("%d problems, the last is %q", len(faults.Problems), last.Reason)
	}
	if lines := strings.Count(err.Error(), "\n"); lines > 4*maxShown || !strings.HasSuffix(err.Error(), "\n901 more") {
		t.Errorf("the text has %d lines", lines)
	}
}

func TestBounds(t *testing.T) {
	if _, err := Parse("p.yaml", bytes.Repeat([]byte("\n"), maxFile+1), Options{}); err == nil || !strings.Contains(err.Error(), "larger than 16MiB") {
		t.Errorf("a file that is too large gives %v", err)
	}
	deep := "upstreams: [{deny: " + strings.Repeat("{rules: [", maxDepth) + strings.Repeat("]}", maxDepth) + "}]"
	if _, err := Parse("p.yaml", []byte(deep), Options{}); err == nil || !strings.Contains(err.Error(), "too deeply") {
		t.Errorf("a file that nests too deeply gives %v", err)
	}
	for _, text := range []string{strings.Repeat("[", 20000), strings.Repeat("a: {", 20000), strings.Repeat("- ", 20000)} {
		if _, err := Parse("p.yaml", []byte(text), Options{}); err == nil {
			t.Errorf("%.8s… nested 20,000 times is accepted", text)
		}
	}
}

func TestWarningsDoNotFail(t *testing.T) {
	const text = "credentials:\n  - {name: idle, bind: [https://a.example], bearer: {token: {secret: env:T}}}\n"
	s, err := Parse("p.yaml", []byte(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Warnings) != 1 || !strings.HasPrefix(s.Warnings[0], "p.yaml:2:12 credentials[0].name: warning: ") {
		t.Errorf("the warnings are %q", s.Warnings)
	}
	_, err = Parse("p.yaml", []byte(text+"opertors: [a]\n"), Options{})
	if err == nil || strings.Contains(err.Error(), "warning") || strings.Count(err.Error(), "p.yaml") != 1 {
		t.Errorf("beside a fault: %v, want the fault alone", err)
	}
}

func TestLoadFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "policy.yaml")
	if _, err := Load(name, Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there gives %v", err)
	}
	if err := os.WriteFile(name, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(name, Options{})
	if err != nil {
		t.Fatal(err)
	}
	same := mustParse(t, sample)
	if s.Source != name || s.Generation != 1 || s.SHA256 != same.SHA256 || len(s.SHA256) != 64 || s.LoadedAt.IsZero() {
		t.Errorf("the snapshot is %q, generation %d, digest %q", s.Source, s.Generation, s.SHA256)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	raw, err := os.ReadFile("testdata/faults.txt")
	if err != nil {
		f.Fatal(err)
	}
	for c := range strings.SplitSeq(string(raw), "### ") {
		_, text, _ := strings.Cut(c, "\n")
		text, _, _ = strings.Cut(text, "=>\n")
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse("p.yaml", text, Options{}) // must not panic
		var faults *Error
		switch {
		case err == nil && s == nil, err != nil && s != nil:
			t.Errorf("Parse gives %v and %v", s, err)
		case errors.As(err, &faults):
			lines := bytes.Count(oneLineBreak(text), []byte("\n")) + 1
			for _, p := range faults.Problems {
				if p.Line > lines || p.Reason == "" || p.Warning || strings.ContainsAny(p.Text, "\x1b\n") {
					t.Errorf("%+v in a file of %d lines", p, lines)
				}
			}
		}
	})
}
