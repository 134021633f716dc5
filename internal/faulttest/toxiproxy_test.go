package faulttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// toxiproxy is a proxy process that hurts what passes through it.
type toxiproxy struct {
	api    string // base URL; empty: there is none
	client *http.Client
}

// toxiproxyBinary is where `make .build/tools/peer` puts it, or Debian's.
func toxiproxyBinary() (string, error) {
	path, err := filepath.Abs("../../.build/bin/server")
	if err != nil {
		return "", err
	}
	if found, err := exec.LookPath(path); err == nil {
		return found, nil
	}
	return exec.LookPath("toxiproxy-server")
}

// said is what the process wrote.
type said struct {
	mu sync.Mutex
	bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Buffer.Write(p)
}

// startToxiproxy runs one for the whole test. Without the binary, the rows that
// need it are skipped, or fail if CI=true.
func startToxiproxy(t *testing.T) *toxiproxy {
	t.Helper()
	binary, err := toxiproxyBinary()
	if err != nil {
		return &toxiproxy{}
	}
	p := &toxiproxy{client: &http.Client{Transport: &http.Transport{}, Timeout: patience}}
	for range 5 { // somebody else may take the port meanwhile
		port := freePort(t)
		cmd := exec.Command(binary, "-host", "127.0.0.1", "-port", strconv.Itoa(port))
		var out said
		cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, patience
		if err := cmd.Start(); err != nil {
			t.Fatalf("start %s: %v", binary, err)
		}
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait()
			close(ended)
		}()
		t.Cleanup(func() {
			p.client.CloseIdleConnections()
			_ = cmd.Process.Kill()
			<-ended
		})
		p.api = "http://127.0.0.1:" + strconv.Itoa(port)
		if p.answers(ended) {
			return p
		}
		t.Logf("toxiproxy does not serve on port %d: %s", port, out.String())
	}
	t.Fatal("toxiproxy does not start")
	return nil
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// answers waits until the API does; false: the process ended first.
func (p *toxiproxy) answers(ended <-chan struct{}) bool {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		if res, err := p.client.Get(p.api + "/version"); err == nil {
			_ = res.Body.Close()
			return res.StatusCode == http.StatusOK
		}
		select {
		case <-ended:
			return false
		case <-late.C:
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// toxic is one way to hurt. down is what the upstream says, up what it hears.
type toxic struct {
	kind, stream string
	attributes   map[string]int
}

func down(kind, attribute string, value int) toxic {
	return toxic{kind, "downstream", map[string]int{attribute: value}}
}

func up(kind, attribute string, value int) toxic {
	return toxic{kind, "upstream", map[string]int{attribute: value}}
}

// before puts a proxy in front of upstream and gives its host:port. It fails the
// row or skips it where there is no toxiproxy.
func (p *toxiproxy) before(t *testing.T, upstream string, enabled bool, toxics ...toxic) string {
	t.Helper()
	if p.api == "" {
		const missing = "toxiproxy is not there: make .build/tools/peer builds it into .build/bin"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	name := strings.NewReplacer("/", "-", " ", "-", ",", "-", "#", "-").Replace(t.Name())
	var made struct{ Listen string }
	p.post(t, "/proxies", map[string]any{"name": name, "listen": "127.0.0.1:0", "upstream": upstream, "enabled": true}, &made)
	t.Cleanup(func() {
		if err := p.remove(name); err != nil {
			t.Errorf("remove the proxy %s: %v", name, err)
		}
	})
	for i, x := range toxics {
		p.post(t, "/proxies/"+name+"/toxics", map[string]any{
			"name": fmt.Sprintf("%s-%d", x.kind, i), "type": x.kind, "stream": x.stream, "toxicity": 1.0, "attributes": x.attributes,
		}, nil)
	}
	if !enabled {
		p.post(t, "/proxies/"+name, map[string]any{"enabled": false}, nil)
	}
	return made.Listen
}

func (p *toxiproxy) post(t *testing.T, path string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	res, err := p.client.Post(p.api+path, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatalf("ask toxiproxy: %v", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode/100 != 2 {
		t.Fatalf("toxiproxy answers POST %s of %s with %d %s (%v)", path, body, res.StatusCode, answer, err)
	}
	if out != nil && json.Unmarshal(answer, out) != nil {
		t.Fatalf("toxiproxy answers %s", answer)
	}
}

func (p *toxiproxy) remove(name string) error {
	r, err := http.NewRequest(http.MethodDelete, p.api+"/proxies/"+name, nil)
	if err != nil {
		return err
	}
	res, err := p.client.Do(r)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}
