package egress

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// asked is a resolver that notes the names.
type asked struct{ names []string }

func (a *asked) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	a.names = append(a.names, host)
	return nil, nil
}

func TestDottedNamesBecomeAbsolute(t *testing.T) {
	a := &asked{}
	r := fullNames{a}
	for _, host := range []string{"api.example.com", "svc.ns", "api.example.com.", "vault", "localhost"} {
		_, _ = r.LookupNetIP(t.Context(), "ip", host)
	}
	if want := []string{"api.example.com.", "svc.ns.", "api.example.com.", "vault", "localhost"}; !slices.Equal(a.names, want) {
		t.Errorf("asked for %q, want %q", a.names, want)
	}
}

// searchList is what a pod gets, with a zone of somebody else's in it.
const searchList = "search ns.svc.cluster.local evil.example\nnameserver 127.0.0.1\noptions ndots:5 attempts:1 timeout:5\n"

// inside says that this process has a machine of its own: mounts, network, and
// /etc/resolv.conf.
const inside = "EGRESS_TEST_INSIDE"

// TestSearchListIsForSingleLabels runs the resolver that the service has, with
// its resolv.conf, in a child that has a file system view and a loopback of its
// own: Go reads /etc/resolv.conf from nowhere else.
func TestSearchListIsForSingleLabels(t *testing.T) {
	if os.Getenv(inside) != "" {
		askTheSearchList(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1", "GOCOVERDIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch {
	case strings.Contains(string(out), "--- SKIP"), err != nil && len(out) == 0:
		t.Skipf("this machine gives no namespaces to tests: %v\n%s", err, out)
	case err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Errorf("%v\n%s", err, out)
	}
}

func askTheSearchList(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte(searchList), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(conf, "/etc/resolv.conf", "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("mount: %v", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Skipf("ip: %v: %s", err, out)
	}
	ns := newZone(t)
	lookUp := func(r Resolver, host string) (string, []string) {
		t.Helper()
		ns.forget()
		all, err := r.LookupNetIP(t.Context(), "ip4", host)
		if err != nil {
			t.Fatalf("%s: %v", host, err)
		}
		return all[0].String(), ns.names()
	}
	const evil, real = "6.6.6.6", "1.2.3.4"
	// What is to be kept from happening does happen:
	if got, names := lookUp(&net.Resolver{PreferGo: true}, "api.example.com"); got != evil {
		t.Fatalf("Go's resolver gives %s after asking for %q: the test shows nothing", got, names)
	}
	if got, names := lookUp(ownResolver(), "api.example.com"); got != real || !slices.Equal(names, []string{"api.example.com."}) {
		t.Errorf("api.example.com: got %s, asked for %q; want %s from the absolute name alone", got, names, real)
	}
	if got, names := lookUp(ownResolver(), "vault"); got != "10.0.0.1" || names[0] != "vault.ns.svc.cluster.local." {
		t.Errorf("vault: got %s, asked for %q; want what the search list finds", got, names)
	}
	p := NewPools(Config{})
	defer p.Close()
	ns.forget()
	if v, err := p.Judge(t.Context(), upstream(), "api.example.com"); err != nil || len(v) != 1 || v[0].Addr.String() != real {
		t.Errorf("Judge by default: got %+v, %v", v, err)
	}
	if names := ns.names(); slices.ContainsFunc(names, func(s string) bool { return s != "api.example.com." }) {
		t.Errorf("by default asked for %q", names)
	}
}

// zone is a name server that answers A for what it has.
type zone struct {
	mu    sync.Mutex
	asked []string
}

func newZone(t *testing.T) *zone {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		t.Skipf("port 53: %v", err)
	}
	z := &zone{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		z.serve(conn)
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return z
}

func (z *zone) serve(conn net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		q := m.Questions[0]
		name := q.Name.String()
		z.mu.Lock()
		z.asked = append(z.asked, name)
		z.mu.Unlock()
		var answer [4]byte
		switch {
		case strings.HasSuffix(name, ".evil.example."):
			answer = [4]byte{6, 6, 6, 6}
		case name == "api.example.com.":
			answer = [4]byte{1, 2, 3, 4}
		case name == "vault.ns.svc.cluster.local.":
			answer = [4]byte{10, 0, 0, 1}
		}
		m.Response, m.Additionals = true, nil
		switch {
		case answer == [4]byte{}:
			m.RCode = dnsmessage.RCodeNameError
		case q.Type == dnsmessage.TypeA:
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: answer},
			}}
		}
		if out, err := m.Pack(); err == nil {
			_, _ = conn.WriteTo(out, from)
		}
	}
}

func (z *zone) forget() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked = nil
}

// names are those asked for, each once.
func (z *zone) names() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	var once []string
	for _, name := range z.asked {
		if !slices.Contains(once, name) {
			once = append(once, name)
		}
	}
	return once
}
