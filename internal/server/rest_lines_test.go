package server

import (
	"io"
	"net"
	"testing"
)

// TestLinger: a caller that still sends gets the whole answer, and no reset, until
// it hangs up itself.
func TestLinger(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			linger(conn, "last")
		}
		ended <- err
	}()
	caller, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	if _, err := caller.Write(make([]byte, 1<<20)); err != nil {
		t.Errorf("before the answer was read: %v", err)
	}
	if got, err := io.ReadAll(caller); err != nil || string(got) != "last" {
		t.Errorf("got %q, %v; want the answer and its end", got, err)
	}
	for range 4 { // a reset would be answered by a failure of the second at the latest
		if _, err := caller.Write(make([]byte, 1<<20)); err != nil {
			t.Fatalf("behind the answer: %v", err)
		}
	}
	select {
	case err := <-ended:
		t.Fatalf("it ended before the caller hung up: %v", err)
	default:
	}
	_ = caller.Close()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
