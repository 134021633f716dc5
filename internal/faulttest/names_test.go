package faulttest

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// nameserver answers DNS over UDP on loopback. What it does is in the name that is
// asked for: its first label is a list of outcomes, one for each time that it is
// asked for A, the last one for all further ones.
type nameserver struct {
	conn net.PacketConn

	mu    sync.Mutex
	asked map[string]int
	late  []func() // answers that are withheld until the end
}

func newNameserver(t *testing.T) *nameserver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameserver{conn: conn, asked: map[string]int{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve()
	}()
	t.Cleanup(func() {
		s.mu.Lock()
		late := s.late
		s.mu.Unlock()
		for _, answer := range late { // Go's resolver waits 5 s for them, whatever became of the call
			answer()
		}
		_ = conn.Close()
		<-done
	})
	return s
}

// resolver is Go's own, which asks s and nobody else.
func (s *nameserver) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

// times is how often the name was asked for.
func (s *nameserver) times(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[name]
}

func (s *nameserver) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		answer, now := s.answer(buf[:n])
		send := func() { _, _ = s.conn.WriteTo(answer, from) }
		if now {
			send()
			continue
		}
		s.mu.Lock()
		s.late = append(s.late, send)
		s.mu.Unlock()
	}
}

// answer gives what is sent, now or at the end.
func (s *nameserver) answer(question []byte) (answer []byte, now bool) {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil, true
	}
	q := m.Questions[0]
	name := strings.TrimSuffix(q.Name.String(), ".")
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	outcome := s.outcome(name, q.Type)
	switch outcome {
	case "servfail":
		m.RCode = dnsmessage.RCodeServerFailure
	case "found":
		if q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 0},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			}}
		}
	default:
		m.RCode = dnsmessage.RCodeNameError
	}
	answer, err := m.Pack()
	return answer, err != nil || outcome != "silence"
}

// outcome is what the name says of this time. The question for AAAA, which goes
// out beside the one for A, gets the outcome that suits both.
func (s *nameserver) outcome(name string, kind dnsmessage.Type) string {
	first, rest, _ := strings.Cut(name, ".")
	if !strings.HasSuffix(rest, "test") {
		return "none" // a search domain of this machine's
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.asked[name]
	if kind == dnsmessage.TypeA {
		s.asked[name]++
	} else if n > 0 {
		n--
	}
	outcomes := strings.Split(first, "-")
	return outcomes[min(n, len(outcomes)-1)]
}
