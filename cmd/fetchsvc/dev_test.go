package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// pasteable gives the banner's line that begins with name.
func pasteable(t *testing.T, banner, name string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^  (` + name + ` .*)$`).FindStringSubmatch(banner)
	if m == nil {
		t.Fatalf("the banner has no %s line:\n%s", name, banner)
	}
	return m[1]
}

// TestDevBanner pastes each line of the banner into a shell, as it is.
func TestDevBanner(t *testing.T) {
	t.Parallel()
	w := startDev(t)
	banner := w.stdout.String()
	paste := func(t *testing.T, line string) result {
		c := startCommand(t, input{env: []string{"PATH=" + pathWith()}}, "sh", "-c", line)
		code := c.wait()
		return result{code, c.stdout.String(), c.stderr.String()}.ok(t)
	}
	t.Run("curl", func(t *testing.T) {
		line := pasteable(t, banner, "curl")
		var answer string
		if _, err := exec.LookPath("curl"); err == nil {
			answer = paste(t, line).stdout
		} else {
			m := regexp.MustCompile(`^curl -s (\S+) -d '(.*)'$`).FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("this test cannot read the line: %s", line)
			}
			_, answer = ask(t, http.MethodPost, "http://"+m[1], m[2])
		}
		for _, want := range []string{`"status":200`, `"text":`, `python requests`} {
			if !strings.Contains(answer, want) {
				t.Errorf("the answer lacks %q:\n%s", want, answer)
			}
		}
	})
	t.Run("grpcurl", func(t *testing.T) {
		if _, err := exec.LookPath("grpcurl"); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal("grpcurl is not on the PATH: make test builds it into .build/bin")
			}
			t.Skip("grpcurl is not on the PATH")
		}
		answer := paste(t, pasteable(t, banner, "grpcurl")).stdout
		for _, want := range []string{`"status": 200`, `"text":`, w.bin + "/get"} {
			if !strings.Contains(answer, want) {
				t.Errorf("the answer lacks %q:\n%s", want, answer)
			}
		}
	})
	t.Run("fetchsvc", func(t *testing.T) {
		r := paste(t, pasteable(t, banner, "fetchsvc fetch"))
		if !strings.Contains(r.stdout, w.bin+"/get") || !strings.Contains(r.stderr, "└─ attempt 1") {
			t.Errorf("got stdout %s and stderr %s, want the body and the ledger", r.stdout, r.stderr)
		}
	})
	t.Run("docs", func(t *testing.T) {
		m := regexp.MustCompile(`Docs: (\S+)`).FindStringSubmatch(banner)
		if m == nil {
			t.Fatalf("the banner names no docs:\n%s", banner)
		}
		if status, _ := ask(t, http.MethodGet, m[1], ""); status != http.StatusOK {
			t.Errorf("%s: got %d, want 200", m[1], status)
		}
	})
	w.signal(syscall.SIGINT)
	if code := w.wait(); code != 0 {
		t.Errorf("exit code after Ctrl-C: got %d, want 0; stderr:\n%s", code, w.stderr)
	}
}

// pathWith puts the binary first on the PATH.
func pathWith() string {
	return filepath.Dir(binary) + string(os.PathListSeparator) + os.Getenv("PATH")
}

// TestDevOutlivesItsCalls stops dev while its own httpbin holds a call. That the
// call is in flight is known from the redirect that leads there.
func TestDevOutlivesItsCalls(t *testing.T) {
	t.Parallel()
	w := startDev(t, "--policy="+openPolicy(t))
	arrived := make(chan struct{}, 1)
	gate := testpeer.HTTP(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		http.Redirect(rw, r, w.bin+"/delay/2", http.StatusFound)
	}))
	call := start(t, input{}, "fetch", "--server", w.grpc, gate)
	await(t, "the call", arrived)
	w.signal(syscall.SIGTERM)
	if code := call.wait(); code != 0 || !strings.Contains(call.stdout.String(), "/delay/2") {
		t.Errorf("the call: got exit code %d, stdout %s and stderr %s, want 0 and httpbin's answer", code, call.stdout, call.stderr)
	}
	if code := w.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0; stderr:\n%s", code, w.stderr)
	}
}

// TestDevOnIPv6 holds that the example policy follows the httpbin to wherever it
// listens.
func TestDevOnIPv6(t *testing.T) {
	t.Parallel()
	w := startDev(t, "--httpbin=[::1]:0")
	if r := w.fetch(t, w.bin+"/get").ok(t); !strings.Contains(r.stdout, w.bin+"/get") {
		t.Errorf("got %s, want httpbin's answer", r.stdout)
	}
}

// TestDevPolicy holds what the example says: the httpbin and no other port.
func TestDevPolicy(t *testing.T) {
	t.Parallel()
	w := startDev(t)
	if r := w.fetch(t, testpeer.HTTPBin(t)+"/get"); r.code != exitDenied || !strings.Contains(r.stderr, "POLICY_DENIED") {
		t.Errorf("another port: got exit code %d and %s, want %d and POLICY_DENIED", r.code, r.stderr, exitDenied)
	}
	if r := w.fetch(t, "https://127.0.0.1/"); r.code != exitDenied {
		t.Errorf("loopback by https: got exit code %d and %s, want %d", r.code, r.stderr, exitDenied)
	}
}
