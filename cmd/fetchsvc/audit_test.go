package main

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestAudit: each call leaves its line, whoever made it and however it ended, and
// the chain holds over a restart.
func TestAudit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := dir + "/audit.log"
	o := startOffice(t, "--audit", log, "--audit-chain")
	up := testpeer.Echo(t)
	batch := writeTemp(t, "calls.ndjson", `{"url":"`+up.URL+`/"}`+"\n"+`{"url":"ftp://x"}`+"\n")
	billing := "--token-file=" + o.file("billing.token")
	shipping := []string{"--cert", o.file("shipping.crt"), "--key", o.file("shipping.key")}
	o.ask(t, nil, "fetch", billing, up.URL+"/path?key=canary-query")
	o.ask(t, nil, "fetch", billing, "--stream", up.URL)
	o.ask(t, nil, "fetch", append(shipping, up.URL)...)
	o.ask(t, nil, "fetch", up.URL)
	o.ask(t, nil, "batch", billing, batch)
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: o.ca.Pool()}, DisableKeepAlives: true}}
	for _, host := range []string{"", "elsewhere.test"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+o.rest+"/v1/fetch", strings.NewReader(`{"url":`))
		must(t, err)
		r.Host = host
		r.Header.Set("Authorization", "Bearer "+billingKey)
		res, err := web.Do(r)
		must(t, err)
		_ = res.Body.Close()
	}
	o.signal(syscall.SIGTERM)
	o.wait()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"allowed answered billing api_key grpc fetchsvc.v1.FetchService/Fetch local",
		"allowed answered billing api_key grpc fetchsvc.v1.FetchService/Stream local",
		"denied POLICY_DENIED shipping mtls grpc fetchsvc.v1.FetchService/Fetch local",
		"denied UNAUTHENTICATED   grpc fetchsvc.v1.FetchService/Fetch ",
		"allowed answered billing api_key grpc fetchsvc.v1.FetchService/FetchBatch local",
		"invalid INVALID_REQUEST billing api_key grpc fetchsvc.v1.FetchService/FetchBatch ",
		"invalid INVALID_REQUEST billing api_key rest fetchsvc.v1.FetchService/Fetch ",
		"denied FOREIGN_ORIGIN   rest REST ",
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		var words []string
		for _, key := range []string{"decision", "outcome", "caller", "proof", "door", "rpc", "upstream"} {
			words = append(words, e[key].(string))
		}
		got = append(got, strings.Join(words, " "))
	}
	if len(got) == len(want) && got[4] > got[5] { // items of a batch end in any order
		got[4], got[5] = got[5], got[4]
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the log has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, secret := range []string{billingKey, "canary-query"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the log has %s", secret)
		}
	}
	if r := runToEnd(t, input{}, "audit", "verify", log); r.code != 0 || !strings.HasPrefix(r.stdout, "8 lines are as they were written") {
		t.Errorf("audit verify exits with %d: %s%s", r.code, r.stdout, r.stderr)
	}
	again := start(t, input{}, "serve", "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0", "--audit", log, "--audit-chain")
	m := again.await(again.stderr, `"msg":"serving","grpc":"([^"]+)"`)
	runToEnd(t, input{}, "fetch", "--server", m[1], up.URL)
	again.signal(syscall.SIGTERM)
	again.wait()
	if r := runToEnd(t, input{}, "audit", "verify", log); r.code != 0 || !strings.HasPrefix(r.stdout, "9 lines") {
		t.Errorf("behind a restart audit verify exits with %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if err := os.WriteFile(log, []byte(strings.Replace(string(text), `"denied"`, `"allowed"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := runToEnd(t, input{}, "audit", "verify", log); r.code != 1 || !strings.Contains(r.stderr, "line 3: it was changed") {
		t.Errorf("of a changed log audit verify exits with %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if r := runToEnd(t, input{}, "serve", "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0", "--audit", log, "--audit-chain"); r.code != 2 || !strings.Contains(r.stderr, "cannot be continued") {
		t.Errorf("serve continues a changed log: %d: %s", r.code, r.stderr)
	}
}
