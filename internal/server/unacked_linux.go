package server

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// limitUnacked has the kernel give up a connection whose peer has acknowledged
// nothing of what was sent for 20 s: it is gone. grpc-go does the same to the
// sockets that it knows, and behind a link it knows none.
func limitUnacked(conn net.Conn) {
	tcp, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(keepaliveTimeout.Milliseconds()))
	})
}
