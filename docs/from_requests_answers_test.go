package docs_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

func responseCases() []requestsCase {
	shown := func(status, reason, body string) string {
		return `{"status":` + status + `,"reason":"` + reason + `","url":"{U}/","ok":false,"history":[],"body":"` + body + `"}`
	}
	trickle := script(testpeer.TrickleBody("a\nb\r\nc", 2, 10*time.Millisecond))
	return []requestsCase{
		{
			row: "Response: status_code", names: script(testpeer.Status("404")), view: "shown",
			fetch: []string{`{"url":"{U}/"}`}, want: shown("404", "Odd", "odd"), python: `r = requests.get(U)`,
		},
		{
			row: "Response: ok", names: script(testpeer.InTurn(testpeer.Status("399"), testpeer.Status("400"))),
			do: func(t *testing.T, w *requestsWorld, _ map[string]string) any {
				up := testpeer.Raw(t, testpeer.Answer(testpeer.Response(399, ""), testpeer.Response(400, "")))
				ask := `{"url":"` + up.URL + `/"}`
				return []any{ok(w.fetch(t, ask)), ok(w.fetch(t, ask))}
			},
			want: `[true,false]`, python: `out = [requests.get(U).ok, requests.get(U).ok]`,
		},
		{
			row: "Response: reason", names: script(testpeer.Reason), view: "shown",
			fetch: []string{`{"url":"{U}/"}`}, want: shown("418", "Short And Stout", "odd"), python: `r = requests.get(U)`,
		},
		{
			row: "Response: url", names: script(testpeer.RedirectChain(302, 1)), look: member("url"),
			fetch: []string{`{"url":"{U}/a"}`}, want: `"{U}/hop/1"`, python: `out = requests.get(U + "/a").url`,
		},
		{
			row: "Response: headers", names: script(testpeer.RepeatedHeaders), view: "headers",
			fetch: []string{`{"url":"{U}/"}`}, want: `{"x-many":"one, two, three","x-other":"between"}`, python: `r = requests.get(U)`,
		},
		{
			row: "Response: content", names: answers("\x00\xff\x01"), view: "content",
			fetch: []string{`{"url":"{U}/","as":"BYTES"}`}, want: `"AP8B"`, python: `r = requests.get(U)`,
		},
		{
			row: "Response: text", names: answers("caf\xe9", "Content-Type: text/plain; charset=iso-8859-1"), look: member("text"),
			fetch: []string{`{"url":"{U}/","as":"TEXT"}`}, want: `"café"`, python: `out = requests.get(U).text`,
		},
		{
			row: "Response: encoding", names: answers("caf\xc3\xa9", "Content-Type: text/html; charset=UTF-8"), view: "text",
			fetch: []string{`{"url":"{U}/","as":"TEXT"}`}, want: `{"text":"café","encoding":"utf-8"}`, python: `r = requests.get(U)`,
		},
		{
			row: "Response: encoding", names: answers("caf\xe9", "Content-Type: text/html; charset=ISO-8859-1"), view: "text",
			fetch: []string{`{"url":"{U}/","as":"TEXT"}`}, want: `{"text":"café","encoding":"windows-1252"}`,
			python: `r = requests.get(U)`, differs: `{"text":"café","encoding":"iso-8859-1"}`,
		},
		{
			row: "Response: encoding set by you", names: answers("\x83J", "Content-Type: text/plain"), view: "text",
			fetch: []string{`{"url":"{U}/","as":"TEXT","charset":"shift_jis"}`}, want: `{"text":"カ","encoding":"shift_jis"}`,
			python: `r = requests.get(U); r.encoding = "shift_jis"`,
		},
		{
			row: "Response: apparent_encoding", names: answers("Grüße, café", "Content-Type: text/plain"), view: "text",
			fetch: []string{`{"url":"{U}/","as":"TEXT"}`}, want: `{"text":"Grüße, café","encoding":"utf-8"}`,
			python: `r = requests.get(U); r.encoding = r.apparent_encoding`,
		},
		{
			row: "Response: apparent_encoding", names: answers("Grüße, café", "Content-Type: text/plain"), view: "text",
			fetch: []string{`{"url":"{U}/","as":"TEXT"}`}, want: `{"text":"Grüße, café","encoding":"utf-8"}`,
			python: `r = requests.get(U)`, differs: `{"text":"GrÃ…","encoding":"iso-8859-1"}`,
		},
		{
			row: "Response: json()", names: answers(`{"n":1.5,"a":[null,"é"]}`, "Content-Type: application/json"), view: "json",
			fetch: []string{`{"url":"{U}/","as":"JSON"}`}, want: `{"n":1.5,"a":[null,"é"]}`, python: `r = requests.get(U)`,
		},
		{
			row: "Response: cookies", names: script(testpeer.SetCookies), view: "cookies",
			fetch: []string{`{"url":"{U}/"}`}, want: `{"a":"1","b":"2","c":"3"}`, python: `r = requests.get(U)`,
		},
		{
			row: "Response: history", names: script(testpeer.RedirectChain(307, 2)),
			fetch: []string{`{"url":"{U}/"}`},
			look:  last(func(a *fetchAnswer) any { return each(a.res["history"], "status") }),
			want:  `[307,307]`, python: `out = [h.status_code for h in requests.get(U).history]`,
		},
		{
			row: "Response: links", names: answers("", `Link: </p?2>; rel="next", </p?9>; rel="last"`), view: "links",
			fetch: []string{`{"url":"{U}/p"}`}, want: `{"next":"{U}/p?2","last":"{U}/p?9"}`,
			python: `r = requests.get(U + "/p")`, differs: `{"next":"/p?2","last":"/p?9"}`,
		},
		{
			row: "Response: elapsed", names: httpbin, look: elapsed(200 * time.Millisecond),
			fetch: []string{`{"url":"{U}/delay/0.2"}`}, want: `true`,
			python: `out = requests.get(U + "/delay/0.2").elapsed.total_seconds() >= 0.2`,
		},
		{
			row: "Response: elapsed", look: elapsed(1200 * time.Millisecond),
			names: script(testpeer.TrickleBody("abcd", 1, 400*time.Millisecond)),
			fetch: []string{`{"url":"{U}/"}`}, want: `true`,
			python: `out = requests.get(U).elapsed.total_seconds() >= 1.2`, differs: `false`,
		},
		{
			row:   "Response: request",
			fetch: []string{`{"url":"{U}/","params":[{"name":"a","value":"b c"}],"headers":[{"name":"X-Team","value":"x"}]}`},
			look: last(func(a *fetchAnswer) any {
				sent := list(a.res["attempts"])[0]
				return []any{sent["method"], sent["url"], pairs(sent["headers"], "name", "value")["X-Team"]}
			}),
			want:   `["GET","{U}/?a=b+c","x"]`,
			python: `q = requests.get(U, params={"a": "b c"}, headers={"X-Team": "x"}).request; out = [q.method, q.url, q.headers["X-Team"]]`,
		},
		{
			row: "Response: raise_for_status()", names: script(testpeer.Status("404")),
			fetch: []string{`{"url":"{U}/","fail_on_status":true}`}, kind: "UPSTREAM_STATUS",
			python: `requests.get(U).raise_for_status()`, raises: "HTTPError",
		},
		{
			row: "Response: is_redirect, is_permanent_redirect", names: chains,
			fetch: []string{
				`{"url":"{R301}/","redirects":{"mode":"NONE"}}`, `{"url":"{R302}/","redirects":{"mode":"NONE"}}`,
				`{"url":"{R308}/","redirects":{"mode":"NONE"}}`,
			},
			look: func(_ *testing.T, all []*fetchAnswer) any {
				var permanent []any
				for _, a := range all {
					permanent = append(permanent, a.res["status"] == 301.0 || a.res["status"] == 308.0)
				}
				return permanent
			},
			want: `[true,false,true]`,
			python: `all = [requests.get(u, allow_redirects=False) for u in (R301, R302, R308)]
out = [r.is_redirect and r.is_permanent_redirect for r in all]`,
		},
		{
			row: "Response: next", names: script(testpeer.RedirectTo(302, "/next")),
			fetch: []string{`{"url":"{U}/","redirects":{"mode":"NONE"}}`},
			look:  last(func(a *fetchAnswer) any { return pairs(a.res["headers"], "name", "value")["Location"] }),
			want:  `"/next"`, python: `out = requests.get(U, allow_redirects=False).next.url`, differs: `"{U}/next"`,
		},
		{
			row: "Response: raw", names: script(testpeer.Gzip("hello")), view: "content",
			fetch: []string{`{"url":"{U}/","decode":"NONE"}`}, want: `"` + gzipOf("hello") + `"`,
			python: `import base64; out = base64.b64encode(requests.get(U, stream=True).raw.read()).decode()`,
		},
		{
			row: "Response: iter_content()", names: trickle, view: "content",
			stream: `{"start":{"url":"{U}/"}}`, want: `"YQpiDQpj"`,
			python: `import base64; out = base64.b64encode(b"".join(requests.get(U, stream=True).iter_content(3))).decode()`,
		},
		{
			row: "Response: iter_lines()", names: trickle,
			stream: `{"start":{"url":"{U}/","framing":"LINES"}}`, look: textLines, want: `["a","b","c"]`,
			python: `out = [l.decode() for l in requests.get(U, stream=True).iter_lines()]`,
		},
		{
			row: "Response: close()", names: script(testpeer.EndlessBody),
			do: func(t *testing.T, w *requestsWorld, _ map[string]string) any {
				up := testpeer.Raw(t, testpeer.EndlessBody)
				body := w.post(t, "/v1/stream", `{"start":{"url":"`+up.URL+`/"}}`).Body
				if _, err := body.Read(make([]byte, 100)); err != nil {
					t.Fatal(err)
				}
				_ = body.Close()
				up.AwaitEnded(1)
				return "closed"
			},
			want:   `"closed"`,
			python: `r = requests.get(U, stream=True); next(r.iter_content(100)); r.close(); out = "closed"`,
		},
	}
}

// textLines are the lines of a Stream.
func textLines(_ *testing.T, all []*fetchAnswer) any {
	var lines []any
	for _, l := range all[0].lines {
		lines = append(lines, l.(map[string]any)["text"])
	}
	return lines
}

func gzipOf(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func exceptionCases() []requestsCase {
	closed := func(t *testing.T, _ *requestsWorld) map[string]string {
		return map[string]string{"U": "http://" + testpeer.ClosedPort(t)}
	}
	blackhole := func(t *testing.T, _ *requestsWorld) map[string]string {
		return map[string]string{"U": "http://" + testpeer.Blackhole(t)}
	}
	get := []string{`{"url":"{U}/"}`}
	// One clock each: what comes before the fault must not run into another.
	hasty := func(clock string) []string { return []string{`{"url":"{U}/","timeouts":{"` + clock + `":"0.2s"}}`} }
	return []requestsCase{
		{row: "Exceptions: RequestException", names: closed, fetch: get, kind: "CONNECTION_REFUSED",
			python: `requests.get(U)`, raises: "RequestException"},
		{row: "Exceptions: ConnectionError", names: closed, fetch: get, kind: "CONNECTION_REFUSED",
			python: `requests.get(U)`, raises: "ConnectionError"},
		{row: "Exceptions: ConnectionError", names: script(testpeer.ResetBeforeHead), fetch: get, kind: "CONNECTION_RESET",
			python: `requests.get(U)`, raises: "ConnectionError"},
		{row: "Exceptions: ConnectTimeout", names: blackhole, fetch: hasty("connect"), kind: "CONNECT_TIMEOUT",
			python: `requests.get(U, timeout=(0.2, 1))`, raises: "ConnectTimeout"},
		{row: "Exceptions: ReadTimeout", names: script(testpeer.StallOnAccept), fetch: hasty("first_byte"), kind: "FIRST_BYTE_TIMEOUT",
			python: `requests.get(U, timeout=(20, 0.1))`, raises: "ReadTimeout"},
		{row: "Exceptions: ReadTimeout", names: script(testpeer.StallMidBody), fetch: hasty("idle"), kind: "IDLE_TIMEOUT",
			python: `requests.get(U, timeout=2)`, raises: "ConnectionError"},
		{row: "Exceptions: Timeout", names: script(testpeer.StallMidHead), kind: "ATTEMPT_TIMEOUT",
			fetch:  []string{`{"url":"{U}/","timeouts":{"attempt":"0.1s"}}`},
			python: `requests.get(U, timeout=0.1)`, raises: "Timeout"},
		{row: "Exceptions: SSLError", names: stranger, fetch: get, kind: "TLS_CERT_UNTRUSTED",
			python: `requests.get(U, verify=CA)`, raises: "SSLError"},
		{row: "Exceptions: SSLError", names: secured(nil, testpeer.CertOpts{}.Expired()), fetch: get, kind: "TLS_CERT_EXPIRED",
			python: `requests.get(U, verify=CA)`, raises: "SSLError"},
		{row: "Exceptions: SSLError", names: secured(nil, otherName()), fetch: get, kind: "TLS_CERT_NAME_MISMATCH",
			python: `requests.get(U, verify=CA)`, raises: "SSLError"},
		{row: "Exceptions: HTTPError", names: script(testpeer.Status("503")), kind: "UPSTREAM_STATUS",
			fetch:  []string{`{"url":"{U}/","fail_on_status":true}`},
			python: `requests.get(U).raise_for_status()`, raises: "HTTPError"},
		{row: "Exceptions: TooManyRedirects", names: script(testpeer.RedirectLoop(302)), fetch: get, kind: "TOO_MANY_REDIRECTS",
			python: `requests.get(U)`, raises: "TooManyRedirects"},
		{row: "Exceptions: ChunkedEncodingError", names: script(testpeer.CutChunk), fetch: get, kind: "BODY_CUT_SHORT",
			python: `requests.get(U)`, raises: "ChunkedEncodingError"},
		{row: "Exceptions: ChunkedEncodingError", names: script(testpeer.CutBody), fetch: get, kind: "BODY_CUT_SHORT",
			want: `"part"`, python: `out = requests.get(U).text`},
		{row: "Exceptions: ContentDecodingError", names: script(testpeer.GzipGarbage), fetch: get, kind: "BAD_CONTENT_CODING",
			python: `requests.get(U)`, raises: "ContentDecodingError"},
		{row: "Exceptions: JSONDecodeError", names: answers("oops", "Content-Type: application/json"),
			fetch:  []string{`{"url":"{U}/","as":"JSON"}`},
			look:   last(func(a *fetchAnswer) any { return []any{a.res["json"], a.res["text"]} }),
			want:   `[null,"oops"]`,
			python: `requests.get(U).json()`, raises: "JSONDecodeError"},
		{row: "Exceptions: InvalidJSONError", kind: "INVALID_REQUEST", fetch: []string{`{"url":"{U}/","method":"POST","json_text":"NaN"}`},
			python: `requests.post(U, json=float("nan"))`, raises: "InvalidJSONError"},
		{row: "Exceptions: InvalidHeader", kind: "INVALID_REQUEST", fetch: []string{`{"url":"{U}/","headers":[{"name":"X","value":"a\nb"}]}`},
			python: `requests.get(U, headers={"X": "a\nb"})`, raises: "InvalidHeader"},
		{row: "Exceptions: InvalidURL", kind: "INVALID_REQUEST", fetch: []string{`{"url":"http://"}`},
			python: `requests.get("http://")`, raises: "InvalidURL"},
		{row: "Exceptions: InvalidSchema", kind: "INVALID_REQUEST", fetch: []string{`{"url":"ftp://127.0.0.1/"}`},
			python: `requests.get("ftp://127.0.0.1/")`, raises: "InvalidSchema"},
		{row: "Exceptions: MissingSchema", kind: "INVALID_REQUEST", fetch: []string{`{"url":"example.com/"}`},
			python: `requests.get("example.com/")`, raises: "MissingSchema"},
		{row: "Exceptions: URLRequired", kind: "INVALID_REQUEST", fetch: []string{`{}`}},
		{row: "Exceptions: UnrewindableBodyError", names: script(testpeer.RedirectTo(307, "/next")),
			stream: `{"start":{"method":"PUT","url":"{U}/","stream":{}}} {"chunk":"YWI="} {"end":{}}`,
			look:   last(func(a *fetchAnswer) any { return []any{a.res["status"], a.res["redirect_stopped"]} }),
			want:   `[307,"one-shot body"]`,
			python: `class Pipe:
	def __iter__(self): return iter([b"ab"])
	def tell(self): raise OSError
requests.put(U, data=Pipe())`, raises: "UnrewindableBodyError"},
	}
}
