package streamtest

import (
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// kib64 is a block of text for what must be large.
var kib64 = strings.Repeat("0123456789abcdef", 4<<10)

// cutCases are downloads that the upstream breaks off, phase by phase.
func cutCases() []testCase {
	head := func(fields ...string) string {
		return testpeer.Lines(append([]string{"HTTP/1.1 200 OK"}, fields...)...)
	}
	// then answers one request with text and ends the connection as how does.
	then := func(text string, how func(*testpeer.RawConn)) testpeer.Script {
		return func(c *testpeer.RawConn) {
			c.ReadRequest()
			c.Write(text)
			how(c)
		}
	}
	fin, rst := (*testpeer.RawConn).Linger, (*testpeer.RawConn).Reset
	before := func(kind string, safe bool) want {
		return want{status: noHead, kind: kind, safe: safe, attempts: []string{"FIRST GET MAYBE_PROCESSED " + kind}}
	}
	part := want{body: "part", kind: "BODY_CUT_SHORT", safe: true, says: []string{"after 4 "}}
	large := strings.Repeat(kib64, 16)
	return []testCase{
		{name: "cut before the head by FIN", script: testpeer.CloseBeforeHead, want: before("CONNECTION_RESET", true)},
		{name: "cut before the head by RST", script: testpeer.ResetBeforeHead, want: before("CONNECTION_RESET", true)},
		{name: "cut mid head by FIN", script: testpeer.CloseMidHead, want: before("CONNECTION_RESET", true)},
		{name: "cut mid head by RST", script: testpeer.ResetMidHead, want: before("CONNECTION_RESET", true)},
		{name: "cut after the head by FIN", script: then(head("Content-Length: 100"), fin),
			want: want{kind: "BODY_CUT_SHORT", safe: true, says: []string{"(0 bytes"}}},
		{name: "cut after the head of chunks by RST", script: then(head("Transfer-Encoding: chunked"), rst),
			want: want{kind: "BODY_CUT_SHORT", safe: true}},
		{name: "cut mid body by FIN", script: testpeer.CutBody, want: part},
		{name: "cut mid body by RST", script: testpeer.CutBodyReset, want: part},
		{name: "cut one byte before the end", script: then(head("Content-Length: 5")+"part", fin), want: part},
		{name: "cut mid chunk by FIN", script: testpeer.CutChunk, want: part},
		{name: "cut mid chunk by RST", script: testpeer.CutChunkReset, want: part},
		{name: "cut before the last chunk by FIN", script: testpeer.CutLastChunk, want: part},
		{name: "cut before the last chunk by RST", script: then(head("Transfer-Encoding: chunked")+"4\r\npart\r\n", rst), want: part},
		{name: "cut in the trailers", script: then(head("Transfer-Encoding: chunked")+"4\r\npart\r\n0\r\nX-Tra", fin),
			// net/http cannot tell a torn trailer from one that is too long.
			want: want{body: "part", kind: "BAD_RESPONSE", safe: true}},
		{name: "cut late in a large body", script: then(head("Content-Length: 1048577")+large, fin),
			want: want{body: large, kind: "BODY_CUT_SHORT", safe: true, says: []string{"after 1048576 of 1048577 bytes"}}},
		{name: "cut of a body without length by RST", script: testpeer.CloseDelimitedReset, want: part},
		{name: "no length, FIN is the end", script: testpeer.CloseDelimited, want: want{body: "whole"}},
		{name: "cut under a POST", script: testpeer.CutBody, in: `{"url":"http://{peer}/","method":"POST","text":"x"}`,
			want: want{body: "part", kind: "BODY_CUT_SHORT"}},
		{name: "bad chunk size", script: testpeer.BadChunkSize,
			want: want{body: "part", kind: "BAD_RESPONSE", safe: true}},
		{name: "nobody listens", peer: func(t *testing.T, _ *world) string { return "http://" + testpeer.ClosedPort(t) },
			want: want{status: noHead, kind: "CONNECTION_REFUSED", safe: true, attempts: []string{"FIRST GET UNSENT CONNECTION_REFUSED"}}},
	}
}
