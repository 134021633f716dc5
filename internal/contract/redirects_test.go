package contract

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// redirectCases: what a redirect does to method and body (RFC 9110 section 15.4,
// as browsers live it), and where it may lead.
func redirectCases() (cases []testCase) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, method := range []string{"GET", "POST", "PUT", "HEAD"} {
			cases = append(cases, methodAfter(status, method))
		}
	}
	cases = append(cases, locationCases()...)
	follow := func(name, fields string, script testpeer.Script, w want) testCase {
		return testCase{name: "redirects " + name, peers: raw(script), in: `{"url":"http://{peer}/a"` + fields + `}`, want: w}
	}
	tries := func(status, n int, last string) (out []string) {
		for i := range n + 1 {
			line := fmt.Sprintf("FIRST GET ANSWERED %d", status)
			if i == n && last != "" {
				line = last
			}
			if i > 0 {
				line = fmt.Sprintf("hop %d %s", i, line)
			}
			out = append(out, line)
		}
		return out
	}
	hops := func(status, n int) (out []string) {
		for i := range n {
			from := fmt.Sprintf("/hop/%d", i)
			if i == 0 {
				from = "/a"
			}
			out = append(out, fmt.Sprintf("GET http://{peer}%s %d -> /hop/%d", from, status, i+1))
		}
		return out
	}
	return append(cases,
		follow("ten are followed", "", testpeer.RedirectChain(302, 10), want{url: "http://{peer}/hop/10", history: hops(302, 10), attempts: tries(302, 10, "FIRST GET ANSWERED 200")}),
		follow("eleven are too many", "", testpeer.RedirectChain(302, 11), want{kind: "TOO_MANY_REDIRECTS", says: []string{"redirects.max"}, history: hops(302, 10), attempts: tries(302, 10, "")}),
		follow("eleven by leave", `,"redirects":{"max":11}`, testpeer.RedirectChain(307, 11), want{history: hops(307, 11), attempts: tries(307, 11, "FIRST GET ANSWERED 200")}),
		follow("max 1 follows one", `,"redirects":{"max":1}`, testpeer.RedirectChain(301, 1), want{history: hops(301, 1), attempts: tries(301, 1, "FIRST GET ANSWERED 200")}),
		follow("max 1 and two come", `,"redirects":{"max":1}`, testpeer.RedirectChain(301, 2), want{kind: "TOO_MANY_REDIRECTS", history: hops(301, 1), attempts: tries(301, 1, "")}),
		follow("max 0 and one comes", `,"redirects":{"max":0}`, testpeer.RedirectChain(301, 1), want{kind: "TOO_MANY_REDIRECTS", attempts: tries(301, 0, "")}),
		follow("max 0 and none comes", `,"redirects":{"max":0}`, testpeer.OK, want{content: `bytes "ok"`}),
		follow("loop", `,"redirects":{"max":2}`, testpeer.RedirectLoop(308), want{kind: "TOO_MANY_REDIRECTS",
			history: []string{"GET http://{peer}/a 308 -> /a", "GET http://{peer}/a 308 -> /a"}, attempts: tries(308, 2, "")}),
		follow("mode NONE hands the 3xx over", `,"redirects":{"mode":"NONE"}`, testpeer.RedirectTo(302, "/next"), want{status: 302, stopped: "mode", content: `bytes "over there\n"`, headers: []string{"Location: /next"}}),
		follow("mode SAME_ORIGIN follows a path", `,"redirects":{"mode":"SAME_ORIGIN"}`, testpeer.RedirectChain(302, 1), want{history: hops(302, 1), attempts: tries(302, 1, "FIRST GET ANSWERED 200")}),
		follow("without a Location is the answer", "", testpeer.RedirectNowhere(302), want{status: 302, content: `bytes "nowhere\n"`}),
		follow("300 is the answer", "", testpeer.RedirectTo(300, "/next"), want{status: 300, headers: []string{"Location: /next"}}),
		follow("304 is the answer", "", testpeer.Answer(testpeer.Lines("HTTP/1.1 304 Not Modified", "Location: /next")), want{status: 304}),
		follow("201's Location is no redirect", "", testpeer.RedirectTo(201, "/next"), want{status: 201, content: `bytes "over there\n"`}),
		follow("two Locations that agree", "", testpeer.Answer(testpeer.Response(302, "", "Location: /n", "Location: /n"), testpeer.Response(200, "there")),
			want{content: `bytes "there"`, history: []string{"GET http://{peer}/a 302 -> /n"}, attempts: tries(302, 1, "FIRST GET ANSWERED 200")}),
		follow("two Locations that differ", "", testpeer.Answer(testpeer.Response(302, "", "Location: /n", "Location: /m")), want{kind: "BAD_REDIRECT", says: []string{"several Location"}, attempts: tries(302, 0, "")}),
		follow("body of the redirect may have no end", "", testpeer.InTurn(endlessRedirect, testpeer.OK),
			want{content: `bytes "ok"`, history: []string{"GET http://{peer}/a 302 -> /next"}, attempts: tries(302, 1, "FIRST GET ANSWERED 200")}),
		follow("to a host that no upstream lists", "", testpeer.RedirectTo(302, "http://unlisted.example/"), want{kind: "POLICY_DENIED", says: []string{"redirect", "http://unlisted.example"}, attempts: tries(302, 0, "")}),
		follow("to a private address", "", testpeer.RedirectTo(302, "http://10.1.2.3/"), want{kind: "ADDRESS_DENIED", says: []string{"10.1.2.3", "private"},
			history: []string{"GET http://{peer}/a 302 -> http://10.1.2.3/"}, attempts: tries(302, 1, "FIRST GET UNSENT ADDRESS_DENIED")}),
		follow("to cloud metadata", "", testpeer.RedirectTo(307, "http://169.254.169.254/latest"), want{kind: "ADDRESS_DENIED", says: []string{"metadata"},
			history: []string{"GET http://{peer}/a 307 -> http://169.254.169.254/latest"}, attempts: tries(307, 1, "FIRST GET UNSENT ADDRESS_DENIED")}),
		follow("to a name that does not resolve", "", testpeer.RedirectTo(302, "http://nowhere.test/"), want{kind: "DNS_ERROR", safe: true,
			history: []string{"GET http://{peer}/a 302 -> http://nowhere.test/"}, attempts: tries(302, 1, "FIRST GET UNSENT DNS_ERROR")}),
		testCase{name: "redirects keep a fragment out of the URL", peers: raw(testpeer.RedirectChain(302, 1)), in: `{"url":"http://{peer}/a#top"}`,
			want: want{url: "http://{peer}/hop/1", history: hops(302, 1), attempts: tries(302, 1, "FIRST GET ANSWERED 200")}, sent: &sent{line: "GET /hop/1 HTTP/1.1"}},
		testCase{name: "redirects by httpbin", peers: httpbin, in: `{"url":"http://{peer}/relative-redirect/2","as":"JSON"}`, want: want{url: "http://{peer}/get", attempts: tries(302, 2, "FIRST GET ANSWERED 200"),
			history: []string{"GET http://{peer}/relative-redirect/2 302 -> /relative-redirect/1", "GET http://{peer}/relative-redirect/1 302 -> /get"}}},
	)
}

// endlessRedirect sends a redirect whose body never ends.
func endlessRedirect(c *testpeer.RawConn) {
	c.ReadRequest()
	c.Write(testpeer.Lines("HTTP/1.1 302 Found", "Location: /next", "Transfer-Encoding: chunked"))
	chunk := "2000\r\n" + strings.Repeat("x", 0x2000) + "\r\n"
	for {
		c.Write(chunk)
	}
}

// methodAfter is one redirect of a request with a body.
func methodAfter(status int, method string) testCase {
	after := method
	switch {
	case status == 303 && method != "HEAD", status < 303 && method == "POST":
		after = "GET"
	}
	dropped, wantBody, not := "", "payload", []string{}
	if after != method {
		dropped, wantBody, not = " without Content-Language, Content-Type", "", []string{"Content-Type", "Content-Language", "Content-Length"}
	}
	return testCase{
		name:  fmt.Sprintf("redirect %d after %s is %s", status, method, after),
		peers: raw(testpeer.RedirectChain(status, 1)),
		in: fmt.Sprintf(`{"method":%q,"url":"http://{peer}/start?q","text":"payload","cookies":[{"name":"c","value":"1"}],"headers":[
			{"name":"Authorization","value":"Basic dTpw"},{"name":"Content-Language","value":"en"},{"name":"X-Own","value":"1"}]}`, method),
		want: want{
			url:      "http://{peer}/hop/1",
			history:  []string{fmt.Sprintf("%s http://{peer}/start?q %d -> /hop/1%s", method, status, dropped)},
			attempts: []string{fmt.Sprintf("FIRST %s ANSWERED %d", method, status), fmt.Sprintf("hop 1 FIRST %s ANSWERED 200", after)},
		},
		sent: &sent{line: after + " /hop/1 HTTP/1.1", not: not, body: body(wantBody), has: []string{"Authorization: Basic dTpw", "Cookie: c=1", "X-Own: 1"}},
	}
}

// locationCases: Locations as they are found in the wild.
func locationCases() (cases []testCase) {
	leads := map[string]string{
		"relative path": "/start/next", "absolute path": "/next", "dot segments": "/a/next", "query only": "/start/page?page=2",
		"scheme-relative": "/next", "spaces": "/a%20b", "raw utf-8": "/caf%C3%A9", "latin-1": "/caf%E9", "fragment": "/next",
		"bad escape": "/100%25", "tab inside": "/ne%09xt",
	}
	for i, odd := range testpeer.OddLocations("http://HERE") {
		c := testCase{
			name: "Location with " + odd.Name, in: `{"url":"http://{peer}/start/page"}`,
			peers: func(t *testing.T, _ *world) peers {
				var here *testpeer.RawServer
				here = testpeer.Raw(t, testpeer.EachRequest(func(c *testpeer.RawConn, r testpeer.Request) {
					if r.Target == "/start/page" {
						c.Write(testpeer.Response(302, "", "Location: "+testpeer.OddLocations(here.URL)[i].Location))
						return
					}
					c.Write(testpeer.Response(200, "there"))
				}))
				return peers{"peer": of(here)}
			},
			want: want{kind: "BAD_REDIRECT", attempts: []string{"FIRST GET ANSWERED 302"}},
		}
		if to, ok := leads[odd.Name]; ok {
			location := strings.ReplaceAll(strings.ReplaceAll(odd.Location, "http://HERE", "http://{peer}"), "HERE", "{peer}")
			c.want = want{
				url: "http://{peer}" + to, content: `bytes "there"`,
				history:  []string{"GET http://{peer}/start/page 302 -> " + location},
				attempts: []string{"FIRST GET ANSWERED 302", "hop 1 FIRST GET ANSWERED 200"},
			}
			c.sent = &sent{line: "GET " + to + " HTTP/1.1"}
			if odd.Name == "latin-1" {
				c.want.history = []string{"GET http://{peer}/start/page 302 -> http://{peer}/caf\ufffd"}
			}
		} else if odd.Name == "userinfo" {
			c.want.says = []string{http.StatusText(0), "user name or password"}
		}
		cases = append(cases, c)
	}
	return cases
}
