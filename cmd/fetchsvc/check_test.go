package main

import (
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	env := []string{"GITHUB_TOKEN=t0ken", "PARTNER_TOKEN=t0ken", "PROXY_PASSWORD=passw0rd"}
	warns := writeTemp(t, "warns.yaml", "upstreams: [{name: a, hosts: [a.test], timeouts: {total: 1s, attempt: 5s}}]\n")
	wrong := writeTemp(t, "wrong.yaml", "upstreams:\n  - {name: a, host: [a.test]}\n  - {name: b, hosts: [b.test], timeouts: {total: 5}}\n")
	folder := filepath.Dir(writeTemp(t, "one.yaml", "upstreams: [{name: a, hosts: [a.test]}]\n"))
	for name, tt := range map[string]struct {
		args           []string
		env            []string
		code           int
		stdout, stderr []string
	}{
		"good":            {[]string{explained}, env, 0, []string{explained + ": ok, 3 upstreams, 1 route, 2 callers, 2 credentials\n"}, nil},
		"no secrets":      {[]string{explained}, nil, 1, nil, []string{"explain.yaml:7:30", "GITHUB_TOKEN", "PARTNER_TOKEN", "PROXY_PASSWORD", "cannot be used: 3 errors"}},
		"all errors":      {[]string{wrong}, nil, 1, nil, []string{"wrong.yaml:2:", `"host"`, "wrong.yaml:3:", "has no unit"}},
		"warning":         {[]string{warns}, nil, 0, []string{": ok, 1 upstream, 0 routes; 1 warning\n"}, []string{"warns.yaml:1:", "never runs out"}},
		"strict":          {[]string{"--strict", warns}, nil, 1, []string{"1 warning"}, []string{"--strict was given"}},
		"folder":          {[]string{folder}, nil, 0, []string{": ok, 1 upstream, 0 routes\n"}, nil},
		"missing":         {[]string{"testdata/none.yaml"}, nil, 1, nil, []string{"none.yaml"}},
		"two files":       {[]string{warns, wrong}, nil, exitUsage, nil, []string{"check takes one policy"}},
		"against nothing": {[]string{"--against", warns, warns}, nil, exitUsage, nil, []string{"add --requests FILE"}},
		"only requests":   {[]string{"--requests", warns, warns}, nil, exitUsage, nil, []string{"add --against OLD"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runToEnd(t, input{env: tt.env}, append([]string{"check"}, tt.args...)...)
			if r.code != tt.code {
				t.Errorf("exit code: got %d, want %d", r.code, tt.code)
			}
			for _, pair := range []struct {
				name, got string
				want      []string
			}{{"stdout", r.stdout, tt.stdout}, {"stderr", r.stderr, tt.stderr}} {
				for _, want := range pair.want {
					if !strings.Contains(pair.got, want) {
						t.Errorf("%s: got\n%s\nwant %q in it", pair.name, pair.got, want)
					}
				}
				if pair.want == nil && pair.got != "" {
					t.Errorf("%s: got\n%s\nwant nothing", pair.name, pair.got)
				}
			}
			if strings.Contains(r.stdout+r.stderr, "t0ken") || strings.Contains(r.stdout+r.stderr, "passw0rd") {
				t.Errorf("a secret is shown:\n%s%s", r.stdout, r.stderr)
			}
		})
	}
}

const (
	before = `callers: [{name: billing, dns_names: [billing.test]}]
upstreams:
  - {name: a, hosts: [a.test], timeouts: {total: 20s}}
  - {name: b, hosts: [b.test]}
  - {name: c, hosts: [c.test], deny: {methods: [PUT]}}
`
	after = `callers: [{name: billing, dns_names: [billing.test]}]
upstreams:
  - {name: a, hosts: [a.test], timeouts: {total: 10s}, retry: {max_attempts: 2}}
  - {name: b2, hosts: [b.test], allow: {callers: [billing]}}
  - {name: c, hosts: [c.test]}
`
	asked = `# what is sent today
GET https://a.test/?token=hush

{"caller":"billing","method":"GET","url":"https://b.test/"}
GET https://b.test/
PUT https://c.test/ billing
{"url":"https://c.test/"}
GET https://elsewhere.test/
`
)

func TestCheckChanges(t *testing.T) {
	t.Parallel()
	dir := filepath.Dir(writeTemp(t, "old.yaml", before))
	file, requests := writeTemp(t, "new.yaml", after), writeTemp(t, "requests.txt", asked)
	args := []string{"check", "--against", filepath.Join(dir, "old.yaml"), "--requests"}
	r := runToEnd(t, input{}, append(args, requests, file)...).ok(t)
	golden(t, "check_changes.golden", strings.ReplaceAll(r.stdout, filepath.Dir(file)+"/", ""))

	if r := runToEnd(t, input{stdin: asked}, append(args, "-", "--fail-on-change", file)...); r.code != exitChanged || !strings.Contains(r.stderr, "4 of 6 requests change, 2 as before, and --fail-on-change was given") {
		t.Errorf("--fail-on-change: got exit code %d and %q, want %d", r.code, r.stderr, exitChanged)
	}
	if r := runToEnd(t, input{stdin: "GET https://c.test/\n"}, append(args, "-", "--fail-on-change", file)...); r.code != 0 || !strings.HasSuffix(r.stdout, "0 of 1 request change, 1 as before\n") {
		t.Errorf("no change: got exit code %d, %q and %q, want 0", r.code, r.stdout, r.stderr)
	}

	r = runToEnd(t, input{}, append(args, requests, "--json", file)...).ok(t)
	var out checked
	dec := json.NewDecoder(strings.NewReader(r.stdout))
	if err := dec.Decode(&out); err != nil {
		t.Fatalf("%v:\n%s", err, r.stdout)
	}
	if _, err := dec.Token(); err != io.EOF {
		t.Errorf("there is more than one object:\n%s", r.stdout)
	}
	if !out.OK || out.Requests != 6 || len(out.Changes) != 4 || out.Changes[1].Caller != "billing" || out.Changes[1].Line != 4 || out.Changes[1].Differences[0] != (difference{"upstream", "b", "b2"}) {
		t.Errorf("got %+v, want four changes", out)
	}
}

func TestCheckBadRequests(t *testing.T) {
	t.Parallel()
	file := writeTemp(t, "policy.yaml", before)
	for name, tt := range map[string]struct{ text, says string }{
		"too few words": {"GET https://a.test/\nGET\n", "stdin:2: 1 word: write METHOD URL [caller]"},
		"not a URL":     {"GET a.test\n", "stdin:1: url: "},
		"several":       {"x\nGET https://a.test/\n{\"uri\":1}\n", "stdin:3: unknown field \"uri\""},
		"two objects":   {`{"url":"https://a.test/"} {}` + "\n", "stdin:1: there is more behind the object"},
		"not a method":  {"\nG(T https://a.test/\n", ":2: method: "},
		"nothing":       {"# nothing\n", "stdin holds no request"},
		"a long line":   {"GET https://a.test/" + strings.Repeat("a", 300<<10), "stdin:1: the line is over 256 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runToEnd(t, input{stdin: tt.text}, "check", "--against", file, "--requests", "-", file)
			if r.code != exitOther || !strings.Contains(r.stderr, tt.says) {
				t.Errorf("got exit code %d and %q, want %d and %q", r.code, r.stderr, exitOther, tt.says)
			}
		})
	}
}

func TestCheckJSONOfErrors(t *testing.T) {
	t.Parallel()
	r := runToEnd(t, input{}, "check", "--json", explained)
	var out checked
	if err := json.Unmarshal([]byte(r.stdout), &out); err != nil {
		t.Fatalf("%v:\n%s", err, r.stdout)
	}
	if r.code != 1 || out.OK || len(out.Errors) != 3 || out.Errors[0].Line != 7 || out.Errors[0].Path != "credentials[0].bearer.token.secret" {
		t.Errorf("got exit code %d and %+v, want all three errors", r.code, out)
	}
}
