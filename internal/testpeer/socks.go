package testpeer

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// Microsocks runs the SOCKS 5 proxy microsocks and gives its host:port. With a
// user name it wants that and the password; without one it takes anybody.
func Microsocks(t testing.TB, username, password string) (addr string) {
	t.Helper()
	binary := Binary(t, "microsocks", "microsocks")
	return startProcess(t, func(host, port string) *exec.Cmd {
		args := []string{"-i", host, "-p", port}
		if username != "" {
			args = append(args, "-u", username, "-P", password)
		}
		return exec.Command(binary, args...)
	})
}

// Dante runs the SOCKS 5 proxy Dante, which takes anybody and by its rules
// refuses to connect to the port denied. It gives its host:port.
func Dante(t testing.TB, denied string) (addr string) {
	t.Helper()
	binary := Binary(t, "danted", "dante-server")
	dir := processDir(t)
	return startProcess(t, func(host, port string) *exec.Cmd {
		file := filepath.Join(dir, "danted.conf")
		writeFile(t, file, "logoutput: stderr\ninternal: "+host+" port = "+port+"\nexternal: lo\n"+
			"clientmethod: none\nsocksmethod: none\n"+
			"client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }\n"+
			"socks block { from: 0.0.0.0/0 to: 0.0.0.0/0 port = "+denied+" }\n"+
			"socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }\n")
		return exec.Command(binary, "-f", file, "-p", filepath.Join(dir, "pid"))
	})
}
