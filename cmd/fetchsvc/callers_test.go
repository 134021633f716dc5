package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

const billingKey = "billing-key-canary-0123456789abcdef"

// office is a service whose callers must prove who they are, with TLS, on all
// addresses of this machine.
type office struct {
	*world
	dir, policy string
	ca          *testpeer.CA
}

// file is one in the office's folder.
func (o *office) file(name string) string { return filepath.Join(o.dir, name) }

// officePolicy has two callers, one by key and one by certificate.
func officePolicy(more string) string {
	sum := sha256.Sum256([]byte(billingKey))
	return fmt.Sprintf(`upstreams:
  - name: local
    hosts: ["127.0.0.1:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    allow: {callers: [billing]}
operators: [shipping]
callers:
  - {name: billing, api_key: {secret: "env:BILLING_%s"}}
  - {name: shipping, dns_names: [shipping.test]}
%s`, hex.EncodeToString(sum[:4]), more)
}

func startOffice(t *testing.T, args ...string) *office {
	t.Helper()
	o := &office{dir: t.TempDir(), ca: testpeer.NewCA(t)}
	o.policy = o.file("policy.yaml")
	sum := sha256.Sum256([]byte(billingKey))
	certificate, key := testpeer.PEM(t, o.ca.Issue(testpeer.CertOpts{}))
	shipping, shippingKey := testpeer.PEM(t, o.ca.Issue(testpeer.CertOpts{Names: []string{"shipping.test"}, Client: true}))
	for name, text := range map[string][]byte{
		"policy.yaml": []byte(officePolicy("")), "ca.pem": o.ca.PEM(), "door.crt": certificate, "door.key": key,
		"shipping.crt": shipping, "shipping.key": shippingKey, "billing.token": []byte(billingKey + "\n"), "wrong.token": []byte("nobody-canary"),
	} {
		if err := os.WriteFile(o.file(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"BILLING_" + hex.EncodeToString(sum[:4]) + "=" + hex.EncodeToString(sum[:])}
	c := start(t, input{env: env}, append([]string{"serve", "--grpc=0.0.0.0:0", "--rest=0.0.0.0:0", "--policy", o.policy,
		"--tls-cert", o.file("door.crt"), "--tls-key", o.file("door.key"), "--client-ca", o.file("ca.pem")}, args...)...)
	m := c.await(c.stderr, `"msg":"serving","grpc":"[^"]+:(\d+)","rest":"[^"]+:(\d+)","tls":true`)
	o.world = &world{child: c, grpc: "127.0.0.1:" + m[1], rest: "127.0.0.1:" + m[2]}
	return o
}

// ask runs a command against the service, with its authority trusted.
func (o *office) ask(t *testing.T, env []string, command string, args ...string) result {
	t.Helper()
	env = append(env, "FETCHSVC_SERVER="+o.grpc)
	return runToEnd(t, input{env: env}, append([]string{command, "--ca", o.file("ca.pem")}, args...)...)
}

// TestCommandsProveWhoCalls: by a token from the environment or a file, or by a
// certificate; and what they say to one that has none.
func TestCommandsProveWhoCalls(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	up := testpeer.Echo(t)
	batch := writeTemp(t, "calls.ndjson", `{"url":"`+up.URL+`/"}`+"\n")
	shipping := []string{"--cert", o.file("shipping.crt"), "--key", o.file("shipping.key")}
	billing := []string{"--token-file", o.file("billing.token")}
	with := func(proof []string, args ...string) []string { return append(append([]string{}, proof...), args...) }
	for _, tt := range []struct {
		name    string
		env     []string
		command string
		args    []string
		code    int
		want    string
	}{
		{"nothing", nil, "fetch", []string{up.URL}, exitDenied, "FETCHSVC_TOKEN"},
		{"a token file", nil, "fetch", with(billing, up.URL), 0, `"method"`},
		{"a token of the environment", []string{"FETCHSVC_TOKEN=" + billingKey}, "fetch", []string{up.URL}, 0, `"method"`},
		{"the file comes first", []string{"FETCHSVC_TOKEN=" + billingKey}, "fetch", []string{"--token-file", o.file("wrong.token"), up.URL}, exitDenied, "UNAUTHENTICATED"},
		{"a wrong token", nil, "fetch", []string{"--token-file", o.file("wrong.token"), up.URL}, exitDenied, "UNAUTHENTICATED"},
		{"no such token file", nil, "fetch", []string{"--token-file", o.file("nowhere"), up.URL}, 2, "no such file"},
		{"a certificate that policy denies this", nil, "fetch", with(shipping, up.URL), exitDenied, "POLICY_DENIED"},
		{"a certificate without key", nil, "fetch", []string{"--cert", o.file("shipping.crt"), up.URL}, 2, "give both"},
		{"streamed", nil, "fetch", with(billing, "--stream", up.URL), 0, `"method"`},
		{"streamed, nothing", nil, "fetch", []string{"--stream", up.URL}, exitDenied, "UNAUTHENTICATED"},
		{"batch", nil, "batch", with(billing, batch), 0, `"status":200`},
		{"batch, nothing", nil, "batch", []string{batch}, exitDenied, "UNAUTHENTICATED"},
		{"explain", nil, "explain", with(billing, "GET", up.URL), 0, "billing"},
		{"explain another", nil, "explain", with(billing, "--caller=shipping", "GET", up.URL), exitDenied, "NOT_GRANTED"},
		{"explain another as an operator", nil, "explain", with(shipping, "--caller=billing", "GET", up.URL), 0, "billing"},
		{"explain, nothing", nil, "explain", []string{"GET", up.URL}, exitDenied, "UNAUTHENTICATED"},
		{"policy", nil, "policy", shipping, 0, "generation"},
		{"policy, nothing", nil, "policy", nil, exitDenied, "UNAUTHENTICATED"},
		{"healthcheck", nil, "healthcheck", []string{"--rest", o.rest}, 0, ""},
		{"healthcheck by another name", nil, "healthcheck", []string{"--rest", o.rest, "--tls-name=localhost"}, 0, ""},
		{"healthcheck by a wrong name", nil, "healthcheck", []string{"--rest", o.rest, "--tls-name=other.test"}, 1, "other.test"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := o.ask(t, tt.env, tt.command, tt.args...)
			if text := r.stdout + r.stderr; r.code != tt.code || !strings.Contains(text, tt.want) {
				t.Errorf("got exit code %d, want %d, and %q in\n%s", r.code, tt.code, tt.want, text)
			}
			if strings.Contains(r.stdout+r.stderr, "canary") {
				t.Errorf("it shows the token:\n%s%s", r.stdout, r.stderr)
			}
		})
	}
	if r := runToEnd(t, input{env: []string{"FETCHSVC_TOKEN=" + billingKey}}, "fetch", "--server", o.grpc, "--tls", up.URL); r.code != exitNoService || !strings.Contains(r.stderr, "certificate") {
		t.Errorf("an authority that nobody trusts: got exit code %d and %s, want %d and the certificate", r.code, r.stderr, exitNoService)
	}
	if r := runToEnd(t, input{env: []string{"FETCHSVC_TOKEN=" + billingKey}}, "fetch", "--server", "192.0.2.1:9090", up.URL); r.code != 2 || !strings.Contains(r.stderr, "in plaintext") {
		t.Errorf("a token in plaintext: got exit code %d and %s, want 2 and why", r.code, r.stderr)
	}
	if text := o.stderr.String(); strings.Contains(text, "canary") {
		t.Errorf("the service's log shows a token:\n%s", text)
	}
}

// TestReloadKeepsStrangersOut: a policy without callers is not put in force while
// others than this machine can come; one that says so is.
func TestReloadKeepsStrangersOut(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	outside := o.outside(t)
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: o.ca.Pool(), ServerName: "localhost"}}}
	defer web.CloseIdleConnections()
	status := func(key string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+outside+"/v1/upstreams", nil)
		if err != nil {
			t.Fatal(err)
		}
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		res, err := web.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		return res.StatusCode
	}
	if got := status(""); got != http.StatusUnauthorized {
		t.Errorf("a stranger is answered with %d, want 401", got)
	}
	if got := status(billingKey); got != http.StatusOK {
		t.Errorf("a caller is answered with %d, want 200", got)
	}
	write := func(text string) {
		if err := os.WriteFile(o.policy, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("upstreams: []\n")
	o.await(o.stderr, `"msg":"policy refused, the one before stays in force","error":"--(grpc|rest) 0\.0\.0\.0:0: the policy names no callers`)
	if got := status(""); got != http.StatusUnauthorized {
		t.Errorf("a stranger is answered with %d after the refusal, want 401", got)
	}
	if r := o.ask(t, nil, "policy", "--token-file", o.file("billing.token")); r.code != 1 || !strings.Contains(r.stdout, "names no callers") {
		t.Errorf("policy: got exit code %d and %s, want 1 and the refusal", r.code, r.stdout)
	}
	write(officePolicy("unsafe_allow_anonymous: true\n"))
	o.await(o.stderr, `"msg":"policy reloaded"`)
	if got := status(""); got != http.StatusOK {
		t.Errorf("a stranger is answered with %d where that is allowed, want 200", got)
	}
	if got := status("nobody-canary"); got != http.StatusUnauthorized {
		t.Errorf("a bad key is answered with %d all the same, want 401", got)
	}
}

// outside is the REST door by an address that is not loopback, if this machine has
// one.
func (o *office) outside(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(o.rest)
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() && ip.IP.To4() != nil {
			return net.JoinHostPort(ip.IP.String(), port)
		}
	}
	t.Log("this machine has loopback addresses only")
	return o.rest
}

// TestUnsafePlaintext: where something else encrypts, callers still prove who they
// are, and the REST door goes by the name that it is told.
func TestUnsafePlaintext(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte(billingKey))
	file := writeTemp(t, "policy.yaml", officePolicy(""))
	c := start(t, input{env: []string{"BILLING_" + hex.EncodeToString(sum[:4]) + "=" + hex.EncodeToString(sum[:])}},
		"serve", "--grpc=0.0.0.0:0", "--rest=0.0.0.0:0", "--policy", file, "--unsafe-plaintext", "--rest-name=fetchsvc.mesh")
	m := c.await(c.stderr, `"msg":"serving","grpc":"[^"]+:(\d+)","rest":"[^"]+:(\d+)","tls":false`)
	for host, want := range map[string]int{"fetchsvc.mesh": 200, "127.0.0.1": 200, "evil.example": 403} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+m[2]+"/v1/upstreams", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		r.Header.Set("Authorization", "Bearer "+billingKey)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("Host %s is answered with %d, want %d", host, res.StatusCode, want)
		}
	}
	r := runToEnd(t, input{env: []string{"FETCHSVC_TOKEN=" + billingKey}}, "policy", "--server=127.0.0.1:"+m[1]).ok(t)
	if !strings.Contains(r.stdout, "generation") {
		t.Errorf("got %s, want the policy", r.stdout)
	}
}

// TestServedCertificateRotates: the running service takes up a new certificate.
func TestServedCertificateRotates(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	certificate, key := testpeer.PEM(t, o.ca.Issue(testpeer.CertOpts{CommonName: "the next"}))
	for name, text := range map[string][]byte{"door.crt": certificate, "door.key": key} {
		if err := os.WriteFile(o.file(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for late := time.Now().Add(patience); ; {
		conn, err := tls.Dial("tcp", o.rest, &tls.Config{RootCAs: o.ca.Pool()})
		if err != nil {
			t.Fatal(err)
		}
		name := conn.ConnectionState().PeerCertificates[0].Subject.CommonName
		conn.Close()
		if name == "the next" {
			break
		}
		if time.Now().After(late) {
			t.Fatalf("the certificate of %q is still served", name)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
