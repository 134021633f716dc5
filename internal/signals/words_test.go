package signals

import (
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// What spans say of a request that cannot be read has nothing of its content.
func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		`headers: unexpected token "sesame\u003e \"sesame" (line 1, column 40): it takes a list`: `headers: unexpected token "…" (line 1, column 40): it takes a list`,
		`url: unexpected token sesame (line 1, column 8)`:                                        `url: a value that is not shown (line 1, column 8)`,
		`url: invalid value sesame sesame (line 1, column 8)`:                                    `url: a value that is not shown (line 1, column 8)`,
		`item: invalid value for uint32 field item: 1e9999 (line 1, column 8): a number`:         `item: a value that is not shown (line 1, column 8): a number`,
		`body: unterminated "sesame`:                                                             `body: unterminated "…"`,
		`url: has no scheme: begin it with https:// or http://`:                                  `url: has no scheme: begin it with https:// or http://`,
	} {
		if got := words(fault.New(fault.InvalidRequest, in)); got != want || strings.Contains(got, "sesame") {
			t.Errorf("%s becomes %s, want %s", in, got, want)
		}
	}
	denied := `GET http://a/ is denied to caller "b"`
	if got := words(fault.New(fault.PolicyDenied, denied)); got != denied {
		t.Errorf("%s becomes %s", denied, got)
	}
}
