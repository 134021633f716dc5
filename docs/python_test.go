package docs_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestPython runs docs/examples/python with Debian's grpcio, on stubs that it
// makes of the running service.
func TestPython(t *testing.T) {
	if testing.Short() && os.Getenv("CI") != "true" {
		t.Skip("starts the service")
	}
	needPeers(t)
	if _, err := lookTool("grpcurl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("grpcurl is not on PATH")
		}
		t.Skip("grpcurl is not on PATH: run `make .build/tools/peer`")
	}
	t.Parallel()
	dependOnSources(t)
	service := startServe(t, build(t), requestsPolicy)
	dir, python, httpbin := t.TempDir(), pythonDir(t), testpeer.HTTPBin(t)

	run := func(t *testing.T, name string, args ...string) (string, error) {
		t.Helper()
		script, err := filepath.Abs(filepath.Join("examples", "python", name))
		if err != nil {
			t.Fatal(err)
		}
		interpreter := "sh"
		if filepath.Ext(name) == ".py" {
			interpreter = filepath.Join(python, "python3")
		}
		command := exec.CommandContext(t.Context(), interpreter, append([]string{script}, args...)...)
		command.Dir = dir
		command.Env = []string{
			"PATH=" + toolPath(python), "LC_ALL=C.UTF-8", "PYTHONPATH=stubs", "PYTHONDONTWRITEBYTECODE=1",
			"FETCHSVC_SERVER=127.0.0.1:" + service.grpc,
		}
		out, err := command.CombinedOutput()
		return string(out), err
	}
	if out, err := run(t, "stubs.sh", "127.0.0.1:"+service.grpc, "stubs"); err != nil {
		t.Fatalf("stubs.sh: %v\n%s", err, out)
	}

	t.Run("download", func(t *testing.T) {
		url := httpbin + "/stream-bytes/100000?seed=7&chunk_size=999"
		if out, err := run(t, "stream.py", "download", url, "body.bin"); err != nil || out != "100000 bytes received\n" {
			t.Fatalf("it prints %q, %v", out, err)
		}
		res, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		want, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "body.bin"))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("the file has %d bytes, %v, and is not the %d bytes that the upstream sends", len(got), err, len(want))
		}
	})
	t.Run("download that breaks off", func(t *testing.T) {
		out, err := run(t, "stream.py", "download", testpeer.Raw(t, testpeer.CutBody).URL, "broken.bin")
		if err == nil || !strings.HasPrefix(out, "BODY_CUT_SHORT: ") {
			t.Errorf("it prints %q, %v, want a failure of the kind BODY_CUT_SHORT", out, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "broken.bin")); err == nil {
			t.Error("the file is there, as if it were whole")
		}
	})
	t.Run("upload", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(dir, "up.bin"), make([]byte, 300_000), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := run(t, "stream.py", "upload", "up.bin", httpbin+"/upload")
		if err != nil || out != "status 200 for 300000 bytes\n" {
			t.Errorf("it prints %q, %v", out, err)
		}
	})
	t.Run("events", func(t *testing.T) {
		out, err := run(t, "stream.py", "events", httpbin+"/sse?count=3&duration=0.2s&delay=0s")
		if err != nil || strings.Count(out, "\n") != 3 || !strings.HasPrefix(out, `ping {"id":0,`) {
			t.Errorf("it prints %q, %v", out, err)
		}
	})
}
