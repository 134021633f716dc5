package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// crowded is a policy of 100,000 host patterns, a tenth of them wildcards, by
// upstreams of 100. Each has rules that look at callers, methods and paths.
func crowded(t testing.TB) *Snapshot {
	t.Helper()
	const upstreams, hosts = 1000, 100
	var b strings.Builder
	b.WriteString("callers: [{name: billing}, {name: reports}]\nupstreams:\n")
	for i := range upstreams {
		fmt.Fprintf(&b, "  - name: up%d\n    allow: {callers: [ci-*, billing], paths: [/v1/**, /v2/*/items/*.json]}\n", i)
		b.WriteString("    deny: {rules: [{paths: [/v1/admin/**]}, {callers: [reports], methods: [DELETE]}]}\n")
		b.WriteString("    routes: [{paths: [/v1/orders/**], methods: [GET], timeouts: {total: 5s}}, {callers: [ci-*], timeouts: {total: 9s}}]\n")
		b.WriteString("    hosts:\n")
		for j := range hosts {
			star := ""
			if j%10 == 9 {
				star = "*."
			}
			fmt.Fprintf(&b, "      - \"%sh%d.u%d.example.com\"\n", star, j, i)
		}
	}
	s, err := Parse("policy.yaml", []byte(b.String()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.index.upstreams); n != upstreams*hosts {
		t.Fatalf("the policy has %d patterns, want %d", n, upstreams*hosts)
	}
	return s
}

// decisions are calls to a crowded policy: allowed ones, by the route that they
// get, and refused ones.
var decisions = []struct {
	name, caller, method, url string
	route                     string // empty: denied
}{
	{"exact", "billing", "POST", "https://h50.u500.example.com/v1/invoices/7", "up500"},
	{"route", "billing", "GET", "https://h50.u500.example.com/v1/orders/7/lines", "up500 routes[0]"},
	{"caller pattern", "ci-linux", "POST", "https://h0.u999.example.com/v2/a/items/b.json", "up999 routes[1]"},
	{"wildcard", "billing", "GET", "https://a.b.c.h99.u0.example.com/v1/orders/7", "up0 routes[0]"},
	{"unknown host", "billing", "GET", "https://nobody.example.org/v1/orders/7", ""},
	{"denied path", "billing", "GET", "https://h50.u500.example.com/v1/admin/keys", ""},
}

func query(t testing.TB, caller, method, url string) Query {
	t.Helper()
	u, err := target.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	return Query{Caller: caller, Method: method, URL: u}
}

// TestDecideDoesNotAllocate: a call that is allowed pays no allocation for being
// judged, however many hosts and rules there are.
func TestDecideDoesNotAllocate(t *testing.T) {
	s := crowded(t)
	for _, c := range decisions {
		t.Run(c.name, func(t *testing.T) {
			q := query(t, c.caller, c.method, c.url)
			d, err := s.Decide(q)
			if c.route == "" {
				if !errors.Is(err, fault.PolicyDenied) {
					t.Errorf("Decide gives %v, want a denial", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(d.Route.Upstream.Name + " " + d.Route.Name); got != c.route {
				t.Errorf("it gets %q, want %q", got, c.route)
			}
			if n := testing.AllocsPerRun(100, func() { _, err = s.Decide(q) }); n != 0 || err != nil {
				t.Errorf("Decide allocates %v times, and gives %v", n, err)
			}
		})
	}
}

func BenchmarkDecide(b *testing.B) {
	s := crowded(b)
	for _, c := range decisions {
		b.Run(strings.ReplaceAll(c.name, " ", "-"), func(b *testing.B) {
			q := query(b, c.caller, c.method, c.url)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Decide(q); (err != nil) != (c.route == "") {
					b.Fatal(err)
				}
			}
		})
	}
}
