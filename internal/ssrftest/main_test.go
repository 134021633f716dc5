package ssrftest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// insideKey says that this process has a network of its own.
const insideKey = "SSRFTEST_EVERYWHERE"

// everywhere says that every address there is, is this machine's: whatever is
// dialled, the traps hear it.
func everywhere() bool { return os.Getenv(insideKey) != "" }

func TestMain(m *testing.M) {
	if everywhere() {
		for _, args := range []string{"link set lo up", "route add local 0.0.0.0/0 dev lo", "-6 route add local ::/0 dev lo"} {
			if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
				fmt.Printf("no network of its own: ip %s: %v: %s\n", args, err, out)
				os.Exit(0)
			}
		}
	}
	testpeer.Main(m)
}

// TestWhereEveryAddressIsHere runs the attacks in a child whose network takes each
// IPv4 and IPv6 address for its own: a connection to any of them would arrive.
func TestWhereEveryAddressIsHere(t *testing.T) {
	if everywhere() {
		t.Skip("is inside")
	}
	const tests = "TestTrapsHear|TestSpellings|TestSixes|TestTricks|TestNames|TestMixedAnswers|TestRedirects"
	cmd := exec.Command(os.Args[0], "-test.run=^("+tests+")$", "-test.v")
	cmd.Env = append(os.Environ(), insideKey+"=1", "GOCOVERDIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	text := string(out)
	if strings.Contains(text, "no network of its own") || err != nil && text == "" {
		t.Skipf("this machine gives no network to tests: %v %s", err, text)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, name := range strings.Split(tests, "|") {
		if !strings.Contains(text, "--- PASS: "+name+" ") {
			t.Errorf("%s did not run inside:\n%s", name, text)
		}
	}
}
