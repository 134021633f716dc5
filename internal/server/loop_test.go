package server

import (
	"net/http"
	"testing"
)

func TestLoops(t *testing.T) {
	const me = "fetchsvc-abc"
	for name, c := range map[string]struct {
		fields []string
		want   bool
	}{
		"none":                        {nil, false},
		"empty":                       {[]string{""}, false},
		"alone":                       {[]string{me}, true},
		"other case":                  {[]string{"FETCHSVC-ABC"}, true},
		"last of several":             {[]string{"cdn.example, other , " + me}, true},
		"first of several":            {[]string{me + ",cdn.example"}, true},
		"with parameters":             {[]string{"a;b=c, " + me + " ; v=1;x=\"y\""}, true},
		"in a second field":           {[]string{"cdn.example", me}, true},
		"behind a quoted comma":       {[]string{`a;b="c,d\",e", ` + me}, true},
		"in a quoted string":          {[]string{`a;b="x, ` + me + `, y"`}, false},
		"behind an open quoted one":   {[]string{`a;b="x, ` + me}, false},
		"behind a cut escape":         {[]string{`a;b="\`}, false},
		"as a parameter":              {[]string{"a;" + me}, false},
		"as a part of another":        {[]string{me + "d, x" + me + ", " + me + ".example"}, false},
		"of another instance":         {[]string{"fetchsvc-abd"}, false},
		"empty members":               {[]string{",,, ,;," + me}, true},
		"only empty members":          {[]string{",,;,"}, false},
		"host and port of an outside": {[]string{"cdn.example:443"}, false},
	} {
		if got := loops(http.Header{"Cdn-Loop": c.fields}, me); got != c.want {
			t.Errorf("%s: loops(%q) = %v, want %v", name, c.fields, got, c.want)
		}
	}
	if loops(http.Header{"Cdn-Loop": {"", ",", " "}}, "") {
		t.Error("without a token, an empty member is a loop")
	}
}
