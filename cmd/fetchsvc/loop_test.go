package main

import (
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// TestCallsDoNotComeBack: neither straight to the service's own doors, although
// policy opens their address, nor around another server.
func TestCallsDoNotComeBack(t *testing.T) {
	t.Parallel()
	w := startServe(t, "--policy", writeTemp(t, "policy.yaml", `upstreams: [{name: local, hosts: ["127.0.0.1:*"], schemes: [http], unsafe_allow_addresses: [127.0.0.1]}]`))
	for _, own := range []string{w.rest, w.grpc} {
		if r := runToEnd(t, input{}, "fetch", "--server", w.grpc, "http://"+own+"/healthz"); r.code != exitDenied || !strings.Contains(r.stderr, "ADDRESS_DENIED") {
			t.Errorf("a call of %s exits with %d: %s", own, r.code, r.stderr)
		}
	}
	rest, err := url.Parse("http://" + w.rest)
	if err != nil {
		t.Fatal(err)
	}
	around := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(rest) }})
	defer around.Close()
	r := runToEnd(t, input{}, "fetch", "--server", w.grpc, "--json", `{"url":"http://example.com/"}`, around.URL+"/v1/fetch")
	if !strings.Contains(r.stdout, "LOOP_DETECTED") {
		t.Errorf("a call around another server exits with %d: %s%s", r.code, r.stdout, r.stderr)
	}
}
