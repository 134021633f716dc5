package content

import (
	"errors"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

func TestCodingOf(t *testing.T) {
	for _, tc := range []struct {
		name   string
		values []string
		coding string
		known  bool
		bad    bool
	}{
		{"none", nil, "", true, false},
		{"empty", []string{"", " , "}, "", true, false},
		{"identity", []string{"Identity, identity"}, "", true, false},
		{"gzip", []string{" GZIP "}, "gzip", true, false},
		{"x-gzip", []string{"x-gzip"}, "gzip", true, false},
		{"br beside identity", []string{"identity", "br"}, "br", true, false},
		{"unknown", []string{"AWS-chunked"}, "aws-chunked", false, false},
		{"two in one value", []string{"gzip, br"}, "", false, true},
		{"two values", []string{"gzip", "gzip"}, "", false, true},
		{"known and unknown", []string{"gzip, utf-8"}, "", false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			coding, known, err := CodingOf(tc.values)
			if errors.Is(err, fault.BadContentCoding) != tc.bad || coding != tc.coding || known != tc.known {
				t.Errorf("CodingOf(%q) = %q, %t, %v; want %q, %t, bad coding %t", tc.values, coding, known, err, tc.coding, tc.known, tc.bad)
			}
		})
	}
}

// What is offered is what can be undone.
func TestAcceptEncoding(t *testing.T) {
	for coding := range strings.SplitSeq(AcceptEncoding(), ", ") {
		if _, known, err := CodingOf([]string{coding}); !known || err != nil {
			t.Errorf("CodingOf(%q) = %t, %v", coding, known, err)
		}
		if _, _, err := Decode(coding, nil, plenty()); err != nil {
			t.Errorf("Decode of %q: %v", coding, err)
		}
	}
}
