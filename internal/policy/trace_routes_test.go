package policy

import (
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/target"
)

// TestTraceNamesARouteOnce: whichever of its paths were looked at.
func TestTraceNamesARouteOnce(t *testing.T) {
	text := "upstreams: [{name: a, hosts: [a.test], routes: [{paths: [/one, /two, /three/*], min_rate: 1KiB}]}]\n"
	s, err := Parse("p.yaml", []byte(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for path, matched := range map[string]bool{"/none": false, "/three/x": true} {
		u, err := target.Parse("https://a.test" + path)
		if err != nil {
			t.Fatal(err)
		}
		_, tr, err := s.Explain(Query{Caller: Anonymous, Method: "GET", URL: u})
		if err != nil || len(tr.Rules) != 2 || tr.Rules[1].Rule != "routes[0]" || tr.Rules[1].Matched != matched {
			t.Errorf("%s: got %+v, %v, want the upstream and the route, matched: %v", path, tr.Rules, err, matched)
		}
	}
}
