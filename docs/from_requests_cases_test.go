package docs_test

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// requestsCases is the whole table.
func requestsCases() []requestsCase {
	return slices.Concat(argumentCases(), sessionCases(), responseCases(), exceptionCases(), egressCases(), retryCases(), httpxCases())
}

func argumentCases() []requestsCase {
	return []requestsCase{
		{
			row: "Arguments: method", view: "seen",
			fetch:  []string{`{"method":"PATCH","url":"{U}/"}`},
			want:   `{"method":"PATCH","target":"/","headers":{"content-length":["0"]},"body":""}`,
			python: `r = requests.request("PATCH", U)`,
		},
		{
			row: "Arguments: method", view: "seen",
			fetch:   []string{`{"method":"query","url":"{U}/","raw":"aA=="}`},
			want:    `{"method":"query","target":"/","headers":{"content-length":["1"]},"body":"h"}`,
			python:  `r = requests.request("query", U, data=b"h")`,
			differs: `{"method":"QUERY","target":"/","headers":{"content-length":["1"]},"body":"h"}`,
		},
		{
			row: "Arguments: url", view: "seen",
			fetch:  []string{`{"url":"{U}/a%2Fb/é?q=x+y#part"}`},
			want:   `{"method":"GET","target":"/a%2Fb/%C3%A9?q=x+y","headers":{},"body":""}`,
			python: `r = requests.get(U + "/a%2Fb/é?q=x+y#part")`,
		},
		{
			row:   "Arguments: url",
			fetch: []string{`{"url":"{U}/a b"}`}, kind: "INVALID_REQUEST",
			python: `out = seen(requests.get(U + "/a b"))["target"]`, want: `"/a%20b"`,
		},
		{
			row: "Arguments: params", view: "seen",
			fetch: []string{`{"url":"{U}/?a=1","params":[
				{"name":"q","value":"a b"},{"name":"q","value":"é"},{"name":"x","value":"1&2=/~*"}]}`},
			want:   `{"method":"GET","target":"/?a=1&q=a+b&q=%C3%A9&x=1%262%3D%2F~%2A","headers":{},"body":""}`,
			python: `r = requests.get(U + "/?a=1", params={"q": ["a b", "é"], "x": "1&2=/~*"})`,
		},
		{
			row: "Arguments: data as a dict", view: "seen",
			fetch: []string{`{"method":"POST","url":"{U}/","form":{"fields":[
				{"name":"q","value":"a b"},{"name":"q","value":"c"},{"name":"x","value":"é"}]}}`},
			want: `{"method":"POST","target":"/","body":"q=a+b&q=c&x=%C3%A9","headers":{
				"content-type":["application/x-www-form-urlencoded"],"content-length":["18"]}}`,
			python: `r = requests.post(U, data={"q": ["a b", "c"], "x": "é"})`,
		},
		{
			row: "Arguments: data as a str", view: "seen",
			fetch: []string{`{"method":"POST","url":"{U}/","text":"hello"}`},
			want: `{"method":"POST","target":"/","body":"hello","headers":{
				"content-type":["text/plain; charset=utf-8"],"content-length":["5"]}}`,
			python:  `r = requests.post(U, data="hello")`,
			differs: `{"method":"POST","target":"/","body":"hello","headers":{"content-length":["5"]}}`,
		},
		{
			row: "Arguments: data as bytes", view: "seen",
			fetch:  []string{`{"method":"POST","url":"{U}/","raw":"AAFoaQ=="}`},
			want:   `{"method":"POST","target":"/","body":"\u0000\u0001hi","headers":{"content-length":["4"]}}`,
			python: `r = requests.post(U, data=b"\x00\x01hi")`,
		},
		{
			row: "Arguments: data as a file or generator", view: "seen",
			stream: `{"start":{"method":"PUT","url":"{U}/","stream":{}}} {"chunk":"YWI="} {"chunk":"Yw=="} {"end":{}}`,
			want:   `{"method":"PUT","target":"/","body":"abc","headers":{"transfer-encoding":["chunked"]}}`,
			python: `r = requests.put(U, data=iter([b"ab", b"c"]))`,
		},
		{
			row: "Arguments: data as a file or generator", view: "seen",
			stream: `{"start":{"method":"PUT","url":"{U}/","stream":{"content_length":3}}} {"chunk":"YWJj"} {"end":{}}`,
			want:   `{"method":"PUT","target":"/","body":"abc","headers":{"content-length":["3"]}}`,
			python: `import io; r = requests.put(U, data=io.BytesIO(b"abc"))`,
		},
		{
			row: "Arguments: json", view: "seen",
			fetch: []string{`{"method":"POST","url":"{U}/","json":{"a":[1,2]}}`},
			want: `{"method":"POST","target":"/","body":"{\"a\":[1,2]}","headers":{
				"content-type":["application/json"],"content-length":["11"]}}`,
			python: `r = requests.post(U, json={"a": [1, 2]})`,
			differs: `{"method":"POST","target":"/","body":"{\"a\": [1, 2]}","headers":{
				"content-type":["application/json"],"content-length":["13"]}}`,
		},
		{
			row: "Arguments: json", view: "seen",
			fetch: []string{`{"method":"POST","url":"{U}/","json_text":"{\"id\": 9007199254740993}"}`},
			want: `{"method":"POST","target":"/","body":"{\"id\": 9007199254740993}","headers":{
				"content-type":["application/json"],"content-length":["24"]}}`,
			python: `r = requests.post(U, json={"id": 9007199254740993})`,
		},
		{
			row: "Arguments: headers", view: "seen",
			fetch: []string{`{"url":"{U}/","headers":[
				{"name":"X-Team","value":"billing"},{"name":"Accept-Language","value":"de, en;q=0.5"}]}`},
			want: `{"method":"GET","target":"/","body":"","headers":{
				"x-team":["billing"],"accept-language":["de, en;q=0.5"]}}`,
			python: `r = requests.get(U, headers={"X-Team": "billing", "Accept-Language": "de, en;q=0.5"})`,
		},
		{
			row: "Arguments: cookies", view: "seen",
			fetch: []string{`{"url":"{U}/","cookies":[{"name":"a","value":"1"},{"name":"b","value":"x=y"}]}`},
			want:  `{"method":"GET","target":"/","body":"","headers":{"cookie":["a=1; b=x=y"]}}`, python: `r = requests.get(U, cookies={"a": "1", "b": "x=y"})`,
		},
		{
			row: "Arguments: files", names: httpbin,
			fetch: []string{`{"method":"POST","url":"{U}/post","as":"JSON","multipart":{"parts":[
				{"name":"title","text":"Prices"},{"name":"file","filename":"p.csv","data":"YSxiCg=="}]}}`},
			look: last(func(a *fetchAnswer) any {
				v := a.res["json"].(map[string]any)
				return map[string]any{"form": v["form"], "files": v["files"]}
			}),
			want: `{"form":{"title":["Prices"]},"files":{"file":["a,b\n"]}}`,
			python: `v = requests.post(U + "/post", data={"title": "Prices"}, files={"file": ("p.csv", b"a,b\n")}).json()
out = {"form": v["form"], "files": v["files"]}`,
		},
		{
			row: "Arguments: files",
			fetch: []string{`{"method":"POST","url":"{U}/","multipart":{"boundary":"B","parts":[
				{"name":"file","filename":"p.csv","data":"YQ=="}]}}`},
			look: func(t *testing.T, all []*fetchAnswer) any { return seen(t, all[0])["body"] },
			want: `"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"p.csv\"\r\nContent-Type: text/csv\r\n\r\na\r\n--B--\r\n"`,
			python: `r = requests.post(U, files={"file": ("p.csv", b"a")})
boundary = seen(r)["headers"]["content-type"][0].split("=")[1]
out = seen(r)["body"].replace(boundary, "B")`,
			differs: `"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"p.csv\"\r\n\r\na\r\n--B--\r\n"`,
		},
		{
			row: "Arguments: auth as name and password", view: "seen",
			fetch:  []string{`{"url":"{U}/","headers":[{"name":"Authorization","value":"Basic bWU6c2VjcmV0"}]}`},
			want:   `{"method":"GET","target":"/","body":"","headers":{"authorization":["Basic bWU6c2VjcmV0"]}}`,
			python: `r = requests.get(U, auth=("me", "secret"))`,
		},
		{
			row: "Arguments: timeout", names: script(testpeer.StallOnAccept),
			fetch: []string{`{"url":"{U}/","timeouts":{"connect":"2s","first_byte":"0.1s"}}`}, kind: "FIRST_BYTE_TIMEOUT",
			python: `requests.get(U, timeout=(2, 0.1))`, raises: "ReadTimeout",
		},
		{
			row: "Arguments: timeout=None", names: script(testpeer.StallOnAccept),
			fetch: []string{`{"url":"{U}/","timeouts":{"total":"0.1s"}}`}, kind: "TOTAL_TIMEOUT",
		},
		{
			row: "Arguments: allow_redirects", names: script(testpeer.RedirectTo(302, "/next")), view: "shown",
			fetch:  []string{`{"url":"{U}/","redirects":{"mode":"NONE"}}`},
			want:   `{"status":302,"reason":"Found","url":"{U}/","ok":true,"history":[],"body":"over there\n"}`,
			python: `r = requests.get(U, allow_redirects=False)`,
		},
		{
			row: "Arguments: allow_redirects", names: script(testpeer.RedirectChain(302, 2)),
			fetch:   []string{`{"method":"HEAD","url":"{U}/"}`},
			look:    member("status"),
			want:    `200`,
			python:  `out = requests.head(U).status_code`,
			differs: `302`,
		},
		{
			row: "Arguments: stream", view: "content",
			names:  script(testpeer.TrickleBody("one two three", 4, 10*time.Millisecond)),
			stream: `{"start":{"url":"{U}/"}}`,
			want:   `"b25lIHR3byB0aHJlZQ=="`,
			python: `r = requests.get(U, stream=True)`,
		},
		{
			row: "Arguments: verify=True", view: "shown",
			names: func(t *testing.T, w *requestsWorld) map[string]string {
				s := testpeer.RawTLS(t, w.ca.Issue(testpeer.CertOpts{}), testpeer.OK)
				return map[string]string{"U": s.URL, "CA": w.caFile}
			},
			fetch:  []string{`{"url":"{U}/"}`},
			want:   `{"status":200,"reason":"OK","url":"{U}/","ok":true,"history":[],"body":"ok"}`,
			python: `r = requests.get(U, verify=CA)`,
		},
	}
}

func sessionCases() []requestsCase {
	return []requestsCase{
		{
			row: "Session: get, options, head, post, put, patch, delete",
			fetch: []string{
				`{"url":"{U}/"}`, `{"method":"OPTIONS","url":"{U}/"}`, `{"method":"HEAD","url":"{U}/"}`, `{"method":"POST","url":"{U}/"}`,
				`{"method":"PUT","url":"{U}/"}`, `{"method":"PATCH","url":"{U}/"}`, `{"method":"DELETE","url":"{U}/"}`,
			},
			look: func(t *testing.T, all []*fetchAnswer) any {
				var methods []any
				for _, a := range all {
					if len(a.content) == 0 {
						methods = append(methods, "no body")
						continue
					}
					methods = append(methods, seen(t, a)["method"])
				}
				return methods
			},
			want: `["GET","OPTIONS","no body","POST","PUT","PATCH","DELETE"]`,
			python: `s = requests.Session()
all = [s.get(U), s.options(U), s.head(U), s.post(U), s.put(U), s.patch(U), s.delete(U)]
out = [seen(r)["method"] if r.content else "no body" for r in all]`,
		},
		{
			row: "Session: request, send", view: "seen",
			fetch:  []string{`{"method":"PUT","url":"{U}/x","raw":"aGk="}`},
			want:   `{"method":"PUT","target":"/x","body":"hi","headers":{"content-length":["2"]}}`,
			python: `s = requests.Session(); r = s.send(s.prepare_request(requests.Request("PUT", U + "/x", data=b"hi")))`,
		},
		{
			row: "Session: max_redirects", names: script(testpeer.RedirectChain(302, 3)),
			fetch: []string{`{"url":"{U}/","redirects":{"max":2}}`}, kind: "TOO_MANY_REDIRECTS",
			python: `s = requests.Session(); s.max_redirects = 2; s.get(U)`, raises: "TooManyRedirects",
		},
		{
			row: "Session: resolve_redirects, get_redirect_target", names: script(testpeer.RedirectChain(307, 2)),
			fetch: []string{`{"url":"{U}/"}`},
			look: func(t *testing.T, all []*fetchAnswer) any {
				return []any{each(all[0].res["history"], "url"), all[0].res["url"]}
			},
			want:   `[["{U}/","{U}/hop/1"],"{U}/hop/2"]`,
			python: `r = requests.get(U); out = [[h.url for h in r.history], r.url]`,
		},
		{
			row:   "Session: rebuild_method",
			names: chains,
			fetch: rebuilt(),
			look: func(t *testing.T, all []*fetchAnswer) any {
				var became []any
				for _, a := range all {
					became = append(became, seen(t, a)["method"])
				}
				return became
			},
			want: `["GET","PUT", "GET","PUT", "GET","GET", "POST","PUT", "POST","PUT"]`,
			python: `out = [seen(requests.request(m, u, data=b"x"))["method"]
	for u in (R301, R302, R303, R307, R308) for m in ("POST", "PUT")]`,
			differs: `["GET","PUT", "GET","GET", "GET","GET", "POST","PUT", "POST","PUT"]`,
		},
		{
			row: "Session: rebuild_auth, should_strip_auth",
			names: func(t *testing.T, _ *requestsWorld) map[string]string {
				to := testpeer.Echo(t).URL
				return map[string]string{"U": testpeer.Raw(t, testpeer.RedirectTo(302, to)).URL}
			},
			fetch: []string{`{"url":"{U}/","headers":[
				{"name":"Authorization","value":"Bearer t"},{"name":"X-Key","value":"k"},{"name":"Range","value":"bytes=0-"}]}`},
			look: func(t *testing.T, all []*fetchAnswer) any {
				return []any{seen(t, all[0])["headers"], each(all[0].res["history"], "dropped_headers")}
			},
			want: `[{"range":["bytes=0-"]}, [["Authorization","X-Key"]]]`,
			python: `h = {"Authorization": "Bearer t", "X-Key": "k", "Range": "bytes=0-"}
out = [seen(requests.get(U, headers=h))["headers"], [["Authorization"]]]`,
			differs: `[{"x-key":["k"],"range":["bytes=0-"]}, [["Authorization"]]]`,
		},
		{
			row: "Session: adapters, mount, get_adapter", names: script(testpeer.OK),
			fetch: []string{`{"url":"{U}/"}`, `{"url":"{U}/"}`},
			look: func(_ *testing.T, all []*fetchAnswer) any {
				return each(all[1].res["attempts"], "connection_reused")
			},
			want: `[true]`,
		},
	}
}

// chains are upstreams R301 and so on that redirect once to an echo.
func chains(t *testing.T, _ *requestsWorld) map[string]string {
	all := map[string]string{}
	for _, status := range []int{301, 302, 303, 307, 308} {
		all[fmt.Sprintf("R%d", status)] = testpeer.Raw(t, testpeer.RedirectChain(status, 1)).URL
	}
	return all
}

// rebuilt is a POST and a PUT to each of chains.
func rebuilt() (all []string) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, method := range []string{"POST", "PUT"} {
			all = append(all, fmt.Sprintf(`{"method":%q,"url":"{R%d}/","raw":"eA=="}`, method, status))
		}
	}
	return all
}

// stranger is a certificate that nobody trusts.
func stranger(t *testing.T, w *requestsWorld) map[string]string {
	return secured(testpeer.NewCA(t), testpeer.CertOpts{})(t, w)
}

func secured(ca *testpeer.CA, opts testpeer.CertOpts) func(*testing.T, *requestsWorld) map[string]string {
	return func(t *testing.T, w *requestsWorld) map[string]string {
		if ca == nil {
			ca = w.ca
		}
		return map[string]string{"U": testpeer.RawTLS(t, ca.Issue(opts), testpeer.OK).URL, "CA": w.caFile}
	}
}

// otherName is a certificate for another address.
func otherName() testpeer.CertOpts {
	return testpeer.CertOpts{IPs: []net.IP{net.IPv4(127, 0, 0, 2)}}
}
