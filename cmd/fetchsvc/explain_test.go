package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// explained is the policy of these tests.
var explained = filepath.Join("testdata", "explain.yaml")

// explain runs `fetchsvc explain` by that policy.
func explain(t *testing.T, args ...string) result {
	t.Helper()
	return runToEnd(t, input{}, append([]string{"explain", "--policy", explained}, args...)...)
}

// TestExplainShows shows a reviewer what a user reads.
func TestExplainShows(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		code int
	}{
		"allowed":  {[]string{"GET", "https://example.test/a?token=hush&q=1"}, 0},
		"denied":   {[]string{"--caller=ci", "DELETE", "https://api.github.test/repos/x"}, 1},
		"no_match": {[]string{"GET", "http://example.test:8080/"}, 1},
		"route":    {[]string{"--caller=billing", "POST", "https://api.github.test/search/code"}, 0},
		"report":   {[]string{"-v", "--caller=billing", "POST", "https://a.partner.test:8443/x"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := explain(t, tt.args...)
			if r.code != tt.code {
				t.Errorf("exit code: got %d, want %d; stderr:\n%s", r.code, tt.code, r.stderr)
			}
			if strings.Contains(r.stdout+r.stderr, "hush") {
				t.Errorf("a secret is shown:\n%s%s", r.stdout, r.stderr)
			}
			golden(t, "explain_"+name+".golden", r.stdout)
		})
	}
}

// TestExplainTellsReportModeFromRefusal has one deny rule of each kind.
func TestExplainTellsReportModeFromRefusal(t *testing.T) {
	t.Parallel()
	file := writeTemp(t, "policy.yaml", `upstreams:
  - {name: a, hosts: [a.test], deny: {rules: [{methods: [PUT, POST], mode: report}, {methods: [POST]}]}}
`)
	for method, want := range map[string][]string{
		"PUT":  {"\n! only because of report mode: deny.rules[0]", "✓ deny.rules[0]  would refuse the call: it has methods", "✗ deny.rules[1]  PUT is not in"},
		"POST": {"✓ deny.rules[0]  would refuse the call: it has methods", "✓ deny.rules[1]  refuses the call: it has methods"},
	} {
		r := runToEnd(t, input{}, "explain", "--policy", file, method, "https://a.test/")
		for _, text := range want {
			if !strings.Contains(r.stdout, text) {
				t.Errorf("%s: got\n%swant %q in it", method, r.stdout, text)
			}
		}
	}
}

// TestPolicyHelp shows a reviewer what a user of explain and check reads.
func TestPolicyHelp(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"explain", "check"} {
		golden(t, "help_"+command+".golden", runToEnd(t, input{}, command, "--help").ok(t).stdout)
	}
}

func TestExplainJSON(t *testing.T) {
	t.Parallel()
	r := explain(t, "--json", "--resolve", "GET", "https://10.9.8.7/")
	var res fetchsvcv1.ExplainResponse
	if err := protojson.Unmarshal([]byte(r.stdout), &res); err != nil {
		t.Fatalf("%v:\n%s", err, r.stdout)
	}
	if r.code != 1 || res.GetAllowed() || res.GetDeniedKind() != "POLICY_DENIED" || res.GetCaller() != "anonymous" {
		t.Errorf("got exit code %d and %v, want 1 and POLICY_DENIED for anonymous", r.code, &res)
	}
	if !strings.Contains(r.stdout, `"denied_kind"`) || !strings.Contains(r.stdout, `"allowed": false`) {
		t.Errorf("got %s, want the API's names, unset ones too", r.stdout)
	}
}

func TestExplainAddresses(t *testing.T) {
	t.Parallel()
	file := writeTemp(t, "policy.yaml", `upstreams:
  - {name: open, hosts: ["127.0.0.1:*"], unsafe_allow_addresses: [127.0.0.0/8]}
  - {name: shut, hosts: ["127.0.0.2:*"]}
`)
	for host, want := range map[string]string{"127.0.0.1": "✓ 127.0.0.1  may be reached", "127.0.0.2": "✗ 127.0.0.2  address 127.0.0.2 is denied: loopback"} {
		r := runToEnd(t, input{}, "explain", "--resolve", "--policy", file, "GET", "https://"+host+":1/")
		if allowed := strings.HasPrefix(want, "✓"); allowed != (r.code == 0) || !strings.Contains(r.stdout, "Addresses\n  "+want) {
			t.Errorf("%s: got exit code %d and\n%swant %q", host, r.code, r.stdout, want)
		}
	}
}

func TestExplainUsage(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no URL":          {[]string{"explain", "https://example.test/"}, exitUsage, "explain takes METHOD and URL"},
		"policy, server":  {[]string{"explain", "--policy=a", "--server=127.0.0.1:1", "GET", "https://a.test/"}, exitUsage, "give one of them"},
		"bad header":      {[]string{"explain", "--policy=" + explained, "-H", "nothing", "GET", "https://a.test/"}, exitUsage, "NAME: VALUE"},
		"no such file":    {[]string{"explain", "--policy=testdata/none.yaml", "GET", "https://a.test/"}, exitOther, "none.yaml"},
		"bad policy":      {[]string{"explain", "--policy=testdata/body.json", "GET", "https://a.test/"}, exitOther, "body.json:"},
		"long name":       {[]string{"explain", "--policy=" + explained, "--caller=" + strings.Repeat("a", 300), "GET", "https://a.test/"}, exitInvalid, "caller: "},
		"bad URL":         {[]string{"explain", "--policy=" + explained, "GET", "ftp://a.test/"}, 1, "INVALID_REQUEST"},
		"header refused":  {[]string{"explain", "--policy=" + explained, "-H", "Host: b.test", "GET", "https://a.test/"}, 1, "INVALID_REQUEST"},
		"service is away": {[]string{"explain", "--server=127.0.0.1:1", "GET", "https://a.test/"}, exitNoService, "no answer from fetchsvc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runToEnd(t, input{}, tt.args...)
			if r.code != tt.code || !strings.Contains(r.stderr, tt.says) {
				t.Errorf("got exit code %d and %q, want %d and %q", r.code, r.stderr, tt.code, tt.says)
			}
		})
	}
}

// TestExplainAsksTheService: the same policy gives the same answer either way, and
// only operators learn of others.
func TestExplainAsksTheService(t *testing.T) {
	t.Parallel()
	env := []string{"GITHUB_TOKEN=t0ken", "PARTNER_TOKEN=t0ken", "PROXY_PASSWORD=passw0rd"}
	c := start(t, input{env: env}, "serve", "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0", "--policy="+explained)
	addr := c.await(c.stderr, `"msg":"serving","grpc":"([^"]+)"`)[1]
	at := "--server=" + addr
	for _, call := range [][]string{
		{"GET", "https://example.test/"}, {"GET", "https://api.github.test/"}, {"-v", "PUT", "https://a.partner.test/"}, {"--json", "GET", "https://example.test/"},
	} {
		local, remote := explain(t, call...), runToEnd(t, input{}, append([]string{"explain", at}, call...)...)
		if remote != local {
			t.Errorf("%v: the service says %d:\n%s%s\nthe policy says %d:\n%s%s", call, remote.code, remote.stdout, remote.stderr, local.code, local.stdout, local.stderr)
		}
	}
	r := runToEnd(t, input{}, "explain", at, "--caller=billing", "GET", "https://api.github.test/")
	if r.code != exitDenied || !strings.Contains(r.stderr, "NOT_GRANTED") || r.stdout != "" {
		t.Errorf("about another caller: got exit code %d, %q, %q, want %d and NOT_GRANTED", r.code, r.stdout, r.stderr, exitDenied)
	}
}

// TestExplainSendsNothing listens where the call would go.
func TestExplainSendsNothing(t *testing.T) {
	t.Parallel()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string)
	go func() {
		defer close(heard)
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			heard <- conn.RemoteAddr().String()
			_ = conn.Close()
		}
	}()
	r := runToEnd(t, input{}, "explain", "--resolve", "--policy="+openPolicy(t), "POST", "http://"+lis.Addr().String()+"/")
	_ = lis.Close()
	if r.ok(t); !strings.Contains(r.stdout, "✓ 127.0.0.1  may be reached") {
		t.Errorf("got\n%s, want it allowed", r.stdout)
	}
	for from := range heard {
		t.Errorf("there was a connection from %s", from)
	}
}
