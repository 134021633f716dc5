// Package docs_test runs the documentation: every command and snippet of
// README.md and docs/ is executed, loaded or compiled, and every relative link
// is followed. What a fence says after its language decides:
//
//	sh              bash, against a `fetchsvc dev`; must succeed
//	sh fails        the same; must fail
//	sh policy       against a `fetchsvc serve` with the page's last policy
//	sh serve        that `fetchsvc serve`, as the page has it, until its next policy
//	sh norun        not run; only the commands listed in neverRun
//	sh server PORT  one command that serves at 127.0.0.1:PORT until the page ends
//	yaml policy     a policy file, loaded; policy.yaml to the commands that follow
//	yaml refused    a policy file that must not load; the next text block is why
//	yaml file NAME  a file of that name to the commands that follow
//	go              a whole file, compiled
//	json, text      the output of the command above, or valid JSON
//
// The commands of a page share an empty directory, and the environment variables
// of secretVariables, which the service has too; it logs to serve.log.
//
// In an output "…" stands for anything: within text, for the other elements of a
// JSON list, and as a key for the other members of a JSON object.
package docs_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// neverRun are the commands that a page may show without running them: they
// start what the test has started already, or run this test.
var neverRun = []string{
	"go run ./cmd/fetchsvc dev",
	"go run ./cmd/fetchsvc serve --policy policy.yaml",
	"make test",
	"make .build/tools/peer",
	`export PATH="$PWD/.build/bin:$PATH"`,
	"apt-get install -y python3-grpcio python3-protobuf protobuf-compiler protobuf-compiler-grpc",
}

// fences are the info strings there are.
var fences = []string{
	"sh", "sh fails", "sh policy", "sh fails policy", "sh serve", "sh norun",
	"yaml policy", "yaml refused", "go", "json", "text",
}

// secretVariables are what the policies of the pages take from the environment.
var secretVariables = []string{
	"GITHUB_TOKEN=a-token-of-the-pages", "PROXY_PASSWORD=a-password-of-the-pages",
	"PROMETHEUS_KEY=a-key-of-prometheus", "PROMETHEUS_KEY_SHA256=32dbde7be03855f5b2c55d992fa14fcd3ebe1e38c6ee090ac015903fa1d2b1bd",
	"BILLING_KEY=a-key-of-the-pages", "BILLING_KEY_SHA256=551ea3be7b31798a8fcc617d52d883cfbf51ef3b514a9af14ba9705e97d37f6b",
}

// known says that a fence's info string is one of those there are.
func known(info string) bool {
	return slices.Contains(fences, info) || strings.HasPrefix(info, "sh server ") || strings.HasPrefix(info, "yaml file ")
}

// fence is one fenced block of a page.
type fence struct {
	info string
	line int // of its first line of text
	text string
}

// page is one Markdown file.
type page struct {
	path   string // from the repository's root
	fences []fence
	prose  string // the text outside fences, line for line
}

func readPages(t *testing.T) []*page {
	t.Helper()
	names := []string{"README.md"}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(name) == ".md" {
			names = append(names, "docs/"+filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var pages []*page
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, parsePage(t, name, string(text)))
	}
	return pages
}

func parsePage(t *testing.T, name, text string) *page {
	t.Helper()
	p := &page{path: name}
	var prose strings.Builder
	open := false
	for i, line := range strings.Split(text, "\n") {
		info, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && !open:
			open = true
			p.fences = append(p.fences, fence{info: info, line: i + 2})
		case isFence:
			open = false
		case open:
			f := &p.fences[len(p.fences)-1]
			f.text += line + "\n"
		default:
			prose.WriteString(line)
		}
		prose.WriteByte('\n')
	}
	if open {
		t.Errorf("%s: the last fence is not closed", name)
	}
	p.prose = prose.String()
	return p
}

func TestFencesAreKnown(t *testing.T) {
	shown := map[string]bool{}
	for _, p := range readPages(t) {
		for _, f := range p.fences {
			if !known(f.info) {
				t.Errorf("%s:%d: the fence says %q, which is none of %q", p.path, f.line, f.info, fences)
			}
			if f.info != "sh norun" {
				continue
			}
			for _, line := range strings.Split(strings.TrimSpace(f.text), "\n") {
				command, _, _ := strings.Cut(line, "  #")
				if command = strings.TrimSpace(command); !slices.Contains(neverRun, command) {
					t.Errorf("%s:%d: %q is not in the list of commands that need not run", p.path, f.line, command)
				}
				shown[command] = true
			}
		}
	}
	for _, command := range neverRun {
		if !shown[command] {
			t.Errorf("no page shows %q: take it out of neverRun", command)
		}
	}
}

func TestSnippets(t *testing.T) {
	if testing.Short() && os.Getenv("CI") != "true" {
		t.Skip("starts the service")
	}
	t.Parallel()
	dependOnSources(t)
	bin := build(t)
	dev := startDev(t, bin)
	for _, p := range readPages(t) {
		if len(p.fences) == 0 {
			continue
		}
		t.Run(p.path, func(t *testing.T) {
			t.Parallel()
			r := &runner{t: t, page: p, bin: bin, dev: dev, dir: checkout(t), python: pythonDir(t)}
			for i := range p.fences {
				r.fence(i)
			}
		})
	}
}

// runner runs the fences of one page, in order and in one directory.
type runner struct {
	t    *testing.T
	page *page
	bin  string
	dev  *child
	dir  string

	python string // a directory whose python3 is Debian's

	policy string            // the last one that the page shows
	served *child            // serves it
	others map[string]string // the ports of the page's own servers
	left   bool              // a server was left out, for want of a tool: so is what calls it
	bare   bool              // openssl is missing: so is what the commands after it need
}

func (r *runner) fence(i int) {
	f := r.page.fences[i]
	kind, rest, _ := strings.Cut(f.info, " ")
	switch {
	case kind == "sh" && r.bare:
	case kind == "sh" && strings.HasPrefix(rest, "server "):
		r.server(f, strings.TrimPrefix(rest, "server "))
	case f.info == "sh serve":
		r.serveAs(f)
	case kind == "sh" && rest != "norun":
		r.sh(f, rest, r.output(i))
	case strings.HasPrefix(f.info, "yaml file "):
		r.write(strings.TrimPrefix(f.info, "yaml file "), f.text)
	case f.info == "yaml policy":
		r.load(f)
	case f.info == "yaml refused":
		r.refused(f, r.output(i))
	case kind == "go":
		r.compile(f)
	case kind == "json" && !r.isOutput(i):
		if _, err := jsonValues(f.text); err != nil {
			r.errorf(f, "not valid JSON: %v", err)
		}
	}
}

// output gives the block that shows what block i prints, or nil.
func (r *runner) output(i int) *fence {
	if i+1 < len(r.page.fences) && r.isOutput(i+1) {
		return &r.page.fences[i+1]
	}
	return nil
}

func (r *runner) isOutput(i int) bool {
	if f := r.page.fences[i]; i == 0 || f.info != "json" && f.info != "text" {
		return false
	}
	before := r.page.fences[i-1].info
	return strings.HasPrefix(before, "sh") && before != "sh norun" || before == "yaml refused"
}

func (r *runner) sh(f fence, how string, want *fence) {
	if !hasTools(r.t, f.text) {
		_, err := lookTool("openssl")
		r.bare = err != nil && strings.Contains(f.text, "openssl")
		return
	}
	if r.left && r.callsServer(f.text) {
		return
	}
	c := r.dev
	if strings.Contains(how, "policy") {
		c = r.serve(f)
	}
	c = r.reach(c)
	ctx, cancel := context.WithTimeout(r.t.Context(), 3*time.Minute) // some wait for a reload
	defer cancel()
	command := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", c.rewrite(f.text))
	command.Dir = r.dir
	command.Env = r.env(c)
	command.WaitDelay = time.Second // its children may have the pipe
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.errorf(f, "%v", err)
	}
	if fails := strings.Contains(how, "fails"); (err != nil) != fails {
		r.errorf(f, "it ends with %v, want a failure: %v; it prints:\n%s", err, fails, out)
	}
	if want != nil {
		r.compare(*want, strings.ReplaceAll(c.restore(string(out)), r.dir, "…"))
	}
}

func (r *runner) env(c *child) []string {
	return append([]string{
		"PATH=" + r.python + string(os.PathListSeparator) + toolPath(filepath.Dir(r.bin)),
		"HOME=" + r.dir, "LC_ALL=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1",
		"no_proxy=127.0.0.1,localhost", "FETCHSVC_SERVER=127.0.0.1:" + c.grpc,
	}, secretVariables...)
}

// reach is c with the page's own servers.
func (r *runner) reach(c *child) *child {
	all := *c
	all.httpbin, all.others = r.dev.httpbin, r.others
	return &all
}

// load takes f as the page's policy from here on.
func (r *runner) load(f fence) {
	r.policy = r.reach(r.dev).rewrite(f.text)
	r.write("policy.yaml", r.policy)
	if r.left && r.callsServer(f.text) {
		return
	}
	if _, err := policy.Load(filepath.Join(r.dir, "policy.yaml"), policy.Options{}); err != nil {
		r.errorf(f, "the policy does not load:\n%v", err)
	}
	r.unserve()
}

// unserve stops the service that has the page's policy.
func (r *runner) unserve() {
	if r.served != nil {
		r.served.stop()
		r.served = nil
	}
}

func (r *runner) serve(f fence) *child {
	if r.policy == "" {
		r.t.Fatalf("%s:%d: there is no policy above it", r.page.path, f.line)
	}
	if r.served == nil {
		r.write("policy.yaml", r.policy) // a command may have changed it
		r.served = serveFile(r.t, r.bin, filepath.Join(r.dir, "policy.yaml"), secretVariables...)
	}
	return r.served
}

// write puts a file of the page beside its policy.
func (r *runner) write(name, text string) {
	file := filepath.Join(r.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(r.reach(r.dev).rewrite(text)), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *runner) refused(f fence, want *fence) {
	file := filepath.Join(r.dir, "policy.yaml")
	_, err := policy.Parse(file, []byte(f.text), policy.Options{})
	switch {
	case err == nil:
		r.errorf(f, "the policy loads, and the page says it does not")
	case want == nil:
		r.errorf(f, "no text block says why it is refused")
	default:
		r.compare(*want, strings.ReplaceAll(err.Error(), r.dir+string(filepath.Separator), ""))
	}
}

func (r *runner) compare(want fence, got string) {
	var problem string
	if want.info == "json" {
		problem = diffJSON(want.text, got)
	} else {
		problem = diffText(want.text, got)
	}
	if problem != "" {
		r.errorf(want, "%s\nIt prints:\n%s", problem, got)
	}
}

func (r *runner) errorf(f fence, format string, args ...any) {
	r.t.Helper()
	r.t.Errorf("%s:%d: "+format, append([]any{r.page.path, f.line}, args...)...)
}

// compile builds a Go file as if it stood in this module.
func (r *runner) compile(f fence) {
	file := filepath.Join(r.dir, "snippet.go")
	if err := os.WriteFile(file, []byte(f.text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		r.t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{
		"Replace": {filepath.Join(root, "docs", "snippet", "snippet.go"): file},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	overlayFile := filepath.Join(r.dir, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		r.t.Fatal(err)
	}
	// go list -export compiles and does not link.
	command := goCommand(r.t, "list", "-export", "-overlay", overlayFile, "./docs/snippet")
	if out, err := command.CombinedOutput(); err != nil {
		r.errorf(f, "it does not compile: %v\n%s", err, out)
	}
}

// checkout is an empty directory, but for what snippets use of this repository.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	pages, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(pages, filepath.Join(dir, "docs")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// hasTools skips a snippet whose tools this machine lacks; CI has them all.
func hasTools(t *testing.T, script string) bool {
	t.Helper()
	for _, tool := range []string{"curl", "grpcurl", "openssl"} {
		if !regexp.MustCompile(`\b`+tool+`\b`).MatchString(script) && (tool != "grpcurl" || !strings.Contains(script, "stubs.sh")) {
			continue
		}
		if _, err := lookTool(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Errorf("%s is not on PATH", tool)
			} else {
				t.Logf("a snippet was left out: %s is not on PATH (make .build/tools/peer builds grpcurl)", tool)
			}
			return false
		}
	}
	if (strings.Contains(script, "python3 ") || strings.Contains(script, "stubs.sh")) && peers() != "" {
		if os.Getenv("CI") == "true" {
			t.Error(peers())
		} else {
			t.Logf("a snippet was left out: %s (make .build/peers installs it)", peers())
		}
		return false
	}
	return true
}
