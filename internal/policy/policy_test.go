package policy

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

const sample = `
defaults:
  timeouts: {total: 20s, max: {total: 2m}}
  sizes: {response: 1MiB, max: {response: 8MiB}}
upstreams:
  - name: github
    hosts: [api.github.com, "*.githubusercontent.com"]
  - name: raw
    hosts: ["raw.githubusercontent.com", "*.raw.githubusercontent.com"]
    timeouts: {total: 60s, attempt: 5s, connect: 1s}
  - name: local
    hosts: ["127.0.0.1:8081", "[::1]:*", "localhost:8081"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.0.0.0/8, "::1"]
  - name: anything
    hosts: ["*"]
    sizes: {request: 1KiB}
  - name: odd-ports
    hosts: ["*.example.com:*", "a.example.com:8443"]
    schemes: [https]
`

func mustParse(t *testing.T, text string) *Snapshot {
	t.Helper()
	s, err := Parse("policy.yaml", []byte(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMatch(t *testing.T) {
	s := mustParse(t, sample)
	for raw, want := range map[string]string{
		"https://api.github.com/":                  "github",
		"https://API.GitHub.com./x":                "github",
		"https://x.githubusercontent.com/":         "github",
		"https://a.b.githubusercontent.com/":       "github",
		"https://raw.githubusercontent.com/":       "raw",
		"https://x.raw.githubusercontent.com/":     "raw",
		"https://githubusercontent.com/":           "anything",
		"https://evilgithubusercontent.com/":       "anything",
		"https://example.org/":                     "anything",
		"https://8.8.8.8/":                         "anything",
		"http://127.0.0.1:8081/":                   "local",
		"https://127.0.0.1:8081/":                  "local",
		"http://[::1]:9/":                          "local",
		"https://a.example.com:8443/":              "odd-ports",
		"https://b.example.com:1/":                 "odd-ports",
		"https://b.example.com/":                   "odd-ports",
		"http://example.org/":                      "",
		"http://api.github.com/":                   "",
		"https://api.github.com:8443/":             "",
		"http://127.0.0.1:8082/":                   "",
		"http://b.example.com/":                    "",
		"http://raw.githubusercontent.com.evil.x/": "",
	} {
		u, err := target.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		up, err := s.Match(u)
		if want == "" {
			if !errors.Is(err, fault.PolicyDenied) {
				t.Errorf("Match(%s) = %v, %v, want a denial", raw, up, err)
			}
			continue
		}
		if err != nil || up.Name != want {
			t.Errorf("Match(%s) = %v, %v, want %s", raw, up, err, want)
		}
	}
}

func TestDenialNamesTheNearestRule(t *testing.T) {
	s := mustParse(t, sample)
	u, _ := target.Parse("https://api.github.com:8443/")
	_, err := s.Match(u)
	if err == nil || !strings.Contains(err.Error(), `"github"`) || !strings.Contains(err.Error(), "https://api.github.com:8443") {
		t.Errorf("Match says %v, want it to name the upstream and the origin", err)
	}
	_, err = DenyAll().Match(u)
	if err == nil || !strings.Contains(err.Error(), "--policy") {
		t.Errorf("DenyAll says %v, want a hint at --policy", err)
	}
}

func TestInheritance(t *testing.T) {
	s := mustParse(t, sample)
	github, raw, anything := s.Upstreams[0], s.Upstreams[1], s.Upstreams[3]
	equal := mustParse(t, "upstreams: [{name: a, hosts: [a.example], sizes: {response: 1KiB}}, {name: b, hosts: [b.example], sizes: {max: {response: 1KiB}}, timeouts: {max: {total: 1s}}}]")
	sizes := func(request int64) Sizes {
		return Sizes{
			Request: request, RequestHeader: 1 << 20, Response: Bound[int64]{1 << 20, 8 << 20, true}, Ratio: 200, ResponseHeader: 256 << 10,
		}
	}
	batch := func(text string) Batch { return mustParse(t, "batch: "+text).Batch }
	for name, c := range map[string]struct{ got, want any }{
		"batch unset":              {batch("{}"), Batch{16, 100}},
		"batch value":              {batch("{concurrency: 8}"), Batch{8, 8}},
		"batch max":                {batch("{max: {concurrency: 4}}"), Batch{4, 4}},
		"batch both":               {batch("{concurrency: 8, max: {concurrency: 32}}"), Batch{8, 32}},
		"a value without max":      {equal.Upstreams[0].Base.Sizes.Response.Max, int64(1 << 10)},
		"a max below default":      {equal.Upstreams[1].Base.Sizes.Response.Default, int64(1 << 10)},
		"a max below total":        {equal.Upstreams[1].Base.Timeouts.Total, Clock{time.Second, time.Second, true}},
		"default total":            {github.Base.Timeouts.Total, Clock{20 * time.Second, 2 * time.Minute, true}},
		"own total, inherited max": {raw.Base.Timeouts.Total, Clock{time.Minute, 2 * time.Minute, true}},
		"own attempt":              {raw.Base.Timeouts.Attempt, Clock{5 * time.Second, 5 * time.Second, false}},
		"own connect":              {raw.Base.Timeouts.Connect, Clock{time.Second, time.Second, false}},
		"built-in tls":             {raw.Base.Timeouts.TLS, 5 * time.Second},
		"attempt off":              {github.Base.Timeouts.Attempt, Clock{}},
		"sizes of defaults":        {github.Base.Sizes, sizes(16 << 20)},
		"own request size":         {anything.Base.Sizes, sizes(1 << 10)},
		"schemes":                  {strings.Join(github.Schemes, ","), "https"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %+v, want %+v", name, c.got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	up := func(rest string) string { return "upstreams:\n  - name: a\n    hosts: [a.example]\n    " + rest + "\n" }
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"unknown key":          {up("timeout: 3s"), []string{"p.yaml:4:5", `"timeout"`}},
		"key twice":            {up("hosts: [b.example]"), []string{"p.yaml:4", "hosts", "given twice"}},
		"second document":      {"upstreams: []\n---\nupstreams: []\n", []string{"second document"}},
		"carriage returns":     {"upstreams:\r  - name: a\r    hosts: [a.example]\r    timeout: 3s\r", []string{"p.yaml:4:5", `"timeout"`}},
		"not yaml":             {"upstreams: [", []string{"p.yaml"}},
		"no unit":              {up("timeouts: {total: 30}"), []string{"p.yaml:4"}},
		"negative timeout":     {up("timeouts: {total: -1s}"), []string{"p.yaml:4", "total"}},
		"size without unit":    {up(`sizes: {response: "64"}`), []string{"p.yaml:4:23", "no unit", "3MiB"}},
		"size over ceiling":    {up("sizes: {request: 1GiB}"), []string{"p.yaml:4:22", "16MiB"}},
		"max below default":    {up("timeouts: {total: 30s, max: {total: 10s}}"), []string{"p.yaml:4", "below"}},
		"batch max below":      {"batch: {concurrency: 8, max: {concurrency: 4}}\n", []string{"p.yaml:1", "below"}},
		"bad scheme":           {up("schemes: [ftp]"), []string{"p.yaml:4", "schemes"}},
		"bad range":            {up("unsafe_allow_addresses: [10.0.0.1/8]"), []string{"p.yaml:4:30", "10.0.0.0/8"}},
		"mapped range":         {up(`unsafe_allow_addresses: ["::ffff:10.0.0.0/104"]`), []string{"p.yaml:4:30", "IPv4 written as IPv6", "write 10.0.0.0/8"}},
		"mapped, bits behind":  {up(`unsafe_allow_addresses: ["::ffff:10.0.0.1/104"]`), []string{"p.yaml:4:30", "write 10.0.0.0/8"}},
		"mapped, in hex":       {up(`unsafe_allow_addresses: ["::ffff:a00:0/104"]`), []string{"write 10.0.0.0/8"}},
		"mapped, everything":   {up(`unsafe_allow_addresses: ["::ffff:0:0/96"]`), []string{"write 0.0.0.0/0"}},
		"mapped address":       {up(`unsafe_allow_addresses: ["::ffff:10.1.2.3"]`), []string{"write 10.1.2.3"}},
		"no name":              {"upstreams:\n  - hosts: [a.example]\n", []string{"name"}},
		"no hosts":             {"upstreams:\n  - name: a\n", []string{"hosts"}},
		"bad name":             {"upstreams:\n  - name: A b\n    hosts: [a.example]\n", []string{"name"}},
		"name twice":           {"upstreams:\n  - {name: a, hosts: [a.example]}\n  - {name: a, hosts: [b.example]}\n", []string{"p.yaml:3:12", "twice"}},
		"host twice":           {"upstreams:\n  - {name: a, hosts: [x.example]}\n  - {name: b, hosts: [X.example]}\n", []string{"p.yaml:3:23", `upstream "a"`}},
		"star inside":          {"upstreams:\n  - {name: a, hosts: [\"a.*.example\"]}\n", []string{"star"}},
		"a URL":                {"upstreams:\n  - {name: a, hosts: [\"https://a.example\"]}\n", []string{"more than a host", "schemes"}},
		"port range":           {"upstreams:\n  - {name: a, hosts: [\"a.example:70000\"]}\n", []string{"65535"}},
		"two problems at once": {"upstreams:\n  - {name: a, hosts: [\"a.example:0\", \"*.1.2.3.4\"]}\n", []string{"65535", "no subdomains"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("p.yaml", []byte(c.text), Options{})
			if err == nil {
				t.Fatal("Parse accepts it")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Parse says:\n%v\nwant it to say %q", err, want)
				}
			}
		})
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	s := mustParse(t, sample)
	u, _ := target.Parse("https://a.b.c.d.githubusercontent.com/")
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.Match(u); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Match allocates %v times", n)
	}
}
