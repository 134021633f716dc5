package docs_test

import (
	"encoding/base64"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// httpxCases are made by fetchsvc alone.
func httpxCases() []requestsCase {
	reasons := func(_ *testing.T, all []*fetchAnswer) any {
		var got []any
		for _, a := range all {
			got = append(got, a.reason)
		}
		return got
	}
	stalled := func(t *testing.T, _ *requestsWorld) map[string]string {
		return map[string]string{"U": testpeer.Raw(t, testpeer.StallOnAccept).URL, "V": testpeer.Raw(t, testpeer.OK).URL}
	}
	return []requestsCase{
		{row: "httpx: Timeout(connect=)", kind: "CONNECT_TIMEOUT", fetch: []string{`{"url":"{U}/","timeouts":{"connect":"0.2s"}}`},
			names: func(t *testing.T, _ *requestsWorld) map[string]string {
				return map[string]string{"U": "http://" + testpeer.Blackhole(t)}
			}},
		{row: "httpx: Timeout(read=)", names: script(testpeer.StallOnAccept), kind: "FIRST_BYTE_TIMEOUT",
			fetch: []string{`{"url":"{U}/","timeouts":{"first_byte":"0.1s"}}`}},
		{row: "httpx: Timeout(read=)", names: script(testpeer.StallMidBody), kind: "IDLE_TIMEOUT",
			fetch: []string{`{"url":"{U}/","timeouts":{"idle":"0.1s"}}`}},
		{row: "httpx: Timeout(write=)", names: script(testpeer.FreezeOnAccept), kind: "IDLE_TIMEOUT",
			stream: `{"start":{"method":"PUT","url":"{U}/","stream":{},"timeouts":{"idle":"3s"}}}` +
				strings.Repeat(`{"chunk":"`+base64.StdEncoding.EncodeToString(make([]byte, 1<<20))+`"}`, 12) + `{"end":{}}`},
		{row: "httpx: follow_redirects", names: script(testpeer.RedirectTo(302, "/next")), look: member("status"),
			fetch: []string{`{"url":"{U}/","redirects":{"mode":"NONE"}}`}, want: `302`},
		{row: "httpx: http2=True", look: member("http_version"), fetch: []string{`{"url":"{U}/"}`}, want: `"2"`,
			names: func(t *testing.T, w *requestsWorld) map[string]string {
				cert := w.ca.Issue(testpeer.CertOpts{IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
				return map[string]string{"U": testpeer.TLS(t, http.NotFoundHandler(), cert, testpeer.TLSOpts{})}
			}},
		{row: "httpx: response.num_bytes_downloaded", names: answers("hello"), look: member("bytes_received"),
			fetch: []string{`{"url":"{U}/"}`}, want: `"5"`},
		{row: "httpx: stream() with aiter_bytes()", names: answers("hello"), view: "content",
			stream: `{"start":{"url":"{U}/"}}`, want: `"aGVsbG8="`},
		{row: "httpx: stream() with aiter_lines()", names: answers("a\nb"), look: textLines,
			stream: `{"start":{"url":"{U}/","framing":"LINES"}}`, want: `["a","b"]`},
		{row: "httpx: httpx-sse's aiter_sse()", names: answers("id: 7\nevent: e\ndata: 1\ndata: 2\n\n", "Content-Type: text/event-stream"),
			stream: `{"start":{"url":"{U}/","framing":"SSE"}}`, want: `[{"id":"7","event":"e","data":"1\n2"}]`,
			look: last(func(a *fetchAnswer) any { return a.lines })},
		{row: "httpx: AsyncClient with asyncio.gather()",
			names: script(testpeer.EachRequest(func(c *testpeer.RawConn, r testpeer.Request) {
				c.Write(testpeer.Response(200, r.Target, "Content-Type: text/plain"))
			})),
			batch: `{"requests":[{"url":"{U}/a"},{"url":"{U}/b"},{"url":"{U}/c"}]}`, want: `["/a","/b","/c"]`,
			look: func(_ *testing.T, all []*fetchAnswer) any {
				return []string{string(all[0].content), string(all[1].content), string(all[2].content)}
			}},
		{row: "httpx: a semaphore round each call", do: oneAtATime, want: `1`},
		{row: "httpx: asyncio.timeout() round all calls", names: stalled,
			do: func(t *testing.T, w *requestsWorld, names map[string]string) any {
				return reasons(t, w.batch(t, fill(names, `{"total":"2s","requests":[{"url":"{V}/"},{"url":"{U}/"}]}`)))
			}, want: `["","TOTAL_TIMEOUT"]`},
		{row: "httpx: asyncio.TaskGroup, which ends with its first error", names: stalled,
			do: func(t *testing.T, w *requestsWorld, names map[string]string) any {
				return reasons(t, w.batch(t, fill(names,
					`{"stop_on_error":true,"max_concurrency":1,"requests":[{"url":"ftp://x/"},{"url":"{V}/"}]}`)))
			}, want: `["INVALID_REQUEST","CANCELLED"]`},
	}
}

// oneAtATime is how many calls of a batch were in flight at once.
func oneAtATime(t *testing.T, w *requestsWorld, _ map[string]string) any {
	inFlight := make(chan struct{}, 10)
	most := make(chan int, 10)
	up := testpeer.HTTP(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		inFlight <- struct{}{}
		most <- len(inFlight)
		time.Sleep(10 * time.Millisecond) // long enough for another to show
		<-inFlight
	}))
	one := `{"url":"` + up + `/"}`
	w.batch(t, `{"max_concurrency":1,"requests":[`+one+`,`+one+`,`+one+`]}`)
	return max(<-most, <-most, <-most)
}
