package docs_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// mountPoint is where manifests and unit have the files of the service.
const mountPoint = "/etc/fetchsvc"

// TestDeploymentServes runs the binary as the Deployment does, with the ConfigMap's
// policy, and asks what the kubelet and callers ask.
func TestDeploymentServes(t *testing.T) {
	if testing.Short() && os.Getenv("CI") != "true" {
		t.Skip("starts the service")
	}
	t.Parallel()
	dependOnSources(t)
	c := only[deployment](t, "deployment.yaml").Spec.Template.Spec.Containers[0]
	dir, ca := t.TempDir(), testpeer.NewCA(t)
	key := sha256.Sum256([]byte("key-of-reports"))
	// By an address, as probes do, the certificate's name is not the Host's.
	chain, private := testpeer.PEM(t, ca.Issue(testpeer.CertOpts{Names: []string{"fetchsvc"}}))
	files := map[string]string{
		"tls/tls.crt": string(chain), "tls/tls.key": string(private), "tls/ca.crt": string(ca.PEM()),
		"secrets/github-token": "a-token", "secrets/reports-key-sha256": hex.EncodeToString(key[:]) + "\n",
		"secrets/prometheus-key-sha256": strings.Repeat("0f", 32) + "\n",
	}
	for name, text := range only[configMap](t, "configmap.yaml").Data {
		files["policy/"+name] = strings.ReplaceAll(text, mountPoint, dir)
	}
	for name, text := range files {
		writeAt(t, filepath.Join(dir, filepath.FromSlash(name)), text)
	}
	args := strings.Split(strings.ReplaceAll(strings.Join(c.Args, "\n"), mountPoint, dir), "\n")
	for i, a := range args {
		args[i] = doorFlag.ReplaceAllString(a, "$1:0")
	}
	command := exec.Command(build(t), args...)
	for _, e := range c.Env {
		command.Env = append(command.Env, e.Name+"="+e.Value)
	}
	var rest string
	start(t, command, (*exec.Cmd).StderrPipe, func(line string) bool {
		var said struct{ Msg, REST string }
		if json.Unmarshal([]byte(line), &said) != nil || said.Msg != "serving" {
			return false
		}
		rest = "https://127.0.0.1:" + portOf(t, said.REST)
		return true
	})
	probing := &tls.Config{InsecureSkipVerify: true} // as the kubelet does
	for _, p := range []probe{c.ReadinessProbe, c.LivenessProbe} {
		if status, text := askDoor(t, probing, http.MethodGet, rest+p.HTTPGet.Path, "", ""); status != http.StatusOK {
			t.Errorf("%s is answered with %d: %s", p.HTTPGet.Path, status, text)
		}
	}
	calling := func(certs ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: ca.Pool(), ServerName: "fetchsvc", Certificates: certs}
	}
	billing := ca.Issue(testpeer.CertOpts{Names: []string{"billing.default.svc"}, Client: true})
	for name, c := range map[string]struct {
		config *tls.Config
		token  string
		want   string
	}{
		"a stranger":  {calling(), "", "UNAUTHENTICATED"},
		"a wrong key": {calling(), "key-of-nobody", "UNAUTHENTICATED"},
		"reports":     {calling(), "key-of-reports", "POLICY_DENIED"},
		"billing":     {calling(billing), "", "POLICY_DENIED"},
	} {
		_, text := askDoor(t, c.config, http.MethodPost, rest+"/v1/fetch", c.token, `{"method":"POST","url":"https://api.github.com/repos/a/b"}`)
		if !strings.Contains(text, `"reason":"`+c.want+`"`) && !strings.Contains(text, `"reason": "`+c.want+`"`) {
			t.Errorf("%s is answered with %s, want %s", name, text, c.want)
		}
	}
}

// doorFlag is a flag that says where a door listens.
var doorFlag = regexp.MustCompile(`^(--(?:grpc|rest)=).*`)

func writeAt(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// askDoor asks the REST door once, by TLS.
func askDoor(t *testing.T, config *tls.Config, method, url, token, body string) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if config.ServerName != "" {
		r.Host = config.ServerName
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(all)
}

// unitLine is one setting of a unit, with the lines that continue it.
var unitLine = regexp.MustCompile(`(?m)^([A-Za-z]+)=((?:.*\\\n)*.*)$`)

// TestSystemdUnit: the unit stops no sooner than the service, gives up no guard,
// and is what systemd understands; that it is tight, systemd says itself.
func TestSystemdUnit(t *testing.T) {
	text, err := os.ReadFile("../deploy/systemd/fetchsvc.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := map[string]string{}
	for _, m := range unitLine.FindAllStringSubmatch(string(text), -1) {
		unit[m[1]] = strings.ReplaceAll(m[2], "\\\n", "")
	}
	args := strings.Fields(unit["ExecStart"])
	if len(args) < 2 || args[1] != "serve" || strings.Contains(unit["ExecStart"], "unsafe") {
		t.Fatalf("ExecStart is %q", unit["ExecStart"])
	}
	stop, err := time.ParseDuration(unit["TimeoutStopSec"])
	if least := graceOf(t, args) + flush; err != nil || stop < least {
		t.Errorf("TimeoutStopSec is %q, want at least %v", unit["TimeoutStopSec"], least)
	}
	deployed := only[deployment](t, "deployment.yaml").Spec.Template.Spec.Containers[0].Args
	if got, want := strings.Join(args[1:], " "), strings.Join(deployed, " "); !sameWords(got, want) {
		t.Errorf("the unit runs\n%s\nand the Deployment\n%s", got, want)
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("systemd was not asked: systemd-analyze is not on PATH")
		return
	}
	file := filepath.Join(t.TempDir(), "fetchsvc.service")
	here := strings.NewReplacer("ExecStart=/usr/local/bin/fetchsvc", "ExecStart=/bin/true").Replace(string(text))
	writeAt(t, file, here)
	for _, command := range [][]string{
		{"verify", file},
		{"security", "--offline=true", "--threshold=20", "--no-pager", file},
	} {
		out, err := exec.Command("systemd-analyze", command...).CombinedOutput()
		if err != nil || command[0] == "verify" && strings.Contains(string(out), "fetchsvc.service") {
			t.Errorf("systemd-analyze %s: %v\n%s", command[0], err, out)
		}
	}
}

// sameWords: a and b have the same words, in any order.
func sameWords(a, b string) bool {
	words := func(s string) map[string]bool {
		all := map[string]bool{}
		for w := range strings.FieldsSeq(s) {
			all[w] = true
		}
		return all
	}
	in, want := words(a), words(b)
	for w := range in {
		if !want[w] {
			return false
		}
	}
	return len(in) == len(want)
}
