package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// auditLines reads a log.
func auditLines(t *testing.T, path string) (all []map[string]any) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	for line := range strings.Lines(string(text)) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		all = append(all, e)
	}
	return all
}

// TestAuditFlood: calls without a proof cannot fill the disk, and none is left
// uncounted; what is denied to a caller has its line each time.
func TestAuditFlood(t *testing.T) {
	t.Parallel()
	log := t.TempDir() + "/audit.log"
	o := startOffice(t, "--audit", log)
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: o.ca.Pool()}}}
	call := func(token, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+o.rest+"/v1/fetch", strings.NewReader(body))
		must(t, err)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := web.Do(r)
		must(t, err)
		_ = res.Body.Close()
	}
	const strangers, denied = 300, 60
	for range strangers {
		call("", "{}")
	}
	for range denied {
		call(billingKey, `{"url":"https://nowhere.test/"}`)
	}
	o.signal(syscall.SIGTERM)
	o.wait()
	lines, calls := map[string]int{}, map[string]int{}
	for _, e := range auditLines(t, log) {
		outcome := e["outcome"].(string)
		lines[outcome]++
		calls[outcome] += 1 + int(e["suppressed"].(float64))
		if e["peer"] != "127.0.0.1" {
			t.Errorf("a call of 127.0.0.1 is said to come from %v", e["peer"])
		}
	}
	if calls["UNAUTHENTICATED"] != strangers || lines["UNAUTHENTICATED"] > strangers/3 { // a slow machine has several windows
		t.Errorf("%d lines stand for %d calls without a proof, want few for %d", lines["UNAUTHENTICATED"], calls["UNAUTHENTICATED"], strangers)
	}
	if lines["POLICY_DENIED"] != denied || calls["POLICY_DENIED"] != denied {
		t.Errorf("%d lines stand for %d denials, want %d", lines["POLICY_DENIED"], calls["POLICY_DENIED"], denied)
	}
}

// TestAuditRotation: logrotate's rename and signal, twice; a service without a
// policy does not die of the signal; and no other process takes the file.
func TestAuditRotation(t *testing.T) {
	t.Parallel()
	log := t.TempDir() + "/audit.log"
	c := start(t, input{}, "serve", "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0", "--audit", log, "--audit-chain")
	server := c.await(c.stderr, `"msg":"serving","grpc":"([^"]+)"`)[1]
	call := func() { runToEnd(t, input{}, "fetch", "--server", server, "http://nowhere.test") }
	for i := range 2 {
		call()
		call()
		must(t, os.Rename(log, fmt.Sprint(log, ".", i)))
		c.signal(syscall.SIGHUP)
		c.awaitThat(c.stderr, "the audit log goes on in a new file", func(text string) bool {
			return strings.Count(text, "the audit log goes on in a new file") == i+1
		})
	}
	call()
	if r := runToEnd(t, input{}, "serve", "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0", "--audit", log); r.code != 2 || !strings.Contains(r.stderr, "another process writes it") {
		t.Errorf("a second process takes the file: it exits with %d: %s", r.code, r.stderr)
	}
	c.signal(syscall.SIGTERM)
	c.wait()
	verify := func(code int, want string, args ...string) {
		t.Helper()
		r := runToEnd(t, input{}, append([]string{"audit", "verify"}, args...)...)
		if r.code != code || !strings.Contains(r.stdout+r.stderr, want) {
			t.Errorf("audit verify %s exits with %d: %s%s; want %d and %q", args, r.code, r.stdout, r.stderr, code, want)
		}
	}
	head := auditLines(t, log)[0]["prev"].(string)
	verify(0, "5 lines are as they were written", log+".0", log+".1", log)
	verify(1, log+": line 1: it follows the line with the hash "+head, log+".0", log)
	verify(1, log+".0: line 1: a log begins here", log+".1", log+".0", "--from", auditLines(t, log+".1")[0]["prev"].(string))
	verify(1, "line 1: the lines before it are missing: it follows the one with the hash "+head, log)
	verify(0, "1 lines are as they were written", log, "--from", head)
	verify(1, "line 1: it follows the line with the hash "+head, log, "--from", strings.Repeat("0", 64))
	verify(2, "64 hexadecimal digits", log, "--from", "me")
}

// TestAuditCrash: a line that a crash cut off stops no start, and verify says where
// it is.
func TestAuditCrash(t *testing.T) {
	t.Parallel()
	log := t.TempDir() + "/audit.log"
	up := testpeer.Echo(t)
	serve := func() *child {
		c := start(t, input{}, "serve", "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0", "--audit", log, "--audit-chain")
		server := c.await(c.stderr, `"msg":"serving","grpc":"([^"]+)"`)[1]
		runToEnd(t, input{}, "fetch", "--server", server, up.URL)
		return c
	}
	c := serve()
	c.signal(syscall.SIGKILL)
	c.wait()
	text, err := os.ReadFile(log)
	must(t, err)
	if !strings.HasSuffix(string(text), "}\n") {
		t.Fatalf("an answered call has no whole line: %q", text)
	}
	must(t, os.WriteFile(log, append(text, text[:100]...), 0o600))
	again := serve()
	again.await(again.stderr, "goes on behind a torn line")
	again.signal(syscall.SIGTERM)
	again.wait()
	want := log + ": line 2 was cut off by a crash; the line behind it says so\n3 lines are as they were written"
	if r := runToEnd(t, input{}, "audit", "verify", log); r.code != 0 || !strings.HasPrefix(r.stdout, want) {
		t.Errorf("audit verify exits with %d: %s%s", r.code, r.stdout, r.stderr)
	}
}
