package faulttest

import (
	"crypto/tls"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// onceOnly answers one request and listens no more: whoever connects afterwards is
// refused.
func onceOnly(t *testing.T, response string) peer {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := lis.Accept()
		_ = lis.Close()
		if err != nil {
			return
		}
		defer c.Close()
		if readAllOf(c) {
			requests.Add(1)
			_, _ = c.Write([]byte(response))
		}
	}()
	t.Cleanup(func() { _ = lis.Close(); <-done })
	return peer{"http://" + lis.Addr().String() + "/", func() int { return int(requests.Load()) }}
}

// readAllOf reads a request with the seven bytes that rows send.
func readAllOf(c net.Conn) bool {
	var got []byte
	buf := make([]byte, 4096)
	for !strings.HasSuffix(string(got), "\r\n\r\nxxxxxxx") {
		n, err := c.Read(buf)
		if err != nil {
			return false
		}
		got = append(got, buf[:n]...)
	}
	return true
}

// tlsRows: what is wrong with a certificate will be wrong the next time too, what
// happens to a handshake may not.
func tlsRows() []row {
	certificate := func(o func(testpeer.CertOpts) testpeer.CertOpts) func(*testing.T, *world) peer {
		return overTLS(func(w *world) tls.Certificate { return w.ca.Issue(o(testpeer.CertOpts{})) })
	}
	stranger := func(t *testing.T, w *world) peer {
		return overTLS(func(*world) tls.Certificate { return testpeer.NewCA(t).Issue(testpeer.CertOpts{}) })(t, w)
	}
	other := func(o testpeer.CertOpts) testpeer.CertOpts { o.Names = []string{"other.test"}; return o }
	good := func(o testpeer.CertOpts) testpeer.CertOpts { return o }
	const broken = "first TLS_HANDSHAKE_FAILED again TLS_HANDSHAKE_FAILED again TLS_HANDSHAKE_FAILED = TLS_HANDSHAKE_FAILED"
	return []row{
		{name: "good certificate", peer: certificate(good), want: "first 200 = 200", arrived: 1},
		{name: "expired certificate, GET", peer: certificate(testpeer.CertOpts.Expired), want: "first TLS_CERT_EXPIRED = TLS_CERT_EXPIRED", stopped: "NOT_RETRIED"},
		{name: "certificate not valid yet, POST", method: "POST", peer: certificate(testpeer.CertOpts.NotYetValid), want: "first TLS_CERT_EXPIRED = TLS_CERT_EXPIRED", stopped: "NOT_RETRIED"},
		{name: "certificate of another name", peer: certificate(other), want: "first TLS_CERT_NAME_MISMATCH = TLS_CERT_NAME_MISMATCH", stopped: "NOT_RETRIED"},
		{name: "certificate of a stranger", peer: stranger, want: "first TLS_CERT_UNTRUSTED = TLS_CERT_UNTRUSTED", stopped: "NOT_RETRIED"},
		{name: "reset in the handshake, POST", method: "POST", peer: connects(testpeer.TLSReset), want: broken, safe: true, stopped: "MAX_ATTEMPTS", arrived: 3},
		{name: "hang-up in the handshake, GET", peer: connects(testpeer.TLSClose), want: broken, safe: true, stopped: "MAX_ATTEMPTS", arrived: 3},
		{name: "no TLS at all", peer: connects(testpeer.TLSGarbage), retry: "max_attempts: 2", want: "first TLS_HANDSHAKE_FAILED again TLS_HANDSHAKE_FAILED = TLS_HANDSHAKE_FAILED", safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
		{name: "stalled handshake", method: "POST", peer: connects(testpeer.TLSStall), retry: "max_attempts: 2", more: "timeouts: {tls: 100ms}", want: "first TLS_TIMEOUT again TLS_TIMEOUT = TLS_TIMEOUT", safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
	}
}

// http2Rows are refused by frames. net/http sends a bodyless request again by
// itself, without saying why: the ledger shows it, and has to suppose the worst of
// the one before.
func http2Rows() []row {
	refuse, ok := rst(http2.ErrCodeRefusedStream), status(indexOf200)
	return []row{
		{name: "h2 good", peer: http2Peer(ok), want: "first 200 = 200", arrived: 1},
		{name: "h2 REFUSED_STREAM once, GET", peer: http2Peer(refuse, ok), want: "first CONNECTION_RESET? resend 200 = 200", arrived: 2},
		{name: "h2 REFUSED_STREAM once, POST", method: "POST", peer: http2Peer(refuse, ok), want: "first CONNECTION_RESET again 200 = 200", arrived: 2},
		{name: "h2 REFUSED_STREAM for ever, POST", method: "POST", peer: http2Peer(refuse), want: "first CONNECTION_RESET again CONNECTION_RESET again CONNECTION_RESET = CONNECTION_RESET", safe: true, stopped: "MAX_ATTEMPTS", arrived: 3},
		{name: "h2 GOAWAY below the request, GET", peer: http2Peer(goAway(0, http2.ErrCodeNo), ok), want: "first CONNECTION_RESET? resend 200 = 200", arrived: 2},
		{name: "h2 GOAWAY below the request, POST", method: "POST", peer: http2Peer(goAway(0, http2.ErrCodeNo), ok), want: "first CONNECTION_RESET again 200 = 200", arrived: 2},
		{name: "h2 GOAWAY with an error, POST", method: "POST", peer: http2Peer(goAway(1, http2.ErrCodeInternal), ok), want: "first CONNECTION_RESET? = CONNECTION_RESET", stopped: "NOT_REPEATABLE", arrived: 1},
		{name: "h2 INTERNAL_ERROR, GET", peer: http2Peer(rst(http2.ErrCodeInternal), ok), want: "first CONNECTION_RESET? again 200 = 200", arrived: 2},
		{name: "h2 INTERNAL_ERROR, POST", method: "POST", peer: http2Peer(rst(http2.ErrCodeInternal), ok), want: "first CONNECTION_RESET? = CONNECTION_RESET", stopped: "NOT_REPEATABLE", arrived: 1},
		{name: "h2 500 twice, by policy", retry: "statuses: [500]", peer: http2Peer(status(indexOf500), status(indexOf500), ok), want: "first 500 again 500 again 200 = 200", arrived: 3},
	}
}

// nameRows ask a name server of the test.
func nameRows() []row {
	named := func(label string) func(*testing.T, *world) peer {
		return func(t *testing.T, w *world) peer {
			_, port, _ := strings.Cut(testpeer.Raw(t, testpeer.OK).Addr, ":")
			name := label + "." + strings.NewReplacer(" ", "", ",", "", "_", "", "/", "").Replace(strings.ToLower(t.Name())) + ".test"
			return peer{"http://" + name + ":" + port + "/", func() int { return w.names.times(name) }}
		}
	}
	const none = "first DNS_ERROR again DNS_ERROR again DNS_ERROR = DNS_ERROR"
	return []row{
		{name: "name found", peer: named("found"), want: "first 200 = 200", arrived: 1},
		{name: "no such name, GET", peer: named("none"), want: none, safe: true, stopped: "MAX_ATTEMPTS", arrived: 3},
		{name: "no such name, POST", method: "POST", peer: named("none"), want: none, safe: true, stopped: "MAX_ATTEMPTS", arrived: 3},
		{name: "no such name at first, POST", method: "POST", peer: named("none-none-found"), want: "first DNS_ERROR again DNS_ERROR again 200 = 200", arrived: 3},
		{name: "no such name, not by policy", retry: "kinds: [CONNECT_TIMEOUT, DNS_TIMEOUT]", peer: named("none"), want: "first DNS_ERROR = DNS_ERROR", safe: true, stopped: "NOT_RETRIED", arrived: 1},
		{name: "silent name server, POST", method: "POST", retry: "max_attempts: 2", more: "timeouts: {dns: 2s}", peer: named("silence"), want: "first DNS_TIMEOUT again DNS_TIMEOUT = DNS_TIMEOUT", safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
	}
}

// toxicRows go through toxiproxy.
func toxicRows() []row {
	through := func(script testpeer.Script, toxics ...toxic) func(*testing.T, *world) peer {
		return func(t *testing.T, w *world) peer {
			s := testpeer.Raw(t, script)
			return peer{"http://" + w.toxic.before(t, s.Addr, true, toxics...) + "/", func() int { return len(s.Requests()) }}
		}
	}
	switchedOff := func(t *testing.T, w *world) peer {
		return peer{url: "http://" + w.toxic.before(t, testpeer.Echo(t).Addr, false) + "/"}
	}
	long := testpeer.Answer(testpeer.Response(200, strings.Repeat("x", 256<<10)))
	const (
		refused = "first CONNECTION_REFUSED again CONNECTION_REFUSED again CONNECTION_REFUSED = CONNECTION_REFUSED"
		reset   = "first CONNECTION_RESET? again CONNECTION_RESET? = CONNECTION_RESET"
		one     = "first CONNECTION_RESET? = CONNECTION_RESET"
		slow    = "first ATTEMPT_TIMEOUT? again ATTEMPT_TIMEOUT? = ATTEMPT_TIMEOUT"
		late    = "first FIRST_BYTE_TIMEOUT? again FIRST_BYTE_TIMEOUT? = FIRST_BYTE_TIMEOUT"
		cutTwo  = "first BODY_CUT_SHORT? again BODY_CUT_SHORT? = BODY_CUT_SHORT"
		two     = "max_attempts: 2"
	)
	return []row{
		{name: "toxic none", peer: through(testpeer.OK), want: "first 200 = 200", arrived: 1},
		{name: "toxic latency within the clock", peer: through(testpeer.OK, down("latency", "latency", 50)), want: "first 200 = 200", arrived: 1},
		{name: "toxic latency, GET", retry: two, more: "timeouts: {first_byte: 200ms}", peer: through(testpeer.OK, down("latency", "latency", 5000)), want: late, safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
		{name: "toxic latency, POST", method: "POST", more: "timeouts: {first_byte: 200ms}", peer: through(testpeer.OK, down("latency", "latency", 5000)), want: "first FIRST_BYTE_TIMEOUT? = FIRST_BYTE_TIMEOUT", stopped: "NOT_REPEATABLE", arrived: 1},
		{name: "toxic latency, stream", open: true, retry: two, more: "timeouts: {first_byte: 200ms}", peer: through(testpeer.OK, down("latency", "latency", 5000)), want: late, safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
		{name: "toxic bandwidth, GET", retry: two, more: attempt5s, peer: through(long, down("bandwidth", "rate", 16)), want: slow, safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
		{name: "toxic bandwidth, PUT", method: "PUT", size: 8 << 20, retry: two, more: attempt5s, peer: through(testpeer.OK, up("bandwidth", "rate", 16)), want: slow, safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
		{name: "toxic bandwidth, min_rate", retry: two, more: "min_rate: 1MiB", peer: through(long, down("bandwidth", "rate", 16)), want: "first IDLE_TIMEOUT? again IDLE_TIMEOUT? = IDLE_TIMEOUT", safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
		{name: "toxic bandwidth, stream", open: true, more: "min_rate: 1MiB", peer: through(long, down("bandwidth", "rate", 16)), want: "first IDLE_TIMEOUT? = IDLE_TIMEOUT", safe: true, arrived: 1},
		{name: "toxic silence, GET", retry: two, more: attempt5s, peer: through(testpeer.OK, down("timeout", "timeout", 0)), want: slow, safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
		{name: "toxic silence and hang-up, GET", retry: two, peer: through(testpeer.OK, down("timeout", "timeout", 2000)), want: reset, safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
		{name: "toxic silence and hang-up, POST", method: "POST", peer: through(testpeer.OK, down("timeout", "timeout", 2000)), want: one, stopped: "NOT_REPEATABLE", arrived: 1},
		{name: "toxic silence on the way up, stream", open: true, retry: two, peer: through(testpeer.OK, up("timeout", "timeout", 2000)), want: reset, safe: true, stopped: "MAX_ATTEMPTS"},
		{name: "toxic reset_peer, GET", retry: two, peer: through(testpeer.OK, down("reset_peer", "timeout", 0)), want: reset, safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
		{name: "toxic reset_peer, POST", method: "POST", peer: through(testpeer.OK, down("reset_peer", "timeout", 0)), want: one, stopped: "NOT_REPEATABLE", arrived: 1},
		{name: "toxic reset_peer, POST with a key, stream", open: true, method: "POST", key: "order-7", retry: two, peer: through(testpeer.OK, down("reset_peer", "timeout", 0)), want: reset, safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
		{name: "toxic reset_peer on the way up, PUT", method: "PUT", size: 1 << 20, retry: two, peer: through(testpeer.OK, up("reset_peer", "timeout", 0)), want: reset, safe: true, stopped: "MAX_ATTEMPTS"},
		{name: "toxic limit_data in the head", retry: two, peer: through(testpeer.OK, down("limit_data", "bytes", 17)), want: reset, safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
		{name: "toxic limit_data in the body, GET", retry: two, peer: through(long, down("limit_data", "bytes", 4096)), want: cutTwo, safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
		{name: "toxic limit_data in the body, POST", method: "POST", peer: through(long, down("limit_data", "bytes", 4096)), want: "first BODY_CUT_SHORT? = BODY_CUT_SHORT", stopped: "NOT_REPEATABLE", arrived: 1},
		{name: "toxic limit_data in the body, stream", open: true, peer: through(long, down("limit_data", "bytes", 4096)), want: "first BODY_CUT_SHORT? = BODY_CUT_SHORT", safe: true, arrived: 1},
		{name: "toxic limit_data in the upload, POST", method: "POST", size: 1 << 20, peer: uncounted(through(testpeer.OK, up("limit_data", "bytes", 4096))), want: one, stopped: "NOT_REPEATABLE"},
		{name: "toxic slow_close, length", peer: through(testpeer.OK, down("slow_close", "delay", 60000)), want: "first 200 = 200", arrived: 1},
		{name: "toxic slow_close, no length", retry: two, more: "timeouts: {idle: 200ms}", peer: through(testpeer.CloseDelimited, down("slow_close", "delay", 60000)), want: "first IDLE_TIMEOUT? again IDLE_TIMEOUT? = IDLE_TIMEOUT", safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
		{name: "toxic slicer", peer: through(long, toxic{"slicer", "downstream", map[string]int{"average_size": 512, "size_variation": 100, "delay": 10}}), want: "first 200 = 200", arrived: 1},
		{name: "toxic down, GET", peer: switchedOff, want: refused, safe: true, stopped: "MAX_ATTEMPTS"},
		{name: "toxic down, POST", method: "POST", peer: switchedOff, want: refused, safe: true, stopped: "MAX_ATTEMPTS"},
		{name: "toxic down, stream", open: true, peer: switchedOff, want: refused, safe: true, stopped: "MAX_ATTEMPTS"},
	}
}
