package docs_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The ports that the pages name.
const (
	docGRPC    = "9090"
	docREST    = "8080"
	docHTTPBin = "8081"
)

// child is a running service and the ports that it really has.
type child struct {
	grpc, rest, httpbin string
	// others are the ports of the servers that a page starts.
	others map[string]string
	stop   func()
}

// ports are the page's, and what they really are.
func (c *child) ports() map[string]string {
	all := map[string]string{docGRPC: c.grpc, docREST: c.rest, docHTTPBin: c.httpbin}
	maps.Copy(all, c.others)
	return all
}

// rewrite puts the child's ports into a snippet, and names the binary that was
// built where the page has `go run` build one.
func (c *child) rewrite(text string) string {
	text = strings.ReplaceAll(text, "go run ./cmd/fetchsvc", "fetchsvc")
	return swapPorts(text, c.ports())
}

// restore is the way back, for what a snippet prints.
func (c *child) restore(text string) string {
	back := map[string]string{}
	for page, real := range c.ports() {
		back[real] = page
	}
	return swapPorts(text, back)
}

var hostPort = regexp.MustCompile(`\b(127\.0\.0\.1|localhost):(\d+)\b`)

func swapPorts(text string, to map[string]string) string {
	return hostPort.ReplaceAllStringFunc(text, func(found string) string {
		host, port, _ := strings.Cut(found, ":")
		if other := to[port]; other != "" {
			return host + ":" + other
		}
		return found
	})
}

// startDev runs `fetchsvc dev` on ports of its own.
func startDev(t *testing.T, bin string) *child {
	t.Helper()
	banner := regexp.MustCompile(`gRPC on (\S+), REST on (\S+), an httpbin to call on (\S+?)\.?$`)
	c := &child{}
	c.stop = start(t, exec.Command(bin, "dev", "--grpc", "127.0.0.1:0", "--rest", "127.0.0.1:0", "--httpbin", "127.0.0.1:0"),
		(*exec.Cmd).StdoutPipe, func(line string) bool {
			m := banner.FindStringSubmatch(line)
			if m == nil {
				return false
			}
			c.grpc, c.rest, c.httpbin = portOf(t, m[1]), portOf(t, m[2]), portOf(t, m[3])
			return true
		})
	return c
}

// startServe runs `fetchsvc serve` with a policy, with further environment
// variables.
func startServe(t *testing.T, bin, policy string, env ...string) *child {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	return serveFile(t, bin, file, env...)
}

// serveFile is startServe with a policy that is a file already. What the service
// logs goes to serve.log beside it.
func serveFile(t *testing.T, bin, file string, env ...string) *child {
	t.Helper()
	command := exec.Command(bin, "serve", "--policy", file, "--grpc", "127.0.0.1:0", "--rest", "127.0.0.1:0")
	command.Dir = filepath.Dir(file)
	command.Env = append(os.Environ(), env...)
	return serving(t, command)
}

// serving starts a `fetchsvc serve`, which logs to serve.log in its directory.
func serving(t *testing.T, command *exec.Cmd) *child {
	t.Helper()
	c := &child{}
	log, err := os.Create(filepath.Join(command.Dir, "serve.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	c.stop = start(t, command, (*exec.Cmd).StderrPipe, func(line string) bool {
		_, _ = log.WriteString(line + "\n")
		var said struct{ Msg, GRPC, REST string }
		if json.Unmarshal([]byte(line), &said) != nil || said.Msg != "serving" {
			return false
		}
		c.grpc, c.rest = portOf(t, said.GRPC), portOf(t, said.REST)
		return true
	})
	return c
}

func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// start runs a service until the test ends or stop is called, and waits for the
// line that says where it listens. ready hears of every line.
func start(t *testing.T, command *exec.Cmd, pipe func(*exec.Cmd) (io.ReadCloser, error), ready func(line string) bool) (stop func()) {
	t.Helper()
	out, err := pipe(command)
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	if command.Stderr == nil {
		command.Stderr = &errs
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines, served := make(chan string), make(chan struct{})
	defer close(served)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			select {
			case lines <- s.Text():
			case <-served:
				ready(s.Text())
			}
		}
	}()
	stop = sync.OnceFunc(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(10*time.Second, func() { _ = command.Process.Kill() })
		defer kill.Stop()
		<-ended // Wait closes the pipe, whatever is in it
		if err := command.Wait(); err != nil {
			t.Errorf("%s ended with %v after SIGTERM, and said:\n%s", strings.Join(command.Args[1:], " "), err, errs.String())
		}
	})
	t.Cleanup(stop)
	var said []string
	deadline := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("%s ended before it served:\n%s", strings.Join(command.Args[1:], " "), strings.Join(said, "\n"))
			}
			if ready(line) {
				return stop
			}
			said = append(said, line)
		case <-deadline:
			t.Fatalf("%s does not say where it listens:\n%s", strings.Join(command.Args[1:], " "), strings.Join(said, "\n"))
		}
	}
}

// build makes the binary that the pages are about, once.
func build(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "fetchsvc-docs-"); built.err != nil {
			return
		}
		out, err := goCommand(t, "build", "-o", filepath.Join(built.dir, "fetchsvc"), "./cmd/fetchsvc").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "fetchsvc")
}

// built is shared by the tests that run the service.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// goCommand runs the go command at the module's root. What it builds has the
// race detector if this test has: then most of it is in the cache.
func goCommand(t *testing.T, verb string, args ...string) *exec.Cmd {
	t.Helper()
	all := []string{verb}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-race" && s.Value == "true" {
				all = append(all, "-race")
			}
		}
	}
	command := exec.CommandContext(t.Context(), "go", append(all, args...)...)
	command.Dir = ".."
	return command
}

// dependOnSources reads the sources of the service and the examples, so that `go test` knows what a
// cached result depends on.
func dependOnSources(t *testing.T) {
	t.Helper()
	for _, dir := range []string{"../cmd", "../internal", "../gen", "../api", "examples"} {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && !strings.Contains(name, "testdata") {
				_, err = os.ReadFile(name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// toolPath is where snippets find their commands.
func toolPath(first string) string {
	path := first + string(os.PathListSeparator) + os.Getenv("PATH")
	if built, err := filepath.Abs("../.build/bin"); err == nil {
		path += string(os.PathListSeparator) + built
	}
	return path
}

// lookTool finds a command where snippets would.
func lookTool(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath("../.build/bin/" + name)
}
