//go:build unix

package testpeer

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// ClosedPort is a host:port that refuses: connecting fails with ECONNREFUSED.
// The port stays taken until the test ends, so nobody else can start to listen.
func ClosedPort(t testing.TB) string {
	t.Helper()
	_, addr := bind(t)
	return addr
}

// Blackhole is a host:port whose connect hangs until the client gives up: a
// listener that never accepts, its backlog filled. Linux drops the SYN then
// (other systems may refuse: the test is skipped there). That connecting
// hangs was tried before Blackhole returns.
func Blackhole(t testing.TB) string {
	t.Helper()
	fd, addr := bind(t)
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatalf("testpeer: listen without backlog: %v", err)
	}
	for hung := 0; hung < 2; {
		conn, err := net.DialTimeout("tcp4", addr, 100*time.Millisecond)
		var timeout net.Error
		switch {
		case err == nil: // it sits in the backlog now
			t.Cleanup(func() { _ = conn.Close() })
			hung = 0
		case errors.As(err, &timeout) && timeout.Timeout():
			hung++ // twice, lest a busy machine look like a full backlog
		case runtime.GOOS != "linux":
			t.Skipf("testpeer: a full backlog does not hang on this system: %v", err)
		default:
			t.Fatalf("testpeer: fill the backlog: %v", err)
		}
	}
	return addr
}

// bind takes an ephemeral port without listening on it.
func bind(t testing.TB) (fd int, addr string) {
	t.Helper()
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatalf("testpeer: socket: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatalf("testpeer: bind: %v", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatalf("testpeer: getsockname: %v", err)
	}
	return fd, fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
}
