package contract

import (
	"crypto/tls"
	"strings"
	"testing"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// fails is a case whose one attempt ends in kind, having left wire behind.
func fails(name string, peers setup, fields, wire, kind string, safe bool, says ...string) testCase {
	return testCase{
		name: "fails: " + name, peers: peers, in: "{" + fields + "}",
		want: want{kind: kind, safe: safe, says: says, attempts: []string{"FIRST GET " + wire + " " + kind}},
	}
}

// connectCases: nothing of the request was sent, so any method is safe to retry.
func connectCases() []testCase {
	const unsent = "UNSENT"
	closed, blackhole := port(testpeer.ClosedPort), port(testpeer.Blackhole)
	post := fails("connection refused, of a POST", closed, `"method":"POST","url":"http://{peer}/","text":"a"`, unsent, "CONNECTION_REFUSED", true)
	post.want.attempts = []string{"FIRST POST UNSENT CONNECTION_REFUSED"}
	return []testCase{
		fails("name that does not exist", nil, `"url":"http://nowhere.test/"`, unsent, "DNS_ERROR", true, "nowhere.test", "does not exist"),
		fails("resolver that fails", nil, `"url":"http://servfail.test/"`, unsent, "DNS_ERROR", true, "servfail.test"),
		fails("name without addresses", nil, `"url":"http://empty.test/"`, unsent, "DNS_ERROR", true, "no addresses"),
		fails("resolver that does not answer", nil, `"url":"http://slow.test/","timeouts":{"connect":"0.1s"}`, unsent, "DNS_TIMEOUT", true, "100ms"),
		fails("total clock while resolving", nil, `"url":"http://slow.test/","timeouts":{"total":"0.1s"}`, unsent, "TOTAL_TIMEOUT", true, "100ms"),
		fails("connection refused", closed, `"url":"http://{peer}/"`, unsent, "CONNECTION_REFUSED", true, "{peer}", "refused"),
		post,
		fails("no route", nil, `"url":"http://multicast.test/"`, unsent, "HOST_UNREACHABLE", true, "multicast.test"),
		fails("connect that hangs", blackhole, `"url":"http://{peer}/","timeouts":{"connect":"0.1s"}`, unsent, "CONNECT_TIMEOUT", true, "{peer}", "100ms"),
		fails("attempt clock while connecting", blackhole, `"url":"http://{peer}/","timeouts":{"attempt":"1s"}`, unsent, "ATTEMPT_TIMEOUT", true, "clock of 1s"),
	}
}

// tlsCases: each way a TLS session does not come about.
func tlsCases() []testCase {
	const unsent = "UNSENT"
	issued := func(opts testpeer.CertOpts) setup {
		return withCert(func(_ *testing.T, w *world) tls.Certificate { return w.ca.Issue(opts) })
	}
	stranger := withCert(func(t *testing.T, _ *world) tls.Certificate { return testpeer.NewCA(t).Issue(testpeer.CertOpts{}) })
	selfSigned := withCert(func(t *testing.T, _ *world) tls.Certificate { return testpeer.SelfSigned(t, testpeer.CertOpts{}) })
	wantsCert := func(version uint16, http1 bool) setup {
		return func(t *testing.T, w *world) peers {
			opts := testpeer.TLSOpts{ClientCA: w.ca.Pool(), MaxVersion: version, HTTP1Only: http1}
			return peers{"peer": at(testpeer.EchoTLS(t, w.ca.Issue(testpeer.CertOpts{}), opts))}
		}
	}
	const url = `"url":"https://{peer}/"`
	return []testCase{
		fails("certificate out of date", issued(testpeer.CertOpts{}.Expired()), url, unsent, "TLS_CERT_EXPIRED", false, "out of date", "valid from"),
		fails("certificate not valid yet", issued(testpeer.CertOpts{}.NotYetValid()), url, unsent, "TLS_CERT_EXPIRED", false, "valid from"),
		fails("certificate for another name", issued(testpeer.CertOpts{Names: []string{"other.test"}}), url, unsent, "TLS_CERT_NAME_MISMATCH", false, "other names"),
		fails("certificate of an unknown authority", stranger, url, unsent, "TLS_CERT_UNTRUSTED", false, "no authority"),
		fails("certificate that vouches for itself", selfSigned, url, unsent, "TLS_CERT_UNTRUSTED", false),
		fails("certificate that is a client's", issued(testpeer.CertOpts{Client: true}), url, unsent, "TLS_CERT_UNTRUSTED", false),
		fails("plain text instead of TLS", only(testpeer.TLSGarbage), url, unsent, "TLS_HANDSHAKE_FAILED", true, "not TLS"),
		fails("ssh on an https URL", raw(testpeer.SpeaksFirst), url, unsent, "TLS_HANDSHAKE_FAILED", true, "not TLS"),
		fails("reset in the handshake", only(testpeer.TLSReset), url, unsent, "TLS_HANDSHAKE_FAILED", true),
		fails("close in the handshake", only(testpeer.TLSClose), url, unsent, "TLS_HANDSHAKE_FAILED", true),
		fails("TLS 1.1 only", overTLS(names, testpeer.TLSOpts{MaxVersion: tls.VersionTLS11}), url, unsent, "TLS_HANDSHAKE_FAILED", true),
		fails("client certificate wanted, TLS 1.2", wantsCert(tls.VersionTLS12, false), url, unsent, "TLS_HANDSHAKE_FAILED", true),
		fails("handshake that hangs", only(testpeer.TLSStall), `"url":"https://hasty.test:{peer.port}/"`, unsent, "TLS_TIMEOUT", true, "200ms"),
		fails("total clock in the handshake", only(testpeer.TLSStall), url+`,"timeouts":{"total":"1s"}`, unsent, "TOTAL_TIMEOUT", true, "clock of 1s"),
	}
}

// wireCases: the request went out, and what came back is broken.
func wireCases() []testCase {
	const url = `"url":"http://{peer}/"`
	const sent, answered = "MAYBE_PROCESSED", "ANSWERED 200"
	post := func(name, fields string, script testpeer.Script, wire, kind string, safe bool) testCase {
		c := fails(name, raw(script), `"method":"POST",`+url+`,"text":"a"`+fields, wire, kind, safe)
		c.want.attempts = []string{"FIRST POST " + wire + " " + kind}
		return c
	}
	return []testCase{
		fails("reset before the head", raw(testpeer.ResetBeforeHead), url, sent, "CONNECTION_RESET", true, "before a complete response head"),
		fails("close before the head", raw(testpeer.CloseBeforeHead), url, sent, "CONNECTION_RESET", true),
		fails("reset within the head", raw(testpeer.ResetMidHead), url, sent, "CONNECTION_RESET", true),
		fails("close within the head", raw(testpeer.CloseMidHead), url, sent, "CONNECTION_RESET", true),
		fails("close within TLS", rawTLS(testpeer.CertOpts{}, testpeer.CloseBeforeHead), `"url":"https://{peer}/"`, sent, "CONNECTION_RESET", true),
		post("reset of a POST, which may have been done", "", testpeer.ResetBeforeHead, sent, "CONNECTION_RESET", false),
		post("reset of a POST with an idempotency_key", `,"idempotency_key":"k"`, testpeer.ResetBeforeHead, sent, "CONNECTION_RESET", true),

		fails("body cut by a close", raw(testpeer.CutBody), url, answered, "BODY_CUT_SHORT", true, "4 of 100 bytes"),
		fails("body cut by a reset", raw(testpeer.CutBodyReset), url, answered, "BODY_CUT_SHORT", true),
		fails("chunk cut by a close", raw(testpeer.CutChunk), url, answered, "BODY_CUT_SHORT", true),
		fails("chunk cut by a reset", raw(testpeer.CutChunkReset), url, answered, "BODY_CUT_SHORT", true),
		fails("last chunk missing", raw(testpeer.CutLastChunk), url, answered, "BODY_CUT_SHORT", true),
		fails("reset where the end is the end", raw(testpeer.CloseDelimitedReset), url, answered, "BODY_CUT_SHORT", true),
		post("body cut, of a POST", "", testpeer.CutBody, answered, "BODY_CUT_SHORT", false),

		fails("ssh instead of HTTP", raw(testpeer.NotHTTP), url, sent, "BAD_RESPONSE", true, "not valid HTTP"),
		fails("document without a head", raw(testpeer.HTTP09), url, sent, "BAD_RESPONSE", true),
		fails("status line that is none", raw(testpeer.BadStatusLine), url, sent, "BAD_RESPONSE", true),
		fails("status of two digits", raw(testpeer.Status("42")), url, sent, "BAD_RESPONSE", true),
		fails("status with a letter", raw(testpeer.Status("20x")), url, sent, "BAD_RESPONSE", true),
		fails("two lengths", raw(testpeer.TwoLengths), url, sent, "BAD_RESPONSE", true),
		fails("negative length", raw(testpeer.NegativeLength), url, sent, "BAD_RESPONSE", true),
		fails("chunk size that is none", raw(testpeer.BadChunkSize), url, answered, "BAD_RESPONSE", true),
		fails("chunk size beyond 64 bits", raw(testpeer.HugeChunkSize), url, answered, "BAD_RESPONSE", true),
		fails("101 that nobody asked for", raw(testpeer.SwitchingProtocols), url, sent, "BAD_RESPONSE", true, "101"),
		fails("102 without end, which count as one head", raw(testpeer.Flood1xx(-1)), url, sent, "RESPONSE_HEADER_TOO_LARGE", false),
		fails("NUL in a header", raw(testpeer.NULHeader), url, sent, "BAD_RESPONSE", true),
	}
}

// clockCases: each clock of a call, against an upstream that lets it run out. A
// clock that runs from before the request is sent is a second: the attempts say
// what had been sent by its end, which must be so on a starved machine too.
func clockCases() []testCase {
	const sent, answered = "MAYBE_PROCESSED", "ANSWERED 200"
	clock := func(name string, script testpeer.Script, clocks, wire, kind string) testCase {
		says := "clock of 150ms"
		if strings.Contains(clocks, `"1s"`) {
			says = "clock of 1s"
		}
		return fails(name, raw(script), `"url":"http://{peer}/","timeouts":{`+clocks+`}`, wire, kind, true, says)
	}
	post := clock("first_byte clock, of a POST", testpeer.StallOnAccept, `"first_byte":"0.15s"`, sent, "FIRST_BYTE_TIMEOUT")
	post.edit = func(in *fetchsvcv1.FetchRequest) { in.Method = "POST" }
	post.want.safe, post.want.attempts = false, []string{"FIRST POST MAYBE_PROCESSED FIRST_BYTE_TIMEOUT"}
	upload := clock("attempt clock while uploading", testpeer.FreezeOnAccept, `"attempt":"1s"`, sent, "ATTEMPT_TIMEOUT")
	upload.edit = func(in *fetchsvcv1.FetchRequest) {
		in.Method, in.Body = "PUT", &fetchsvcv1.FetchRequest_Raw{Raw: make([]byte, 12<<20)}
	}
	upload.want.attempts = []string{"FIRST PUT MAYBE_PROCESSED ATTEMPT_TIMEOUT"}
	return []testCase{
		clock("first_byte clock", testpeer.StallOnAccept, `"first_byte":"0.15s"`, sent, "FIRST_BYTE_TIMEOUT"),
		post,
		clock("attempt clock before the head", testpeer.StallOnAccept, `"attempt":"1s"`, sent, "ATTEMPT_TIMEOUT"),
		clock("attempt clock within the head", testpeer.StallMidHead, `"attempt":"1s","first_byte":"5s"`, sent, "ATTEMPT_TIMEOUT"),
		clock("attempt clock within the body", testpeer.StallMidBody, `"attempt":"1s"`, answered, "ATTEMPT_TIMEOUT"),
		clock("attempt clock of a body in drops", testpeer.TrickleBody("0123456789012345678901234567890123456789", 1, 50e6), `"attempt":"1s","idle":"5s"`, answered, "ATTEMPT_TIMEOUT"),
		upload,
		clock("total clock before the head", testpeer.StallOnAccept, `"total":"1s"`, sent, "TOTAL_TIMEOUT"),
		clock("total clock within the body", testpeer.StallMidBody, `"total":"1s"`, answered, "TOTAL_TIMEOUT"),
		clock("idle clock before the body", testpeer.StallBeforeBody, `"idle":"0.15s"`, answered, "IDLE_TIMEOUT"),
		clock("idle clock within the body", testpeer.StallMidBody, `"idle":"0.15s"`, answered, "IDLE_TIMEOUT"),
	}
}
