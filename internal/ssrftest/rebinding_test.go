package ssrftest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// closing is a door that keeps no connection, so that each call resolves anew.
func closing(t *testing.T) (port string) {
	_, port, _ = net.SplitHostPort(serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		door(w, r)
	}), nil))
	return port
}

// TestRebinding: a name is resolved once for each connection, and each answer is
// judged: the good one does not vouch for the next.
func TestRebinding(t *testing.T) {
	w := newWorld(t)
	port := closing(t)
	good := []string{openAddress}
	bad := [][]string{{"127.0.0.1"}, {"::1"}, {"169.254.169.254"}, {"10.0.0.1"}, {"::ffff:127.0.0.1"}, {openAddress, "127.0.0.1"}, {"64:ff9b::7f00:1"}}
	for range 40 {
		var answers [][]string
		var want []outcome
		for range 6 {
			if rand.IntN(2) == 0 {
				answers, want = append(answers, good), append(want, safe)
			} else {
				answers, want = append(answers, bad[rand.IntN(len(bad))]), append(want, refused)
			}
		}
		w.names.set("flip.door.test", answers...)
		for i := range answers {
			req, err := request("http://flip.door.test:" + port + "/")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.engine.Do(t.Context(), req); of(err) != want[i] {
				t.Errorf("answer %d of %v: got %s, want %s", i, answers, of(err), want[i])
			}
		}
	}
	w.silent(t)
}

// TestRebindingBetweenHops: a redirect to its own name is resolved and judged
// again.
func TestRebindingBetweenHops(t *testing.T) {
	w := newWorld(t)
	port := closing(t)
	for _, bad := range []string{"127.0.0.1", "::1", "169.254.169.254", "10.0.0.1"} {
		for _, status := range []string{"301", "302", "303", "307", "308"} {
			w.names.set("flip.door.test", []string{openAddress}, []string{bad})
			req, err := request("http://flip.door.test:" + port + "/to?status=" + status + "&location=/again")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.engine.Do(t.Context(), req); !errors.Is(err, fault.AddressDenied) {
				t.Errorf("%s to the same name, now %s: got %v, want ADDRESS_DENIED", status, bad, err)
			}
		}
	}
	w.silent(t)
}

// TestKeptConnectionsStayWhereTheyAre: a warm connection goes to the address that
// was judged, whatever the name has become.
func TestKeptConnectionsStayWhereTheyAre(t *testing.T) {
	w := newWorld(t)
	_, port, _ := net.SplitHostPort(w.open)
	w.names.set("warm.door.test", []string{openAddress}, []string{"127.0.0.1"})
	req := func() outcome {
		r, err := request("http://warm.door.test:" + port + "/")
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.engine.Do(t.Context(), r)
		return of(err)
	}
	if got := [...]outcome{req(), req()}; got != [...]outcome{safe, safe} {
		t.Errorf("got %v, want both on one connection", got)
	}
	w.pools.Close()
	if got := req(); got != refused {
		t.Errorf("a new connection: got %s, want it refused", got)
	}
	w.silent(t)
}

// nameserver answers DNS with what its zone says of a name: lists of records, one
// list for each time that it is asked, all with TTL 0.
type nameserver struct {
	conn net.PacketConn

	mu    sync.Mutex
	zone  map[string][][]string
	asked map[dnsmessage.Question]int
}

func newNameserver(t *testing.T) *nameserver {
	t.Helper()
	conn, err := net.ListenPacket("udp", at(openAddress, "0"))
	if err != nil {
		t.Skip(err)
	}
	n := &nameserver{conn: conn, zone: map[string][][]string{}, asked: map[dnsmessage.Question]int{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if out := n.answer(buf[:size]); out != nil {
				_, _ = conn.WriteTo(out, from)
			}
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return n
}

// answer gives the records of the question's type. The lists move on by type: A
// and AAAA are asked beside each other.
func (n *nameserver) answer(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	n.mu.Lock()
	defer n.mu.Unlock()
	lists := n.zone[strings.TrimSuffix(q.Name.String(), ".")]
	m.Response, m.Authoritative, m.Additionals = true, true, nil // else Go asks again where there is no record
	if len(lists) == 0 {
		m.RCode = dnsmessage.RCodeNameError
	} else {
		m.Answers = records(q, lists[min(n.asked[q], len(lists)-1)])
		n.asked[q]++
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}

func records(q dnsmessage.Question, list []string) (all []dnsmessage.Resource) {
	owner := q.Name
	for _, s := range list {
		head := dnsmessage.ResourceHeader{Name: owner, Class: q.Class}
		addr, err := netip.ParseAddr(s)
		switch {
		case err != nil:
			alias := dnsmessage.MustNewName(s + ".")
			all = append(all, dnsmessage.Resource{Header: head, Body: &dnsmessage.CNAMEResource{CNAME: alias}})
			owner = alias
		case addr.Is4() && q.Type == dnsmessage.TypeA:
			all = append(all, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: addr.As4()}})
		case addr.Is6() && q.Type == dnsmessage.TypeAAAA:
			all = append(all, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	return all
}

// TestOverTheWire: DNS itself, with aliases, both families and a TTL of 0.
func TestOverTheWire(t *testing.T) {
	n := newNameserver(t)
	w := newWorld(t, func(c *egress.Config) {
		c.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "udp", n.conn.LocalAddr().String())
		}}
	})
	port := closing(t)
	for name, c := range map[string]struct {
		answers [][]string
		want    []outcome
	}{
		"good":                     {[][]string{{openAddress}}, []outcome{safe, safe}},
		"good by an alias":         {[][]string{{"alias.elsewhere.test", openAddress}}, []outcome{safe}},
		"loopback":                 {[][]string{{"127.0.0.1"}}, []outcome{refused}},
		"loopback by an alias":     {[][]string{{"localhost", "127.0.0.1"}}, []outcome{refused}},
		"by two aliases":           {[][]string{{"a.test", "b.test", "::1"}}, []outcome{refused}},
		"an alias of metadata":     {[][]string{{"metadata.google.internal", "169.254.169.254"}}, []outcome{refused}},
		"an alias within":          {[][]string{{"db.internal", "10.0.0.7"}}, []outcome{refused}},
		"good A, bad AAAA":         {[][]string{{openAddress, "::1"}}, []outcome{refused}},
		"good A, mapped AAAA":      {[][]string{{openAddress, "::ffff:127.0.0.1"}}, []outcome{refused}},
		"mapped AAAA":              {[][]string{{"::ffff:169.254.169.254"}}, []outcome{refused}},
		"NAT64 AAAA":               {[][]string{{"64:ff9b::a9fe:a9fe"}}, []outcome{refused}},
		"flip":                     {[][]string{{openAddress}, {"127.0.0.1"}, {openAddress}, {"10.0.0.1"}}, []outcome{safe, refused, safe, refused}},
		"flop":                     {[][]string{{"127.0.0.1"}, {openAddress}, {"127.0.0.1"}}, []outcome{refused, safe, refused}},
		"flip by an alias":         {[][]string{{"x.test", openAddress}, {"x.test", "127.0.0.1"}}, []outcome{safe, refused}},
		"flip to the other family": {[][]string{{openAddress}, {"::1"}}, []outcome{safe, refused}},
		"many and one":             {[][]string{{openAddress, openAddress, openAddress, openAddress, "192.168.1.1"}}, []outcome{refused}},
	} {
		t.Run(name, func(t *testing.T) {
			host := strings.NewReplacer(" ", "-", ",", "").Replace(name) + ".door.test"
			n.mu.Lock()
			n.zone[strings.ToLower(host)] = c.answers
			n.mu.Unlock()
			for i, want := range c.want {
				req, err := request("http://" + at(host, port) + "/")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.engine.Do(t.Context(), req); of(err) != want {
					t.Errorf("call %d: got %s, want %s", i, of(err), want)
				}
			}
		})
	}
	w.silent(t)
}
