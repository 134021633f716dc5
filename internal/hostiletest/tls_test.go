package hostiletest

import (
	"crypto/tls"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// bare serves https URLs with a script that is no TLS session.
func bare(script testpeer.Script) func(*testing.T) server {
	return func(t *testing.T) server {
		srv := testpeer.Raw(t, script)
		return server{url: "https://" + srv.Addr, conns: srv.Conns}
	}
}

// inTLS serves the first connection with script, inside TLS 1.2 or 1.3, and the
// others with "ok".
func inTLS(script testpeer.Script) func(*testing.T) server {
	return func(t *testing.T) server {
		ca := testpeer.NewCA(t)
		srv := testpeer.RawTLS(t, ca.Issue(testpeer.CertOpts{}), testpeer.InTurn(script, testpeer.OK))
		return server{url: srv.URL, conns: srv.Conns, roots: ca.Pool()}
	}
}

// certified serves https with cert.
func certified(make func(ca *testpeer.CA) tls.Certificate) func(*testing.T) server {
	return func(t *testing.T) server {
		ca := testpeer.NewCA(t)
		srv := testpeer.RawTLS(t, make(ca), testpeer.OK)
		return server{url: srv.URL, conns: srv.Conns, roots: ca.Pool()}
	}
}

// record is one TLS record.
func record(kind byte, payload string) string {
	return string([]byte{kind, 3, 3, byte(len(payload) >> 8), byte(len(payload))}) + payload
}

func TestTLS(t *testing.T) {
	const failed, reset = "TLS_HANDSHAKE_FAILED", "CONNECTION_RESET"
	greeted := func(answer, block string) testpeer.Script {
		return func(c *testpeer.RawConn) {
			c.ReadSome()
			c.Write(answer)
			for block != "" {
				c.Write(block)
			}
			c.Linger()
		}
	}
	plain := func(c *testpeer.RawConn) {
		c.ReadRequest()
		c.Write(record(21, "\x02\x46"))
		c.Linger()
	}
	filler := func(n int) func(*testpeer.CA) tls.Certificate {
		return func(ca *testpeer.CA) tls.Certificate {
			cert := ca.Issue(testpeer.CertOpts{})
			for range n {
				cert.Certificate = append(cert.Certificate, cert.Certificate[0])
			}
			return cert
		}
	}
	names := func(n int) func(*testpeer.CA) tls.Certificate {
		return func(ca *testpeer.CA) tls.Certificate {
			return ca.Issue(testpeer.CertOpts{Names: strings.Split(strings.Repeat("a.test,", n)+"b.test", ",")})
		}
	}
	table(t, []row{
		{name: "warning alerts without end", server: bare(greeted("", strings.Repeat(record(21, "\x01\x5a"), 100))), fetch: failed, after: unasked},
		{name: "empty records without end", server: bare(greeted("", strings.Repeat(record(22, ""), 100))), fetch: failed, after: unasked},
		{name: "change_cipher_spec without end", server: bare(greeted("", strings.Repeat(record(20, "\x01"), 100))), fetch: failed, after: unasked},
		{name: "handshake message of 16 MiB", server: bare(greeted(record(22, "\x02\xff\xff\xff"), record(22, strings.Repeat("\x00", 1<<14)))), fetch: failed, after: unasked},
		{name: "record of 64 KiB", server: bare(greeted("\x16\x03\x03\xff\xff", strings.Repeat("\x00", 8<<10))), fetch: failed, after: unasked},
		{name: "fatal alert", server: bare(greeted(record(21, "\x02\x28"), "")), fetch: failed, after: unasked},
		{name: "close_notify", server: bare(greeted(record(21, "\x01\x00"), "")), fetch: failed, after: unasked},
		{name: "close on the greeting", server: bare(greeted("", "")), fetch: failed, after: unasked},
		{name: "HTTP on the TLS port", server: bare(greeted(testpeer.Response(400, "no"), "")), fetch: failed, after: unasked},
		{name: "TLS on the HTTP port", server: every(plain), fetch: "BAD_RESPONSE", after: unasked},
		{name: "silence", server: bare(testpeer.StallOnAccept), more: "timeouts: {tls: 100ms}", fetch: "TLS_TIMEOUT", after: unasked},
		{name: "chain of 100 certificates", server: certified(filler(100)), fetch: "200", after: unasked},
		{name: "chain of 5,000 certificates", server: certified(filler(5000)), fetch: failed, after: unasked},
		{name: "certificate of 20,000 names", server: certified(names(20_000)), fetch: "TLS_CERT_NAME_MISMATCH", after: unasked},
		{name: "certificate of a thousand issuers of one name", server: crossed, fetch: failed, after: unasked},
		{name: "reset in a body without a length", server: inTLS(func(c *testpeer.RawConn) {
			c.ReadRequest()
			c.Write("HTTP/1.1 200 OK\r\n\r\npart")
			c.Reset()
		}), fetch: "BODY_CUT_SHORT", stream: "200 > BODY_CUT_SHORT"},
		{name: "close in the head", server: inTLS(testpeer.CloseMidHead), fetch: reset},
		{name: "poison behind the answer", server: inTLS(says(length("2") + "ok" + length("6") + "poison")), fetch: "200", check: body("ok"), after: unasked},
		{name: "head without end", server: inTLS(testpeer.EndlessHead), fetch: "RESPONSE_HEADER_TOO_LARGE"},
	})
}

// crossed is a server whose chain has many intermediates of one name, none of them
// the leaf's issuer: each could be, until its signature is checked.
func crossed(t *testing.T) server {
	ca, strangers := testpeer.NewCA(t), make([]*testpeer.CA, 400)
	cert := testpeer.NewCA(t).Issue(testpeer.CertOpts{})
	for i := range strangers {
		strangers[i] = testpeer.NewCA(t)
		cert.Certificate = append(cert.Certificate, der(strangers[i]))
	}
	srv := testpeer.RawTLS(t, cert, testpeer.OK)
	return server{url: srv.URL, conns: srv.Conns, roots: ca.Pool()}
}

func der(ca *testpeer.CA) []byte {
	block, _ := pem.Decode(ca.PEM())
	return block.Bytes
}
