package policy

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFaults holds the text of every kind of fault: testdata/faults.txt has a
// name, a file, and what loading it says.
func TestFaults(t *testing.T) {
	raw, err := os.ReadFile("testdata/faults.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split(string(raw), "### ")[1:]
	if len(cases) == 0 {
		t.Fatal("testdata/faults.txt holds no case")
	}
	for _, c := range cases {
		name, rest, _ := strings.Cut(c, "\n")
		text, want, ok := strings.Cut(rest, "=>\n")
		if !ok {
			t.Fatalf("case %q has no line =>", name)
		}
		t.Run(name, func(t *testing.T) {
			_, err := Parse("p.yaml", []byte(text), Options{})
			var faults *Error
			if !errors.As(err, &faults) {
				t.Fatalf("Parse gives %v, want faults", err)
			}
			if diff := cmp.Diff(want, err.Error()+"\n"); diff != "" {
				t.Errorf("Parse says (-want +got):\n%s", diff)
			}
		})
	}
}
