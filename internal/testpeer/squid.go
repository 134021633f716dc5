package testpeer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Squid runs the proxy Squid and gives its host:port. With a user name it wants
// basic authentication; without one it takes anybody. It refuses (403) to connect
// to the port denied, if that is not empty.
func Squid(t testing.TB, username, password, denied string) (addr string) {
	t.Helper()
	binary := Binary(t, "squid", "squid")
	dir := processDir(t)
	config := "pid_filename none\ncache deny all\naccess_log none\ncache_store_log none\n" +
		"cache_log " + filepath.Join(dir, "log") + "\nshutdown_lifetime 0 seconds\npinger_enable off\n" +
		"coredump_dir " + dir + "\nmax_filedescriptors 1024\n"
	if denied != "" {
		config += "acl denied port " + denied + "\nhttp_access deny denied\n"
	}
	if username == "" {
		config += "http_access allow all\n"
	} else {
		helper := filepath.Join(dir, "auth.sh")
		writeFile(t, helper, fmt.Sprintf("while read -r line; do\n  if [ \"$line\" = '%s %s' ]; then echo OK; else echo ERR; fi\ndone\n", username, password))
		config += "auth_param basic program /bin/sh " + helper + "\nauth_param basic children 1\n" +
			"acl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all\n"
	}
	return startProcess(t, func(host, port string) *exec.Cmd {
		file := filepath.Join(dir, "squid.conf")
		writeFile(t, file, config+"http_port "+host+":"+port+"\n")
		return exec.Command(binary, "-N", "-f", file)
	})
}

// processDir is a directory that a process may use which gave up being root.
func processDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "testpeer")
	if err == nil {
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatalf("testpeer: directory for a process: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatalf("testpeer: %v", err)
	}
}
