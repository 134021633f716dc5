package faulttest

import (
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

func closedPort(t *testing.T, _ *world) peer {
	return peer{url: "http://" + testpeer.ClosedPort(t) + "/"}
}

func blackhole(t *testing.T, _ *world) peer {
	return peer{url: "http://" + testpeer.Blackhole(t) + "/"}
}

// connectRows fail before a byte of the request has left: any method is tried
// again.
func connectRows() []row {
	const (
		refused  = "first CONNECTION_REFUSED again CONNECTION_REFUSED again CONNECTION_REFUSED = CONNECTION_REFUSED"
		timedOut = "first CONNECT_TIMEOUT again CONNECT_TIMEOUT = CONNECT_TIMEOUT"
		short    = "timeouts: {connect: 100ms}"
	)
	return []row{
		{name: "refused, GET", peer: closedPort, want: refused, safe: true, stopped: "MAX_ATTEMPTS"},
		{name: "refused, POST", method: "POST", peer: closedPort, want: refused, safe: true, stopped: "MAX_ATTEMPTS"},
		{name: "refused, connect 1", retry: "connect: 1", peer: closedPort, want: "first CONNECTION_REFUSED again CONNECTION_REFUSED = CONNECTION_REFUSED", safe: true, stopped: "CONNECT"},
		{name: "refused, another kind", retry: "kinds: [CONNECTION_RESET]", peer: closedPort, want: "first CONNECTION_REFUSED = CONNECTION_REFUSED", safe: true, stopped: "NOT_RETRIED"},
		{name: "refused, one attempt", retry: "max_attempts: 1", peer: closedPort, want: "first CONNECTION_REFUSED = CONNECTION_REFUSED", safe: true},
		{name: "no answer to SYN, GET", peer: blackhole, retry: "max_attempts: 2", more: short, want: timedOut, safe: true, stopped: "MAX_ATTEMPTS"},
		{name: "no answer to SYN, POST", method: "POST", peer: blackhole, retry: "max_attempts: 2", more: short, want: timedOut, safe: true, stopped: "MAX_ATTEMPTS"},
	}
}

// headRows lose the answer before its head is whole: whether the request was
// processed is anybody's guess.
func headRows() []row {
	const (
		thrice  = "first CONNECTION_RESET? again CONNECTION_RESET? again CONNECTION_RESET? = CONNECTION_RESET"
		once    = "first CONNECTION_RESET? = CONNECTION_RESET"
		works   = "first CONNECTION_RESET? again CONNECTION_RESET? again 200 = 200"
		stall   = "first FIRST_BYTE_TIMEOUT? again FIRST_BYTE_TIMEOUT? = FIRST_BYTE_TIMEOUT"
		head100 = "timeouts: {first_byte: 100ms}"
	)
	reset, hangUp := raw(testpeer.ResetBeforeHead), raw(testpeer.CloseBeforeHead)
	mended := raw(testpeer.ResetBeforeHead, testpeer.CloseBeforeHead, testpeer.OK)
	return []row{
		{name: "reset on accept, GET", peer: raw(testpeer.ResetOnAccept), vague: true, want: thrice, safe: true, stopped: "MAX_ATTEMPTS"},
		{name: "reset, GET", peer: reset, want: thrice, safe: true, stopped: "MAX_ATTEMPTS", arrived: 3},
		{name: "reset, HEAD", method: "HEAD", peer: reset, want: thrice, safe: true, stopped: "MAX_ATTEMPTS", arrived: 3},
		{name: "reset, PUT", method: "PUT", peer: reset, want: thrice, safe: true, stopped: "MAX_ATTEMPTS", arrived: 3},
		{name: "reset, DELETE", method: "DELETE", peer: reset, want: thrice, safe: true, stopped: "MAX_ATTEMPTS", arrived: 3},
		{name: "reset, POST", method: "POST", peer: reset, want: once, stopped: "NOT_REPEATABLE", arrived: 1},
		{name: "reset, POST without a body", method: "PROPFIND", peer: reset, want: once, stopped: "NOT_REPEATABLE", arrived: 1},
		{name: "reset, POST with a key", method: "POST", key: "order-7", peer: reset, want: thrice, safe: true, stopped: "MAX_ATTEMPTS", arrived: 3},
		{name: "reset, POST with policy's key", method: "POST", retry: "idempotency_key: {generate: true}", peer: mended, want: works, arrived: 3},
		{name: "reset, POST by policy", method: "POST", retry: "methods: [POST]", peer: mended, want: works, arrived: 3},
		{name: "reset, GET not by policy", retry: "methods: [HEAD]", peer: reset, want: once, safe: true, stopped: "NOT_REPEATABLE", arrived: 1},
		{name: "reset, read 0", retry: "read: 0", peer: reset, want: once, safe: true, stopped: "READ", arrived: 1},
		{name: "reset, then it works", peer: mended, want: works, arrived: 3},
		{name: "hang-up, GET", peer: hangUp, want: thrice, safe: true, stopped: "MAX_ATTEMPTS", arrived: 3},
		{name: "hang-up, POST", method: "POST", peer: hangUp, want: once, stopped: "NOT_REPEATABLE", arrived: 1},
		{name: "half a head, GET", peer: raw(testpeer.CloseMidHead, testpeer.OK), want: "first CONNECTION_RESET? again 200 = 200", arrived: 2},
		{name: "half a head, reset, GET", peer: raw(testpeer.ResetMidHead, testpeer.OK), want: "first CONNECTION_RESET? again 200 = 200", arrived: 2},
		{name: "no HTTP, GET", retry: "other: 1", peer: raw(testpeer.NotHTTP), want: "first BAD_RESPONSE? again BAD_RESPONSE? = BAD_RESPONSE", safe: true, stopped: "OTHER", arrived: 2},
		{name: "no HTTP, POST", method: "POST", peer: raw(testpeer.NotHTTP), want: "first BAD_RESPONSE? = BAD_RESPONSE", stopped: "NOT_REPEATABLE", arrived: 1},
		{name: "no HTTP, then it works", peer: raw(testpeer.NotHTTP, testpeer.OK), want: "first BAD_RESPONSE? again 200 = 200", arrived: 2},
		{name: "no head, GET", retry: "max_attempts: 2", more: head100, peer: raw(testpeer.StallOnAccept), want: stall, safe: true, stopped: "MAX_ATTEMPTS"},
		{name: "no head, POST", method: "POST", more: head100, peer: raw(testpeer.StallOnAccept), want: "first FIRST_BYTE_TIMEOUT? = FIRST_BYTE_TIMEOUT", stopped: "NOT_REPEATABLE"},
		{name: "half a head and no more", retry: "max_attempts: 2", more: head100, peer: raw(testpeer.StallMidHead), want: stall, safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
		{name: "a head over its limit", more: "sizes: {response_header: 64KiB}", peer: raw(testpeer.HugeHeader(1 << 20)), want: "first RESPONSE_HEADER_TOO_LARGE? = RESPONSE_HEADER_TOO_LARGE", stopped: "NOT_RETRIED", arrived: 1},
		{name: "another protocol", retry: "max_attempts: 2", peer: raw(testpeer.SwitchingProtocols), want: "first BAD_RESPONSE? again BAD_RESPONSE? = BAD_RESPONSE", safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
	}
}

// bodyRows lose the answer in its body: a Fetch reads it inside the attempt and
// tries again, a Stream has handed its beginning on.
func bodyRows() []row {
	const (
		cutOnce  = "first BODY_CUT_SHORT? = BODY_CUT_SHORT"
		cutTwice = "first BODY_CUT_SHORT? again BODY_CUT_SHORT? = BODY_CUT_SHORT"
		idle100  = "timeouts: {idle: 100ms}"
		two      = "max_attempts: 2"
	)
	return []row{
		{name: "cut body, GET", retry: two, peer: raw(testpeer.CutBody), want: cutTwice, safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
		{name: "cut body, POST", method: "POST", peer: raw(testpeer.CutBody), want: cutOnce, stopped: "NOT_REPEATABLE", arrived: 1},
		{name: "cut body, then it works", peer: raw(testpeer.CutBodyReset, testpeer.OK), want: "first BODY_CUT_SHORT? again 200 = 200", arrived: 2},
		{name: "cut body, stream", open: true, peer: raw(testpeer.CutBody), want: cutOnce, safe: true, arrived: 1},
		{name: "cut chunk", peer: raw(testpeer.CutChunk, testpeer.CutChunkReset, testpeer.OK), want: "first BODY_CUT_SHORT? again BODY_CUT_SHORT? again 200 = 200", arrived: 3},
		{name: "no last chunk", peer: raw(testpeer.CutLastChunk, testpeer.OK), want: "first BODY_CUT_SHORT? again 200 = 200", arrived: 2},
		{name: "reset at the end of a body without length", peer: raw(testpeer.CloseDelimitedReset, testpeer.OK), want: "first BODY_CUT_SHORT? again 200 = 200", arrived: 2},
		{name: "bad chunk", retry: "other: 1", peer: raw(testpeer.BadChunkSize), want: "first BAD_RESPONSE? again BAD_RESPONSE? = BAD_RESPONSE", safe: true, stopped: "OTHER", arrived: 2},
		{name: "bad chunk, stream", open: true, peer: raw(testpeer.BadChunkSize), want: "first BAD_RESPONSE? = BAD_RESPONSE", safe: true, arrived: 1},
		{name: "stalled body, GET", retry: two, more: idle100, peer: raw(testpeer.StallMidBody), want: "first IDLE_TIMEOUT? again IDLE_TIMEOUT? = IDLE_TIMEOUT", safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
		{name: "stalled body, POST", method: "POST", more: idle100, peer: raw(testpeer.StallMidBody), want: "first IDLE_TIMEOUT? = IDLE_TIMEOUT", stopped: "NOT_REPEATABLE", arrived: 1},
		{name: "stalled body, stream", open: true, more: idle100, peer: raw(testpeer.StallMidBody), want: "first IDLE_TIMEOUT? = IDLE_TIMEOUT", safe: true, arrived: 1},
		{name: "no body in time", retry: two, more: attempt5s, peer: raw(testpeer.StallBeforeBody), want: "first ATTEMPT_TIMEOUT? again ATTEMPT_TIMEOUT? = ATTEMPT_TIMEOUT", safe: true, stopped: "MAX_ATTEMPTS", arrived: 2},
		{name: "no body before the total", more: "timeouts: {total: 5s}", peer: raw(testpeer.StallBeforeBody), want: "first TOTAL_TIMEOUT? = TOTAL_TIMEOUT", safe: true, arrived: 1},
		{name: "h2 cut body, GET", peer: http2Peer(cut, status(indexOf200)), want: "first BODY_CUT_SHORT? again 200 = 200", arrived: 2},
		{name: "h2 cut body, stream", open: true, peer: http2Peer(cut, status(indexOf200)), want: cutOnce, safe: true, arrived: 1},
		{name: "half a gzip", peer: raw(testpeer.GzipTruncated), want: "first BAD_CONTENT_CODING? = BAD_CONTENT_CODING", arrived: 1},
		{name: "half a gzip, stream", open: true, peer: raw(testpeer.GzipTruncated), want: "first BAD_CONTENT_CODING? = BAD_CONTENT_CODING", arrived: 1},
		{name: "a body over its limit", peer: raw(testpeer.EndlessBody), want: "first RESPONSE_TOO_LARGE? = RESPONSE_TOO_LARGE", stopped: "NOT_RETRIED", arrived: 1},
	}
}

// answerRows are answered, and what they say decides.
func answerRows() []row {
	busy := testpeer.Response(503, "busy")
	limited := func(fields ...string) string { return testpeer.Response(429, "limited", fields...) }
	ok := testpeer.Response(200, "ok")
	return []row{
		{name: "503 twice, GET", peer: answers(busy, busy, ok), want: "first 503 again 503 again 200 = 200", arrived: 3},
		{name: "503 for ever, GET", peer: answers(busy), want: "first 503 again 503 again 503 = 503", stopped: "MAX_ATTEMPTS", arrived: 3},
		{name: "503, POST", method: "POST", peer: answers(busy), want: "first 503 = 503", stopped: "NOT_REPEATABLE", arrived: 1},
		{name: "503, PUT", method: "PUT", peer: answers(busy, ok), want: "first 503 again 200 = 200", arrived: 2},
		{name: "503, status 1", retry: "status: 1", peer: answers(busy), want: "first 503 again 503 = 503", stopped: "STATUS", arrived: 2},
		{name: "500", peer: answers(testpeer.Response(500, "broken")), want: "first 500 = 500", arrived: 1},
		{name: "500 by policy", retry: "statuses: [500]", peer: answers(testpeer.Response(500, "broken"), ok), want: "first 500 again 200 = 200", arrived: 2},
		{name: "429 in seconds, POST", method: "POST", peer: answers(limited("Retry-After: 0"), ok), want: "first 429 again 200 = 200", arrived: 2},
		{name: "429 in milliseconds, POST", method: "POST", peer: answers(limited("Retry-After-Ms: 20"), ok), want: "first 429 again 200 = 200", arrived: 2},
		{name: "429 by date", peer: answers(limited("Date: Mon, 01 Jan 2024 10:00:00 GMT", "Retry-After: Mon, 01 Jan 2024 09:59:59 GMT"), ok), want: "first 429 again 200 = 200", arrived: 2},
		{name: "429 for too long", peer: answers(limited("Retry-After: 61"), ok), want: "first 429 = 429", stopped: "RETRY_AFTER", arrived: 1},
		{name: "429 beyond the deadline", peer: answers(limited("Retry-After: 31"), ok), want: "first 429 = 429", stopped: "DEADLINE", arrived: 1},
		{name: "413 for now, POST", method: "POST", peer: answers(testpeer.Response(413, "later", "Retry-After: 0"), ok), want: "first 413 again 200 = 200", arrived: 2},
		{name: "413", method: "PUT", peer: answers(testpeer.Response(413, "never")), want: "first 413 = 413", arrived: 1},
		{name: "a redirect to a closed port", retry: "max_attempts: 2", peer: func(t *testing.T, w *world) peer {
			return answers(testpeer.Response(302, "", "Location: "+closedPort(t, w).url))(t, w)
		}, want: "first 302 first CONNECTION_REFUSED again CONNECTION_REFUSED = CONNECTION_REFUSED", safe: true, stopped: "MAX_ATTEMPTS", arrived: 1},
		{name: "429, then refused, POST", method: "POST", retry: "max_attempts: 2", peer: func(t *testing.T, w *world) peer {
			// The peer takes one connection and is gone before it answers.
			return onceOnly(t, limited("Connection: close"))
		}, want: "first 429 again CONNECTION_REFUSED = CONNECTION_REFUSED", safe: true, stopped: "MAX_ATTEMPTS", arrived: 1},
	}
}

// uploadRows fail while the request is being sent.
func uploadRows() []row {
	const (
		large = 8 << 20
		size  = "sizes: {request: 16MiB}"
	)
	torn := func(c *testpeer.RawConn) {
		c.ReadHead()
		c.ReadSome()
		c.Reset()
	}
	return []row{
		{name: "reset in the upload, PUT", method: "PUT", size: large, more: size, peer: raw(torn, testpeer.OK), want: "first CONNECTION_RESET? again 200 = 200", arrived: 2},
		{name: "reset in the upload, POST", method: "POST", size: large, more: size, peer: raw(torn, testpeer.OK), want: "first CONNECTION_RESET? = CONNECTION_RESET", stopped: "NOT_REPEATABLE", arrived: 1},
		{name: "reset in the upload, POST with a key", method: "POST", key: "order-7", size: large, more: size, peer: raw(torn, testpeer.OK), want: "first CONNECTION_RESET? again 200 = 200", arrived: 2},
		{name: "nobody reads the upload, PUT", method: "PUT", size: large, retry: "max_attempts: 2", more: attempt5s, peer: raw(testpeer.FreezeOnAccept), want: "first ATTEMPT_TIMEOUT? again ATTEMPT_TIMEOUT? = ATTEMPT_TIMEOUT", safe: true, stopped: "MAX_ATTEMPTS"},
		{name: "nobody reads the upload, POST", method: "POST", size: large, more: attempt5s, peer: raw(testpeer.FreezeOnAccept), want: "first ATTEMPT_TIMEOUT? = ATTEMPT_TIMEOUT", stopped: "NOT_REPEATABLE"},
		{name: "the body is whole each time", method: "PUT", size: 1 << 20, peer: wholeBodies(strings.Repeat("x", 1<<20)), want: "first 503 again 503 again 200 = 200", arrived: 3},
	}
}

// wholeBodies answers 503, 503 and 200, as long as each request has the body.
func wholeBodies(body string) func(*testing.T, *world) peer {
	return func(t *testing.T, _ *world) peer {
		var s *testpeer.RawServer
		s = testpeer.Raw(t, testpeer.EachRequest(func(c *testpeer.RawConn, r testpeer.Request) {
			n := len(s.Requests())
			switch {
			case string(r.Body.Data) != body:
				c.Write(testpeer.Response(400, "torn"))
			case n < 3:
				c.Write(testpeer.Response(503, "again"))
			default:
				c.Write(testpeer.Response(200, "ok"))
			}
		}))
		return peer{s.URL + "/", func() int { return len(s.Requests()) }}
	}
}
