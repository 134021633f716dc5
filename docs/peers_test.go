package docs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// debianPython is the interpreter that Debian's packages are for; another one may
// come first on PATH.
const debianPython = "/usr/bin/python3"

// peers says why Debian's Python clients cannot be used, or "". In CI they are
// installed if they are missing; elsewhere `make .build/peers` does that.
var peers = sync.OnceValue(func() string {
	why := missingPeer()
	if why == "" || os.Getenv("CI") != "true" {
		return why
	}
	install := exec.Command("make", "--always-make", ".build/peers")
	install.Dir = ".."
	out, err := install.CombinedOutput()
	if why = missingPeer(); why != "" {
		return fmt.Sprintf("%s, although CI installs it: %v\n%s", why, err, out)
	}
	return ""
})

func missingPeer() string {
	for _, tool := range []string{debianPython, "protoc", "grpc_python_plugin"} {
		if _, err := exec.LookPath(tool); err != nil {
			return tool + " is not installed"
		}
	}
	out, err := exec.Command(debianPython, "-c", "import google.protobuf, grpc, requests").CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return debianPython + " says: " + lines[len(lines)-1]
	}
	return ""
}

// needPeers skips the test where Debian's Python clients are missing. In CI they
// must be there.
func needPeers(t *testing.T) {
	t.Helper()
	switch why := peers(); {
	case why != "" && os.Getenv("CI") == "true":
		t.Fatal(why)
	case why != "":
		t.Skip(why + ": run `make .build/peers` as root on Debian")
	}
}

// pythonDir is a directory in which `python3` is Debian's.
func pythonDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(debianPython, filepath.Join(dir, "python3")); err != nil {
		t.Fatal(err)
	}
	return dir
}
