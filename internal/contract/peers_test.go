package contract

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// peer is one upstream of a case. Each door gets peers of its own, so that both
// meet the same state.
type peer struct {
	// addr is its host:port.
	addr string
	// raw is set where it is a raw server, whose requests can be read.
	raw *testpeer.RawServer
	// texts are what a request quotes beside the address: `{name.key}`.
	texts map[string]string
	// done, where it is set, is called once the call was answered.
	done func()
}

// peers are a case's upstreams, and proxies, by name. In a request, and in what is
// expected, `{name}` stands for host:port and `{name.port}` for the port; in a
// request also `{name.key}` for the text of that key as a JSON string.
type peers map[string]peer

// setup starts a case's upstreams.
type setup func(t *testing.T, w *world) peers

func of(s *testpeer.RawServer) peer { return peer{addr: s.Addr, raw: s} }

// at is a peer known by its URL or its host:port.
func at(url string) peer {
	_, addr, ok := strings.Cut(url, "://")
	if !ok {
		addr = url
	}
	return peer{addr: addr}
}

// raw is one peer that runs script.
func raw(script testpeer.Script) setup {
	return func(t *testing.T, _ *world) peers { return peers{"peer": of(testpeer.Raw(t, script))} }
}

// answers is one peer that answers its requests in turn with these bytes, and with
// the last of them from then on.
func answers(responses ...string) setup { return raw(testpeer.Answer(responses...)) }

// rawTLS is one peer that runs script inside TLS under the trusted authority.
func rawTLS(opts testpeer.CertOpts, script testpeer.Script) setup {
	return func(t *testing.T, w *world) peers {
		return peers{"peer": of(testpeer.RawTLS(t, w.ca.Issue(opts), script))}
	}
}

// overTLS is one peer that serves handler by net/http, HTTP/2 included.
func overTLS(handler http.HandlerFunc, opts testpeer.TLSOpts) setup {
	return func(t *testing.T, w *world) peers {
		cert := w.ca.Issue(testpeer.CertOpts{Names: []string{"localhost", "xn--bcher-kva.test"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
		return peers{"peer": at(testpeer.TLS(t, handler, cert, opts))}
	}
}

// withCert is one peer whose certificate is at fault.
func withCert(cert func(t *testing.T, w *world) tls.Certificate) setup {
	return func(t *testing.T, w *world) peers {
		return peers{"peer": of(testpeer.RawTLS(t, cert(t, w), testpeer.OK))}
	}
}

// only is one peer that start makes.
func only(start func(testing.TB) *testpeer.RawServer) setup {
	return func(t *testing.T, _ *world) peers { return peers{"peer": of(start(t))} }
}

// port is one peer that is no more than a port.
func port(make func(testing.TB) string) setup {
	return func(t *testing.T, _ *world) peers { return peers{"peer": at(make(t))} }
}

func httpbin(_ *testing.T, w *world) peers { return peers{"peer": at(w.bin)} }

// fill puts the peers' addresses where text names them.
func (ps peers) fill(text string) string {
	var pairs []string
	for name, p := range ps {
		pairs = append(pairs, "{"+name+"}", p.addr, "{"+name+".port}", p.port())
		for key, text := range p.texts {
			quoted, _ := json.Marshal(text) // a string always encodes
			pairs = append(pairs, "{"+name+"."+key+"}", string(quoted))
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// mask puts the peers' names where text has their addresses, so that what two
// doors say of two peers can be compared.
func (ps peers) mask() *strings.Replacer {
	var whole, ports []string
	for name, p := range ps {
		whole = append(whole, p.addr, "{"+name+"}")
		ports = append(ports, ":"+p.port(), ":{"+name+".port}")
	}
	return strings.NewReplacer(append(whole, ports...)...)
}

func (p peer) port() string { return p.addr[strings.LastIndexByte(p.addr, ':')+1:] }
