package docs_test

import (
	"net"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// server runs a command of the page that serves at 127.0.0.1:port, at another
// port, until the page's test ends.
func (r *runner) server(f fence, port string) {
	if !hasTools(r.t, f.text) {
		r.left = true
		if r.others == nil {
			r.others = map[string]string{}
		}
		r.others[port] = port
		return
	}
	r.listenAt(port)
	command := exec.Command("bash", "-euo", "pipefail", "-c", "exec "+r.reach(r.dev).rewrite(f.text))
	command.Dir, command.Env = r.dir, r.env(r.dev)
	var out strings.Builder
	command.Stdout, command.Stderr = &out, &out
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = command.Wait()
	}()
	r.t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		<-ended
	})
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.Dial("tcp", "127.0.0.1:"+r.others[port])
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ended:
			r.t.Fatalf("%s:%d: it ended:\n%s", r.page.path, f.line, out.String())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s:%d: nothing listens: %v", r.page.path, f.line, err)
		}
	}
}

// serveAs runs the page's `fetchsvc serve` with the page's policy. Its doors have
// other ports than the page's, on all addresses where the page says so.
func (r *runner) serveAs(f fence) {
	r.unserve()
	r.write("policy.yaml", r.policy)
	text := strings.TrimSpace(r.reach(r.dev).rewrite(f.text))
	for flag, port := range map[string]string{"--grpc": docGRPC, "--rest": docREST} {
		if strings.Contains(text, flag+" ") {
			text = strings.ReplaceAll(text, flag+" 0.0.0.0:"+port, flag+" 0.0.0.0:0")
		} else {
			text += " " + flag + " 127.0.0.1:0"
		}
	}
	command := exec.Command("bash", "-euo", "pipefail", "-c", "exec "+text)
	command.Dir, command.Env = r.dir, r.env(r.dev)
	r.served = serving(r.t, command)
}

// listenAt finds a free port for the page's.
func (r *runner) listenAt(port string) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	defer lis.Close()
	if r.others == nil {
		r.others = map[string]string{}
	}
	r.others[port] = portOf(r.t, lis.Addr().String())
}

// callsServer says that text names a server of the page.
func (r *runner) callsServer(text string) bool {
	for _, m := range hostPort.FindAllStringSubmatch(text, -1) {
		if _, own := r.others[m[2]]; own {
			return true
		}
	}
	return false
}
