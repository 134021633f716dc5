package streamtest

import (
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// trickle sends a head and then body a byte at a time, for ever.
func trickle(pause time.Duration) testpeer.Script {
	return func(c *testpeer.RawConn) {
		c.ReadRequest()
		c.Write(testpeer.Lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"))
		for {
			c.Write("1\r\nx\r\n")
			c.Pause(pause)
		}
	}
}

// stallCases stand still, phase by phase, until a clock ends them. Clocks that run
// from before the request is sent are long, for starved machines: it must have
// been sent by then.
func stallCases() []testCase {
	after := func(text string) testpeer.Script {
		return func(c *testpeer.RawConn) {
			c.ReadRequest()
			c.Write(testpeer.Lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + text)
			c.Stall()
		}
	}
	before := func(kind string) want {
		return want{status: noHead, kind: kind, safe: true, attempts: []string{"FIRST GET MAYBE_PROCESSED " + kind}}
	}
	with := func(clock string) string { return `{"url":"http://{peer}/","timeouts":{` + clock + `}}` }
	idle := want{body: "part", kind: "IDLE_TIMEOUT", safe: true, says: []string{"idle clock of 100ms"}}
	at := func(host, more string) string { return `{"url":"http://` + host + `:{port}/"` + more + `}` }
	return []testCase{
		{name: "stall before the head, total", script: testpeer.StallOnAccept, in: with(`"total":"2s"`),
			want: before("TOTAL_TIMEOUT")},
		{name: "stall before the head, attempt", script: testpeer.StallOnAccept, in: with(`"attempt":"2s"`),
			want: before("ATTEMPT_TIMEOUT")},
		{name: "stall before the head, first_byte", script: testpeer.StallOnAccept, in: with(`"first_byte":"0.3s"`),
			want: before("FIRST_BYTE_TIMEOUT")},
		{name: "stall mid head", script: testpeer.StallMidHead, in: with(`"total":"2s"`), want: before("TOTAL_TIMEOUT")},
		{name: "head that trickles", script: testpeer.TrickleHead(1, 200*time.Millisecond), in: with(`"total":"2s"`),
			want: before("TOTAL_TIMEOUT")},
		{name: "stall after the head", script: testpeer.StallBeforeBody, in: with(`"idle":"0.1s"`),
			want: want{kind: "IDLE_TIMEOUT", safe: true}},
		{name: "stall mid body", script: testpeer.StallMidBody, in: with(`"idle":"0.1s"`), want: idle},
		{name: "stall mid chunk", script: after("64\r\npart"), in: with(`"idle":"0.1s"`), want: idle},
		{name: "stall before the last chunk", script: after("4\r\npart\r\n"), in: with(`"idle":"0.1s"`), want: idle},
		{name: "stall in the trailers", script: after("4\r\npart\r\n0\r\nX-Tra"), in: with(`"idle":"0.1s"`), want: idle},
		{name: "stall, policy's idle clock", script: testpeer.StallMidBody, in: at("idle.test", ""), want: idle},
		{name: "an idle clock over policy's bound", script: testpeer.OK, in: at("idle.test", `,"timeouts":{"idle":"0.3s"}`),
			want: want{status: noHead, kind: "INVALID_REQUEST", fields: []string{"timeouts.idle"}, untried: true}},
		{name: "total stops at the head", script: testpeer.TrickleBody(strings.Repeat("x", 24), 1, 100*time.Millisecond),
			in: with(`"total":"2s"`), want: want{body: strings.Repeat("x", 24)}},
		{name: "attempt stops at the head", script: testpeer.TrickleBody(strings.Repeat("x", 24), 1, 100*time.Millisecond),
			in: with(`"attempt":"2s"`), want: want{body: strings.Repeat("x", 24)}},
		{name: "stream_total", script: trickle(5 * time.Millisecond), in: at("timed.test", ""),
			want: want{body: anyBody, kind: "TOTAL_TIMEOUT", safe: true, says: []string{"stream_total clock of 2s"}}},
		{name: "stream_total in time", script: testpeer.OK, in: at("timed.test", ""), want: want{body: "ok"}},
		{name: "trickle below min_rate", script: trickle(20 * time.Millisecond), in: at("rated.test", ""),
			want: want{body: anyBody, kind: "IDLE_TIMEOUT", safe: true, says: []string{"min_rate of 1KiB"}}},
		{name: "trickle above min_rate", in: at("rated.test", ""),
			script: testpeer.TrickleBody(kib64, 2<<10, 50*time.Millisecond), want: want{body: kib64}},
	}
}
