package doortest

import (
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/fetchsvc/fetchsvc/internal/server"
)

// crowd is more handshakes than compute at once.
var crowd = runtime.GOMAXPROCS(0) + 8

// overfull fills a door up to its bound, and then some; one that leaves makes room.
// Of the places, the good caller has one.
func overfull(door func(*attack) string, places int) func(*attack) {
	return func(a *attack) {
		var in []*raw
		for len(in) < places-1 {
			in = append(in, a.plain(door(a)))
		}
		for range 20 {
			if said := a.plain(door(a)).end(); said != "" {
				a.Errorf("a connection too many was told %q, want none", said)
			}
		}
		_ = in[0].Close()
		// The server learns of it when it reads. What comes before is closed at once.
		for late := time.Now().Add(patience); ; {
			c := a.plain(door(a))
			if door(a) == a.rest { // gRPC's says something by itself
				c.pour("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
			}
			if _, err := c.Read(make([]byte, 1)); err == nil {
				return
			}
			if time.Now().After(late) {
				a.Fatal("a place that became free is given to nobody")
			}
		}
	}
}

func atGRPC(a *attack) string { return a.grpc }
func atREST(a *attack) string { return a.rest }

// hello is the first flight of a client.
func hello(a *attack) string {
	mine, theirs := net.Pipe()
	defer mine.Close()
	go func() { _ = tls.Client(theirs, a.tls).Handshake() }()
	first := make([]byte, 16<<10)
	n, err := mine.Read(first)
	if err != nil {
		a.Fatal(err)
	}
	_ = theirs.Close()
	return string(first[:n])
}

// stalled begins many handshakes and goes on with none, behind the first bytes that
// part gives of a hello.
func stalled(door func(*attack) string, part func(hello string) string) func(*attack) {
	return func(a *attack) {
		text := part(hello(a))
		var all []*raw
		for range crowd {
			c := a.plain(door(a))
			c.pour(text)
			all = append(all, c)
		}
		for _, c := range all {
			c.end()
		}
	}
}

func half(s string) string  { return s[:len(s)/2] }
func whole(s string) string { return s }

// nonsense sends what is no TLS.
func nonsense(door func(*attack) string, text string) func(*attack) {
	return func(a *attack) {
		c := a.plain(door(a))
		c.pour(text)
		if said := c.end(); len(said) > 16 {
			a.Errorf("it said %q, want an alert at most", said)
		}
	}
}

// byDrops writes each byte as a write, and so a record, of its own.
type byDrops struct{ net.Conn }

func (c byDrops) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

const (
	sslv2   = "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80\x02\x00\x80\x03\x00\x80\x04\x00\x80"
	tlsJunk = "\x16\x03\x01\x40\x00\xff\xff\xff\xff"
)

var hasty = server.Bounds{Handshake: soon}

var connRows = []row{
	{name: "connections over the bound, gRPC", full: true, bounds: server.Bounds{Connections: 5}, log: "connections were refused", attack: overfull(atGRPC, 5)},
	{name: "connections over the bound, REST", full: true, bounds: server.Bounds{Connections: 5}, log: "connections were refused", attack: overfull(atREST, 5)},
	{name: "connections of one address over the bound", full: true, bounds: server.Bounds{PerAddress: 5}, log: "last=127.0.0.1/32", attack: overfull(atREST, 5)},
	{name: "stalled before the hello, gRPC", tls: true, bounds: hasty, attack: stalled(atGRPC, func(string) string { return "" })},
	{name: "stalled in the hello, gRPC", tls: true, bounds: hasty, attack: stalled(atGRPC, half)},
	{name: "stalled behind the hello, gRPC", tls: true, bounds: hasty, attack: stalled(atGRPC, whole)},
	{name: "stalled before the hello, REST", tls: true, bounds: hasty, attack: stalled(atREST, func(string) string { return "" })},
	{name: "stalled in the hello, REST", tls: true, bounds: hasty, attack: stalled(atREST, half)},
	{name: "stalled behind the hello, REST", tls: true, bounds: hasty, attack: stalled(atREST, whole)},
	{name: "hello of SSL 2, gRPC", tls: true, attack: nonsense(atGRPC, sslv2)},
	{name: "hello of SSL 2, REST", tls: true, attack: nonsense(atREST, sslv2)},
	{name: "a record of nonsense, gRPC", tls: true, bounds: hasty, attack: nonsense(atGRPC, tlsJunk)},
	{name: "a record of nonsense, REST", tls: true, bounds: hasty, attack: nonsense(atREST, tlsJunk)},
	{name: "TLS 1.1", tls: true, attack: func(a *attack) {
		for _, door := range []string{a.grpc, a.rest} {
			config := a.tls.Clone()
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			conn, err := tls.Dial("tcp", door, config)
			if err == nil {
				_ = conn.Close()
				a.Error("TLS 1.1 was spoken")
			}
		}
	}},
	{name: "HTTP where TLS is spoken", tls: true, attack: func(a *attack) {
		c := a.plain(a.rest)
		c.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		if said := c.end(); !strings.HasPrefix(said, "HTTP/1.0 400 ") || !strings.Contains(said, "https") {
			a.Errorf("it said %q, want 400 and a hint", said)
		}
	}},
	{name: "a connection that is old, and a call on it", waits: true, bounds: server.Bounds{ConnectionAge: time.Second}, attack: func(a *attack) {
		c := a.dial2(a.grpc).hello()
		c.open(1, streamPath)
		for told := false; !told; {
			f, err := c.ReadFrame()
			if err != nil {
				a.Fatalf("the connection ended before its call: %v", err)
			}
			switch f := f.(type) {
			case *http2.PingFrame:
				c.must(c.WritePing(true, f.Data))
			case *http2.GoAwayFrame:
				told = f.LastStreamID == 1 // no further stream is taken
			}
		}
		c.must(c.WriteData(1, true, message(started(a, ""))))
		a.want("the call", c.outcome(1), "0 ")
		c.end()
	}},
	{name: "TLS records of one byte", tls: true, attack: func(a *attack) {
		c := a.dial(a.rest, "http/1.1")
		_, _ = io.WriteString(byDrops{c.Conn}, "GET /healthz HTTP/1.1\r\nHost: "+a.rest+"\r\n\r\n")
		a.want("a request by drops", c.answer(), "200")
	}},
}

func TestConnections(t *testing.T) { table(t, connRows) }
