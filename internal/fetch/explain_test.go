package fetch

import (
	"fmt"
	"math/rand/v2"
	"net"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

const explained = `
callers: [{name: billing}, {name: ci-1}]
credentials:
  - {name: github-token, bind: ["https://api.github.test", "https://other.test"], bearer: {token: {secret: env:NOBODY_SETS_THIS}}}
defaults:
  timeouts: {connect: 2s}
upstreams:
  - name: github
    hosts: [api.github.test]
    credential: github-token
    timeouts: {attempt: 3s, max: {total: 20s}}
    retry: {max_attempts: 3, backoff: {base: 1s, max: 4s, jitter: equal}, max: {max_attempts: 4}}
    allow: {callers: [billing, "ci-*"]}
    deny: {rules: [{methods: [DELETE]}, {paths: [/admin/**], callers: [ci-*]}]}
    limits: {concurrent: 7}
    grants: [request_proxy, unsafe_request_host]
    routes:
      - {paths: [/search/**], timeouts: {total: 1m30s, max: {total: 2m}}, redirects: {limit: 2}}
      - {methods: [POST], min_rate: 1KiB}
  - name: trial
    hosts: ["*.trial.test:*"]
    schemes: [http, https]
    mode: report
    deny: {methods: [PUT]}
    tls: {min_version: "1.3"}
  - name: local
    hosts: ["127.0.0.1:*", "10.0.0.1"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.0.0.0/8]
    sizes: {request: 1KiB}
`

func settingsOf(x *Explanation) map[string]Setting {
	out := map[string]Setting{}
	for _, s := range x.Settings {
		out[s.Name] = s
	}
	return out
}

func asCaller(req *Request, caller string) *Request {
	req.Caller = caller
	return req
}

func TestExplainTellsWhereSettingsComeFrom(t *testing.T) {
	e := newEngine(t, explained)
	req := asCaller(request(t, "GET", "https://api.github.test/search/code"), "billing")
	mode, attempts := policy.RedirectNone, 2
	req.Timeouts.Connect = time.Second
	req.Redirects.Mode = &mode
	req.Retry = &Retry{MaxAttempts: &attempts, Methods: []string{"GET", "FIND"}}
	req.MaxResponseBytes = 5 << 10
	req.Host = "other.test"
	x := e.Explain(t.Context(), req, false)
	if x.Fault != nil || x.Upstream != "github" || x.Route != "routes[0]" || x.Credential != "github-token" {
		t.Fatalf("got %v, upstream %q, route %q, credential %q; want it allowed by github routes[0] with github-token", x.Fault, x.Upstream, x.Route, x.Credential)
	}
	got := settingsOf(x)
	for _, want := range []Setting{
		{"timeouts.total", "1m30s", "upstream github routes[0]"},
		{"timeouts.attempt", "3s", "upstream github"},
		{"timeouts.connect", "1s", "request"},
		{"timeouts.tls", "5s", "built in"},
		{"timeouts.first_byte", "off", "built in"},
		{"min_rate", "none", "built in"},
		{"credential", "github-token (bearer)", "upstream github"},
		{"retry.max_attempts", "2", "request"},
		{"retry.backoff.jitter", "equal", "upstream github"},
		{"retry.read", "1", "request"},
		{"retry.methods", "[GET, FIND]", "request"},
		{"retry.statuses", "[408, 425, 429, 502, 503, 504]", "built in"},
		{"retry.budget.ratio", "0.2", "built in"},
		{"redirects.mode", "none", "request"},
		{"redirects.limit", "2", "upstream github routes[0]"},
		{"sizes.request", "16MiB", "built in"},
		{"sizes.response", "5KiB", "request"},
		{"sizes.decoded", "5KiB", "request"},
		{"limits.concurrent", "7", "upstream github"},
		{"limits.queue", "7", "upstream github"},
		{"grants", "[request_proxy, unsafe_request_host]", "upstream github"},
		{"request_host", "other.test", "request"},
		{"proxy", "none", "built in"},
		{"tls.min_version", "1.2", "built in"},
		{"mode", "enforce", "built in"},
	} {
		if got[want.Name] != want {
			t.Errorf("got %v, want %v", got[want.Name], want)
		}
	}
	plain := settingsOf(e.Explain(t.Context(), asCaller(request(t, "GET", "https://api.github.test/"), "billing"), false))
	for _, want := range []Setting{
		{"timeouts.total", "20s", "upstream github"}, // its ceiling brings the built-in 30s down
		{"timeouts.connect", "2s", "defaults"},
		{"retry.max_attempts", "3", "upstream github"},
		{"retry.methods", "[GET, HEAD, OPTIONS, TRACE, PUT, DELETE]", "built in"},
		{"redirects.limit", "10", "built in"},
	} {
		if plain[want.Name] != want {
			t.Errorf("without wishes: got %v, want %v", plain[want.Name], want)
		}
	}
}

// TestExplainKnowsEverySetting: whatever a route may set, Explain tells of.
func TestExplainKnowsEverySetting(t *testing.T) {
	e := newEngine(t, explained)
	got := settingsOf(e.Explain(t.Context(), asCaller(request(t, "GET", "https://api.github.test/"), "billing"), false))
	for field, prefix := range map[string]string{
		"Timeouts": "timeouts.", "Sizes": "sizes.", "Retry": "retry.", "Redirects": "redirects.", "Resume": "resume.",
	} {
		f, _ := reflect.TypeFor[policy.Settings]().FieldByName(field)
		n := 0
		for name := range got {
			if len(name) > len(prefix) && name[:len(prefix)] == prefix {
				n++
			}
		}
		if n < f.Type.NumField()-2 { // key methods are told where keys are made, methods are two fields
			t.Errorf("%s: %d settings for %d fields", field, n, f.Type.NumField())
		}
	}
}

// TestExplainWritesListsAsTheFileDoes has methods that no standard knows, and a
// mode that says what holds anyway.
func TestExplainWritesListsAsTheFileDoes(t *testing.T) {
	e := newEngine(t, `upstreams:
  - {name: a, hosts: [a.test], mode: enforce, retry: {methods: [FIND, GET], idempotency_key: {generate: true, methods: [MAKE]}}}
  - {name: b, hosts: [b.test], mode: report, retry: {methods: ["*"]}}
`)
	for host, want := range map[string][]Setting{
		"a.test": {
			{"mode", "enforce", "upstream a"}, {"retry.methods", "[FIND, GET]", "upstream a"},
			{"retry.idempotency_key.methods", "[MAKE]", "upstream a"},
		},
		"b.test": {{"mode", "report", "upstream b"}, {"retry.methods", "[*]", "upstream b"}},
	} {
		got := settingsOf(e.Explain(t.Context(), request(t, "GET", "https://"+host+"/"), false))
		for _, s := range want {
			if got[s.Name] != s {
				t.Errorf("%s: got %v, want %v", host, got[s.Name], s)
			}
		}
	}
}

func TestExplainDenials(t *testing.T) {
	e := newEngine(t, explained)
	for name, c := range map[string]struct {
		caller, method, url string
		change              func(*Request)
		want                fault.Kind
		upstream            string
	}{
		"no upstream":      {"billing", "GET", "https://elsewhere.test/", nil, fault.PolicyDenied, ""},
		"no such caller":   {"shop", "GET", "https://api.github.test/", nil, fault.PolicyDenied, "github"},
		"deny rule":        {"billing", "DELETE", "https://api.github.test/", nil, fault.PolicyDenied, "github"},
		"ambiguous path":   {"billing", "GET", "https://api.github.test/a/%2e%2e/admin", nil, fault.PolicyDenied, "github"},
		"too long a clock": {"billing", "GET", "https://api.github.test/", func(r *Request) { r.Timeouts.Total = time.Hour }, fault.InvalidRequest, "github"},
		"no grant":         {"billing", "GET", "https://api.github.test/", func(r *Request) { r.Connection = &egress.Override{SkipVerify: true} }, fault.NotGranted, "github"},
		"other credential": {"billing", "GET", "https://api.github.test/", func(r *Request) { r.Credential = "another" }, fault.NotGranted, "github"},
		"body too large":   {"", "POST", "http://127.0.0.1:1/", func(r *Request) { r.Body = Bytes(make([]byte, 2000)) }, fault.RequestTooLarge, "local"},
		"denied address":   {"", "GET", "https://10.0.0.1/", nil, fault.AddressDenied, "local"},
		"too much, denied": {"shop", "GET", "https://api.github.test/", func(r *Request) { r.Timeouts.Total = time.Hour }, fault.PolicyDenied, "github"},
	} {
		t.Run(name, func(t *testing.T) {
			req := asCaller(request(t, c.method, c.url), c.caller)
			if c.change != nil {
				c.change(req)
			}
			x := e.Explain(t.Context(), req, false)
			if x.Fault == nil || x.Fault.Kind != c.want || x.Reason != x.Fault.Message || x.Upstream != c.upstream {
				t.Fatalf("got %v by upstream %q, want %s by %q", x.Fault, x.Upstream, c.want, c.upstream)
			}
			_, err := e.Do(t.Context(), req)
			if did := fault.From(err); did.Kind != c.want || did.Message != x.Reason {
				t.Errorf("Do says %s: %s\nExplain says %s: %s", did.Kind, did.Message, x.Fault.Kind, x.Reason)
			}
		})
	}
}

// TestExplainDecidesAsCallsDo asks both about the same random queries.
func TestExplainDecidesAsCallsDo(t *testing.T) {
	e := newEngine(t, explained)
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	decided := map[bool]int{}
	for range 5000 {
		url := pick("https://", "http://") + pick("api.github.test", "a.trial.test", "127.0.0.1", "trial.test", "other.test") +
			pick("", ":443", ":80", ":8443") + pick("", "/", "/search", "/search/x", "/admin/x", "/a//b", "/%2e%2e/admin", "/a;b")
		req := asCaller(request(t, pick("GET", "POST", "PUT", "DELETE", "FIND"), url), pick("billing", "ci-1", "ci-2", "shop", policy.Anonymous))
		x := e.Explain(t.Context(), req, false)
		d, err := e.Snapshot().Decide(policy.Query{Caller: req.Caller, Method: req.Method, URL: req.URL})
		decided[err == nil]++
		what := fmt.Sprintf("%s %s by %s", req.Method, url, req.Caller)
		switch {
		case err != nil:
			if x.Fault == nil || x.Fault.Error() != err.Error() {
				t.Fatalf("%s: Explain says %v, Decide says %v", what, x.Fault, err)
			}
		case x.Fault != nil || x.Upstream != d.Route.Upstream.Name || x.Route != d.Route.Name || x.Reported != d.Reported:
			t.Fatalf("%s: Explain says %+v, Decide says %+v", what, x, d)
		}
	}
	if decided[true] < 500 || decided[false] < 500 {
		t.Errorf("allowed and denied: %v, want many of both", decided)
	}
}

// TestExplainSendsNothing listens where the call would go.
func TestExplainSendsNothing(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string)
	go func() {
		defer close(heard)
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			heard <- c.RemoteAddr().String()
			_ = c.Close()
		}
	}()
	e := newEngine(t, fmt.Sprintf(`
upstreams:
  - name: local
    hosts: ["127.0.0.1:*"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.0.0.0/8]
    grants: [request_proxy]
  - {name: proxied, hosts: [a.test], proxy: {url: "http://%s"}}
`, lis.Addr()))
	for _, scheme := range []string{"http", "https"} {
		req := request(t, "POST", scheme+"://"+lis.Addr().String()+"/")
		req.Body = Bytes([]byte("x"))
		if x := e.Explain(t.Context(), req, true); x.Fault != nil || len(x.Addresses) != 1 || !x.Addresses[0].Allowed {
			t.Errorf("%s: got %v with %v, want it allowed with one address", scheme, x.Fault, x.Addresses)
		}
		req.Connection = &egress.Override{Proxy: &egress.CallProxy{Scheme: "http", Host: "127.0.0.1", Port: uint16(lis.Addr().(*net.TCPAddr).Port), Password: secret.NewValue("hush")}}
		if x := e.Explain(t.Context(), req, true); x.Fault != nil {
			t.Errorf("%s by a proxy of its own: got %v, want it allowed", scheme, x.Fault)
		}
	}
	if x := e.Explain(t.Context(), request(t, "GET", "https://a.test/"), false); x.Fault != nil {
		t.Errorf("by policy's proxy: got %v, want it allowed", x.Fault)
	}
	_ = lis.Close()
	for from := range heard {
		t.Errorf("there was a connection from %s", from)
	}
}

func TestExplainSchedule(t *testing.T) {
	e := newEngine(t, explained)
	x := e.Explain(t.Context(), asCaller(request(t, "GET", "https://api.github.test/"), "billing"), false)
	want := []Scheduled{
		{0, 0, 0, 3 * time.Second, true},
		{500 * time.Millisecond, time.Second, 4 * time.Second, 3 * time.Second, true},
		{time.Second, 2 * time.Second, 9 * time.Second, 3 * time.Second, true},
	}
	if !slices.Equal(x.Schedule, want) {
		t.Errorf("got %v, want %v", x.Schedule, want)
	}
	req := asCaller(request(t, "GET", "https://api.github.test/"), "billing")
	req.Timeouts.Total = 5 * time.Second
	req.Timeouts.Attempt = 4500 * time.Millisecond
	x = e.Explain(t.Context(), req, false)
	if x.Fault == nil {
		t.Fatalf("an attempt over its ceiling is allowed")
	}
	req.Timeouts.Attempt = 0
	want[1].Limit = time.Second
	want[2] = Scheduled{time.Second, 2 * time.Second, 7 * time.Second, 0, false}
	if x = e.Explain(t.Context(), req, false); !slices.Equal(x.Schedule, want) {
		t.Errorf("with a total of 5s: got %v, want %v", x.Schedule, want)
	}
}

// TestScheduleBoundsWaits draws waits and holds them to what Explain says.
func TestScheduleBoundsWaits(t *testing.T) {
	for _, jitter := range []string{"auto", "full", "equal", "decorrelated", "none"} {
		e := newEngine(t, `upstreams: [{name: a, hosts: [a.test], timeouts: {total: 10m}, retry: {max_attempts: 6, backoff: {base: 100ms, max: 3s, jitter: `+jitter+`}}}]`)
		x := e.Explain(t.Context(), request(t, "GET", "https://a.test/"), false)
		p := e.Snapshot().Upstreams[0].Base.Retry.Backoff
		b := backoff{p.Base, p.Max, jitters[p.Jitter]}
		rnd := rand.New(rand.NewPCG(3, 4))
		for range 1000 {
			var prev time.Duration
			for n, s := range x.Schedule[1:] {
				prev = b.wait(n, prev, rnd.IntN(2) == 0, rnd.Float64)
				if prev < s.WaitMin || prev > s.WaitMax {
					t.Fatalf("%s: wait %d is %s, and Explain says %s to %s", jitter, n, prev, s.WaitMin, s.WaitMax)
				}
			}
		}
	}
}

func TestExplainProxy(t *testing.T) {
	e := newEngine(t, `
defaults: {proxy: {url: "http://proxy.test:3128", username: someone, password: {secret: env:NOBODY_SETS_THIS}, no_proxy: ["*.inner.test", 10.0.0.0/8, "port.test:8443"]}}
upstreams:
  - {name: socks, hosts: [socks.test], proxy: {url: "socks5h://s.test", unsafe_proxy_resolves: true}}
  - {name: direct, hosts: [direct.test], proxy: {direct: true}}
  - {name: env, hosts: [env.test], proxy: {from_environment: true}}
  - {name: byname, hosts: [byname.test], schemes: [http], proxy: {url: "https://p.test", unsafe_proxy_resolves: true}}
  - {name: rest, hosts: ["*:*"], grants: [request_proxy]}
`)
	own := request(t, "GET", "https://own.test/")
	own.Connection = &egress.Override{Proxy: &egress.CallProxy{Scheme: "socks5", Host: "mine.test", Port: 1080, Username: secret.NewValue("me"), Password: secret.NewValue("hush")}}
	for _, c := range []struct {
		req          *Request
		want, source string
	}{
		{request(t, "GET", "https://a.test/"), "http://proxy.test:3128 (asked by CONNECT for a judged address)", "defaults"},
		{request(t, "GET", "https://x.inner.test/"), "none, by no_proxy", "defaults"},
		{request(t, "GET", "https://inner.test/"), "http://proxy.test:3128 (asked by CONNECT for a judged address)", "defaults"},
		{request(t, "GET", "https://10.1.2.3/"), "none, by no_proxy", "defaults"},
		{request(t, "GET", "https://port.test:8443/"), "none, by no_proxy", "defaults"},
		{request(t, "GET", "https://port.test/"), "http://proxy.test:3128 (asked by CONNECT for a judged address)", "defaults"},
		{request(t, "GET", "https://socks.test/"), "socks5h://s.test:1080 (asked by SOCKS5 for the name, which it resolves)", "upstream socks"},
		{request(t, "GET", "https://direct.test/"), "none", "upstream direct"},
		{request(t, "GET", "https://env.test/"), "from_environment", "upstream env"},
		{request(t, "GET", "http://byname.test/"), "https://p.test:443 (asked in absolute form for the name, which it resolves)", "upstream byname"},
		{own, "socks5://mine.test:1080 (asked by SOCKS5 for a judged address)", "request"},
	} {
		x := e.Explain(t.Context(), c.req, false)
		if got, want := settingsOf(x)["proxy"], (Setting{"proxy", c.want, c.source}); got != want {
			t.Errorf("%s: got %v, want %v", c.req.URL.Place(), got, want)
		}
	}
}

// TestExplainProxyBypass holds Explain's reading of no_proxy to what egress does:
// a call that bypasses the proxy reaches the upstream, one that does not fails at
// the proxy, where nothing listens.
func TestExplainProxyBypass(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := lis.Addr().String()
	_ = lis.Close()
	for _, noProxy := range []string{"127.0.0.1", "127.0.0.0/8", "10.0.0.0/8", "*", `"*:1"`, `"*.0.0.1"`, "localhost", `"127.0.0.1:1"`} {
		s, err := policy.Parse("test", fmt.Appendf(nil, `upstreams: [{name: a, hosts: ["127.0.0.1:*", "localhost:*"], schemes: [http], unsafe_allow_addresses: [127.0.0.0/8, "::1"], proxy: {url: "http://%s", no_proxy: [%s]}}]`, closed, noProxy), policy.Options{})
		if err != nil {
			continue // not a pattern
		}
		pools := egress.NewPools(egress.Config{})
		e := New(Config{Pools: pools, UserAgent: "fetchsvc/test"})
		e.Use(s)
		for _, host := range []string{"127.0.0.1", "localhost"} {
			u, _ := target.Parse("http://" + host + ":1/")
			req := &Request{Method: "GET", URL: u}
			told := settingsOf(e.Explain(t.Context(), req, false))["proxy"].Value == "none, by no_proxy"
			_, err := e.Do(t.Context(), req)
			if bypassed := fault.From(err).Kind != fault.ProxyUnreachable; told != bypassed {
				t.Errorf("no_proxy %s, %s: Explain says bypassed %v; the call ended with %v", noProxy, host, told, err)
			}
		}
		pools.Close()
	}
}
