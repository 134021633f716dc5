package docs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// credentialCase calls through one policy of credentials.md. The policy stands as it
// is on the page: a proxy leads all of its hosts to servers of the test, which the
// service trusts as the real ones.
type credentialCase struct {
	// heading is the page's above the policy, and nth counts the policies below it.
	heading string
	nth     int
	// values are what the policy's references lead to, by reference. Those that are
	// not given have a value of their own.
	values map[string]string
	// edit changes what cannot be had on every machine; nil: nothing is changed.
	edit func(policy string) string
	// answers are the handlers of hosts; others repeat what they get, in JSON.
	answers map[string]http.HandlerFunc
	// as is the caller's token; nil: the policy asks for none.
	as func(*credentialRun) string
	// calls are requests of the API, made one after the other, which end well.
	calls []string
	// look judges what arrived.
	look func(*credentialRun)
}

// credentialRun is a case under way.
type credentialRun struct {
	*testing.T
	net     *stubInternet
	dir     string            // where the policy is
	values  map[string]string // by reference
	answers []fetchedAnswer
}

// file is the path of one beside the policy.
func (r *credentialRun) file(name string) string { return filepath.Join(r.dir, name) }

// fetchedAnswer is what a caller sees.
type fetchedAnswer struct {
	Status   int
	Attempts []struct {
		Reason, Credential string
		Status, Scrubbed   int
	}
}

var reference = regexp.MustCompile(`secret: "?((?:env|file):[\w./-]+)`)

// TestCredentialExamples: each policy of the page does what the page says.
func TestCredentialExamples(t *testing.T) {
	if testing.Short() && os.Getenv("CI") != "true" {
		t.Skip("starts the service")
	}
	t.Parallel()
	dependOnSources(t)
	bin := build(t)
	policies := credentialPolicies(t)
	for _, c := range credentialCases() {
		key := fmt.Sprintf("%s %d", c.heading, c.nth)
		policy, there := policies[key]
		if !there {
			t.Errorf("the page has no policy %q", key)
			continue
		}
		delete(policies, key)
		t.Run(strings.ReplaceAll(key, " ", "_"), func(t *testing.T) {
			t.Parallel()
			c.run(t, bin, policy)
		})
	}
	for key := range policies {
		t.Errorf("the page has a policy %q, and nothing calls through it", key)
	}
}

// credentialPolicies are the page's by heading and number, but for those of the
// httpbin, which the page itself calls.
func credentialPolicies(t *testing.T) map[string]string {
	t.Helper()
	all, count := map[string]string{}, map[string]int{}
	for _, p := range readPages(t) {
		if p.path != "docs/credentials.md" {
			continue
		}
		lines := strings.Split(p.prose, "\n")
		for _, f := range p.fences {
			if f.info != "yaml policy" || strings.Contains(f.text, "127.0.0.1:8081") {
				continue
			}
			at := f.line
			for !strings.HasPrefix(lines[at], "## ") && !strings.HasPrefix(lines[at], "### ") {
				at--
			}
			name := strings.TrimLeft(lines[at], "# ")
			all[fmt.Sprintf("%s %d", name, count[name])] = f.text
			count[name]++
		}
	}
	if len(all) < 10 {
		t.Fatalf("credentials.md has %d policies that call others", len(all))
	}
	return all
}

func (c credentialCase) run(t *testing.T, bin, policy string) {
	if c.edit != nil {
		policy = c.edit(policy)
	}
	ca := testpeer.NewCA(t)
	dir := t.TempDir()
	r := &credentialRun{T: t, net: newStubInternet(t, ca, c.answers), dir: dir, values: c.values}
	policy += "defaults: {proxy: {url: \"http://" + r.net.proxy + "\", unsafe_proxy_resolves: true}}\n"
	env := append(r.plant(dir, policy), "SSL_CERT_FILE="+r.file("ca.pem"))
	writeFile(t, dir, "ca.pem", string(ca.PEM()))
	writeFile(t, dir, "policy.yaml", policy)

	check := exec.CommandContext(t.Context(), bin, "check", "--strict", "policy.yaml")
	check.Dir, check.Env = dir, append(os.Environ(), env...)
	if out, err := check.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("policy.yaml: ok")) {
		t.Fatalf("check --strict: %v\n%s", err, out)
	}
	service := serveFile(t, bin, filepath.Join(dir, "policy.yaml"), env...)
	token := ""
	if c.as != nil {
		token = c.as(r)
	}
	for _, call := range c.calls {
		r.call(service, call, token)
	}
	c.look(r)
	log, err := os.ReadFile(filepath.Join(dir, "serve.log"))
	if err != nil {
		t.Fatal(err)
	}
	r.holdsNone("the log", log)
}

// plant puts what the policy's references lead to where they say.
func (r *credentialRun) plant(dir, policy string) (env []string) {
	given := r.values
	r.values = map[string]string{}
	certificate, key := testpeer.PEM(r, testpeer.SelfSigned(r, testpeer.CertOpts{CommonName: "fetchsvc"}))
	writeFile(r.T, dir, "client.pem", string(certificate))
	for _, m := range reference.FindAllStringSubmatch(policy, -1) {
		ref := m[1]
		value, known := given[ref]
		switch {
		case known:
		case strings.HasSuffix(ref, ".key"):
			value = string(key)
		default:
			value = "the-value-of-" + strings.NewReplacer(":", "-", "/", "-", "_", "-").Replace(ref)
		}
		r.values[ref] = value
		if name, ok := strings.CutPrefix(ref, "env:"); ok {
			env = append(env, name+"="+value)
		} else {
			writeFile(r.T, dir, strings.TrimPrefix(ref, "file:"), value)
		}
	}
	for ref, value := range given { // what is read although nothing names it
		r.values[ref] = value
		if name, ok := strings.CutPrefix(ref, "env:"); ok {
			env = append(env, name+"="+value)
		} else if name, ok := strings.CutPrefix(ref, "file:"); ok {
			writeFile(r.T, dir, name, value)
		}
	}
	return env
}

func writeFile(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// call makes one call over REST. Its answer is 200, and has no secret in it.
func (r *credentialRun) call(service *child, body, token string) {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://127.0.0.1:"+service.rest+"/v1/fetch", strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	var answer fetchedAnswer
	if err != nil || json.Unmarshal(data, &answer) != nil || answer.Status != 200 {
		r.Fatalf("%s: %d, %v\n%s", body, res.StatusCode, err, data)
	}
	r.answers = append(r.answers, answer)
	r.holdsNone("the answer", data)
}

// holdsNone says that text has none of the secrets in it, for which it looks only as
// they are: the canary test looks for more.
func (r *credentialRun) holdsNone(what string, text []byte) {
	r.Helper()
	all := slices.Clone(r.net.issued)
	for _, value := range r.values {
		all = append(all, value)
	}
	for _, value := range all {
		if bytes.Contains(text, []byte(value)) {
			r.Errorf("%s has %q in it:\n%s", what, value, text)
		}
	}
}
