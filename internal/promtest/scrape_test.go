package promtest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// calls are made by the caller shop.
const calls = 7

// policyText has Prometheus as a caller that no upstream allows anything.
const policyText = `
callers:
  - name: shop
    api_key: {secret: "file:shop.sha256"}
  - name: prometheus
    api_key: {secret: "file:prometheus.sha256"}
upstreams:
  - name: pay
    hosts: ["%s"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.1]
    allow: {callers: [shop]}
    retry: {max_attempts: 2, backoff: {base: 0s}}
    limits: {concurrent: 10, queue: 10}
`

// TestScrape: a real Prometheus, by the configuration, rules and dashboard that are
// shipped, sees what a real service did.
func TestScrape(t *testing.T) {
	t.Parallel()
	tool(t, "prometheus")
	s := newScraped(t)
	s.guarded(t)
	addr := prometheus(t, s.config(t))
	s.wait(t, addr, `up{job="fetchsvc"}`, 1)
	for range calls {
		s.call(t)
	}
	s.wait(t, addr, `sum(fetchsvc_calls_total{fetchsvc_caller="shop", fetchsvc_upstream="pay", fetchsvc_outcome="answered"})`, calls)
	s.wait(t, addr, `sum(http_client_request_duration_seconds_count{fetchsvc_upstream="pay", http_response_status_code="503", error_type="503"})`, calls)
	s.wait(t, addr, `sum(http_client_request_duration_seconds_count{fetchsvc_upstream="pay", http_response_status_code="200", error_type=""})`, calls)
	s.wait(t, addr, `sum(fetchsvc_retries_total{fetchsvc_upstream="pay", error_type="503"})`, calls)
	s.wait(t, addr, `fetchsvc_policy_last_reload_successful{job="fetchsvc"}`, 1)
	s.wait(t, addr, `max(instance:fetchsvc_watched:10m) > bool 0`, 1)

	s.page(t)
	t.Run("rules", func(t *testing.T) { s.rulesAreWell(t, addr) })
	t.Run("dashboard", func(t *testing.T) {
		for _, e := range expressions(t) {
			if _, err := ask(addr, "query", url.Values{"query": {e.text}}); err != nil {
				t.Errorf("%s: %v", e.of, err)
			}
		}
	})
	t.Run("exemplars", func(t *testing.T) { s.exemplars(t, addr) })
}

// scraped is a service with an upstream, and who asks it.
type scraped struct {
	dir, rest, upstream string
	keys                map[string]string
	roots               *x509.CertPool
}

func newScraped(t *testing.T) *scraped {
	t.Helper()
	program := build(t)
	s := &scraped{dir: t.TempDir(), keys: map[string]string{}, roots: x509.NewCertPool()}
	odd := make(chan bool, 1) // every other request is answered 503
	odd <- false
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fail := !<-odd
		odd <- fail
		if fail {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(up.Close)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	t.Cleanup(collector.Close)
	for _, caller := range []string{"shop", "prometheus"} {
		key := make([]byte, 32)
		_, _ = rand.Read(key)
		s.keys[caller] = hex.EncodeToString(key)
		sum := sha256.Sum256([]byte(s.keys[caller]))
		write(t, s.dir, caller+".sha256", []byte(hex.EncodeToString(sum[:])))
	}
	s.certificate(t)
	s.upstream = up.Listener.Addr().String()
	policy := write(t, s.dir, "policy.yaml", fmt.Appendf(nil, policyText, s.upstream))
	s.rest = serve(t, program, []string{"GOMEMLIMIT=512MiB", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + collector.URL + "/v1/traces", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"},
		"--policy="+policy, "--tls-cert="+filepath.Join(s.dir, "ca.crt"), "--tls-key="+filepath.Join(s.dir, "tls.key"))
	return s
}

// certificate makes one for the name that the scrape configuration asks for.
func (s *scraped) certificate(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fetchsvc"}, DNSNames: []string{"fetchsvc"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.roots.AppendCertsFromPEM(text)
	write(t, s.dir, "ca.crt", text)
	write(t, s.dir, "tls.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// config is the one that is shipped, but for where things are and how often it looks.
func (s *scraped) config(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "rules.yaml", read(t, rulesFile))
	write(t, dir, "api-key", []byte(s.keys["prometheus"]))
	write(t, dir, "ca.crt", read(t, filepath.Join(s.dir, "ca.crt")))
	text := strings.ReplaceAll(string(read(t, filepath.Join(prometheusFolder, "prometheus.yaml"))), "/etc/prometheus/fetchsvc/", dir+"/")
	var c map[string]any
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	c["global"] = map[string]any{"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
	job := c["scrape_configs"].([]any)[0].(map[string]any)
	delete(job, "dns_sd_configs")
	job["static_configs"] = []any{map[string]any{"targets": []string{s.rest}}}
	out, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, dir, "prometheus.yaml", out)
}

// guarded: the page is for callers alone.
func (s *scraped) guarded(t *testing.T) {
	t.Helper()
	if _, err := get("https://"+s.rest+"/metrics", s.roots, ""); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("without a proof, /metrics is answered %v, want 401", err)
	}
}

// call has the service fetch something; the upstream answers at the second attempt.
func (s *scraped) call(t *testing.T) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.rest+"/v1/fetch", strings.NewReader(`{"url":"http://`+s.upstream+`/"}`))
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := do(req, s.roots, s.keys["shop"]); err != nil || !bytes.Contains(answer, []byte(`"status":200`)) && !bytes.Contains(answer, []byte(`"status": 200`)) {
		t.Fatalf("the call is answered %s, %v", answer, err)
	}
}

// page: promtool finds nothing to mend in /metrics, and every name in it is one that
// the catalogue or the runtime has; what the rules ask of the runtime is there.
func (s *scraped) page(t *testing.T) {
	t.Helper()
	text, err := get("https://"+s.rest+"/metrics", s.roots, s.keys["prometheus"])
	if err != nil {
		t.Fatal(err)
	}
	check := exec.CommandContext(t.Context(), tool(t, "promtool"), "check", "metrics")
	check.Stdin = bytes.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	served := map[string]bool{}
	var catalogue []string
	for _, m := range telemetry.Metrics() {
		catalogue = append(catalogue, m.Prometheus())
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) `).FindAllSubmatch(text, -1) {
		name := string(m[1])
		served[name] = true
		ours := strings.HasPrefix(name, "fetchsvc_") || strings.HasPrefix(name, "http_") || strings.HasPrefix(name, "rpc_")
		switch {
		case ours && !slices.Contains(catalogue, name):
			t.Errorf("/metrics has %s, which is not in the catalogue", name)
		case !ours && name != "target_info" && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_"):
			t.Errorf("/metrics has %s: whose is it?", name)
		}
	}
	for name := range beside {
		if (strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_")) && !served[name] {
			t.Errorf("the rules or the dashboard ask for %s, and /metrics has it not", name)
		}
	}
	for _, name := range []string{"fetchsvc_calls_total", "fetchsvc_call_duration_seconds", "fetchsvc_retry_budget_remaining", "fetchsvc_concurrency_used", "http_client_open_connections", "rpc_server_call_duration_seconds", "fetchsvc_policy_loaded_timestamp_seconds", "fetchsvc_telemetry_lost_total"} {
		if !served[name] {
			t.Errorf("/metrics has no %s", name)
		}
	}
}

// rulesAreWell: Prometheus evaluated each without an error, and no alert fires.
func (s *scraped) rulesAreWell(t *testing.T, addr string) {
	type state struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError, State string }
		}
	}
	// Those of the long windows are evaluated once in five minutes.
	eventually(t, "rules were evaluated", func() (bool, string) {
		var got state
		data, err := ask(addr, "rules", nil)
		if err != nil || json.Unmarshal(data, &got) != nil {
			return false, fmt.Sprint(err)
		}
		waiting, all := 0, 0
		for _, g := range got.Groups {
			for _, r := range g.Rules {
				all++
				switch {
				case r.Health == "unknown":
					waiting++
				case r.Health != "ok":
					t.Fatalf("rule %s is %s: %s", r.Name, r.Health, r.LastError)
				case r.State == "firing":
					t.Fatalf("%s fires", r.Name)
				}
			}
		}
		return all == len(rules(t)) && waiting <= 8, fmt.Sprintf("%d of %d wait", waiting, all)
	})
}

// exemplars lead from a bucket to a trace.
func (s *scraped) exemplars(t *testing.T, addr string) {
	now := time.Now()
	eventually(t, "an exemplar with a trace", func() (bool, string) {
		data, err := ask(addr, "query_exemplars", url.Values{"query": {"fetchsvc_call_duration_seconds_bucket"},
			"start": {fmt.Sprint(now.Add(-time.Hour).Unix())}, "end": {fmt.Sprint(now.Add(time.Hour).Unix())}})
		return err == nil && regexp.MustCompile(`"trace_id":"[0-9a-f]{32}"`).Match(data), fmt.Sprintf("%s %v", data, err)
	})
}

// wait asks Prometheus until an expression has one sample, of a value.
func (s *scraped) wait(t *testing.T, addr, expr string, value float64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s is %v", expr, value), func() (bool, string) {
		data, err := ask(addr, "query", url.Values{"query": {expr}})
		var got struct{ Result []struct{ Value [2]any } }
		if err == nil {
			err = json.Unmarshal(data, &got)
		}
		return err == nil && len(got.Result) == 1 && got.Result[0].Value[1] == fmt.Sprint(value), fmt.Sprintf("%s %v", data, err)
	})
}

// ask gives what Prometheus' API answers.
func ask(addr, what string, query url.Values) (json.RawMessage, error) {
	text, err := get("http://"+addr+"/api/v1/"+what+"?"+query.Encode(), nil, "")
	if err != nil {
		return nil, err
	}
	var answer struct{ Data json.RawMessage }
	return answer.Data, json.Unmarshal(text, &answer)
}

func get(from string, roots *x509.CertPool, key string) ([]byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	return do(req, roots, key)
}

// do sends a request; an answer other than 200 is an error.
func do(req *http.Request, roots *x509.CertPool, key string) ([]byte, error) {
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
	res, err := (&http.Client{Transport: tr, Timeout: patience}).Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, text)
	}
	return text, err
}
