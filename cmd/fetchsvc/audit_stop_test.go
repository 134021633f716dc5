package main

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestAuditStop: calls that a service refuses because it stops leave their lines,
// and so do those that it cuts off at the end of its grace.
func TestAuditStop(t *testing.T) {
	t.Parallel()
	log := t.TempDir() + "/audit.log"
	hanging := make(chan struct{}, 10)
	over, release := context.WithCancel(t.Context())
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		hanging <- struct{}{}
		select {
		case <-over.Done():
		case <-r.Context().Done():
		}
	}))
	defer up.Close()
	defer release()
	o := startOffice(t, "--audit", log, "--grace=3s")
	var calls sync.WaitGroup
	for _, args := range [][]string{{"--server-rest"}, {"--stream"}, {}} {
		if len(args) > 0 && args[0] == "--server-rest" {
			calls.Go(func() { restCall(t, o, `{"url":"`+up.URL+`"}`) })
		} else {
			calls.Go(func() { o.ask(t, nil, "fetch", append(args, "--token-file="+o.file("billing.token"), up.URL)...) })
		}
		<-hanging
	}
	o.signal(syscall.SIGTERM)
	o.await(o.stderr, `"msg":"stopping"`)
	cut := 3
	for restCall(t, o, `{"url":"`+up.URL+`"}`) != http.StatusServiceUnavailable {
		if cut++; cut == 6 { // they came before the door was closed, and were cut off too
			break
		}
	}
	o.wait()
	calls.Wait()
	outcomes := map[string]int{}
	for _, e := range auditLines(t, log) {
		outcomes[e["door"].(string)+" "+e["outcome"].(string)]++
	}
	if outcomes["rest SHUTTING_DOWN"] == 0 {
		t.Errorf("no line says SHUTTING_DOWN: %v", outcomes)
	}
	ended := 0
	for outcome, n := range outcomes {
		if !strings.Contains(outcome, "SHUTTING_DOWN") {
			ended += n
		}
	}
	if ended != cut {
		t.Errorf("the lines are %v, want %d of the calls that were cut off", outcomes, cut)
	}
}

// restCall makes a call of billing by REST, and gives its status; 0: it broke.
func restCall(t *testing.T, o *office, body string) int {
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: o.ca.Pool()}, DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+o.rest+"/v1/fetch", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0
	}
	r.Header.Set("Authorization", "Bearer "+billingKey)
	res, err := web.Do(r)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}
