package contract

import (
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// to is two peers: one that redirects to location (whose {other} is the other's
// address), and an echo.
func to(status int, location string, fields ...string) setup {
	return func(t *testing.T, _ *world) peers {
		ps := peers{"other": of(testpeer.Raw(t, testpeer.EchoScript))}
		ps["peer"] = of(testpeer.Raw(t, testpeer.Answer(testpeer.Response(status, "", append(fields, "Location: "+ps.fill(location))...))))
		return ps
	}
}

// thereAndBack redirects to another origin, which redirects back.
func thereAndBack(t *testing.T, _ *world) peers {
	var here *testpeer.RawServer
	away := testpeer.Raw(t, testpeer.EachRequest(func(c *testpeer.RawConn, _ testpeer.Request) {
		c.Write(testpeer.Response(302, "", "Location: "+here.URL+"/home"))
	}))
	here = testpeer.Raw(t, testpeer.EachRequest(func(c *testpeer.RawConn, r testpeer.Request) {
		if r.Target == "/home" {
			c.Write(testpeer.Response(200, "home"))
			return
		}
		c.Write(testpeer.Response(302, "", "Location: "+away.URL+"/away"))
	}))
	return peers{"peer": of(here), "away": of(away)}
}

// downgrade redirects from https to http on the same host.
func downgrade(t *testing.T, w *world) peers {
	other := testpeer.Raw(t, testpeer.EchoScript)
	tls := testpeer.RawTLS(t, w.ca.Issue(testpeer.CertOpts{}), testpeer.RedirectTo(302, other.URL+"/plain"))
	return peers{"peer": of(tls), "other": of(other)}
}

// crossOriginCases: what may go along to another scheme, host or port: nothing
// that could be a secret.
func crossOriginCases() []testCase {
	const secrets = `"cookies":[{"name":"c","value":"1"}],"idempotency_key":"k","headers":[
		{"name":"Authorization","value":"Basic dTpw"},{"name":"X-Api-Key","value":"s3cret"},{"name":"X-Own","value":"1"},
		{"name":"Accept","value":"a/b"},{"name":"Accept-Language","value":"de"},{"name":"Range","value":"bytes=0-"},{"name":"User-Agent","value":"mine"}]`
	gone := []string{"Authorization", "Cookie", "X-Api-Key", "X-Own"}
	along := []string{"User-Agent: mine", "Accept: a/b", "Accept-Language: de", "Idempotency-Key: k", "Range: bytes=0-"}
	const without = " without Authorization, Cookie, X-Api-Key, X-Own"
	two := []string{"FIRST GET ANSWERED 302", "hop 1 FIRST GET ANSWERED 200"}
	mode := func(name, mode, location string, peers setup, w want) testCase {
		return testCase{name: "origins " + name, peers: peers, in: `{"url":"http://{peer}/a","redirects":{"mode":"` + mode + `"}}`, want: w}
	}
	stays := want{status: 302, stopped: "mode", content: `bytes ""`}
	goes := func(location, upstream string) want {
		return want{history: []string{"GET http://{peer}/a 302 -> " + location}, attempts: two, url: location, upstream: upstream}
	}
	const sameUpstream, sibling = "http://else.test:{other.port}/b", "http://sibling.test:{other.port}/b"
	return []testCase{
		{
			name: "origins another port gets no secrets", peers: to(302, "http://{other}/b"), in: `{"url":"http://{peer}/a",` + secrets + `}`,
			want: want{url: "http://{other}/b", history: []string{"GET http://{peer}/a 302 -> http://{other}/b" + without}, attempts: two},
			sent: &sent{line: "GET /b HTTP/1.1", has: along, not: gone},
		},
		{
			name: "origins another name for the same address gets no secrets", peers: raw(testpeer.InTurn(testpeer.EachRequest(func(c *testpeer.RawConn, r testpeer.Request) {
				c.Write(testpeer.Response(302, "", "Location: http://alias.test:"+r.Get("Host")[len("127.0.0.1:"):]+"/b"))
			}), testpeer.EchoScript)), in: `{"url":"http://{peer}/a",` + secrets + `}`,
			want: want{history: []string{"GET http://{peer}/a 302 -> http://alias.test:{peer.port}/b" + without}, attempts: two},
			sent: &sent{has: append([]string{"Host: alias.test:{peer.port}"}, along...), not: gone},
		},
		{
			name: "origins another scheme gets no secrets", peers: downgrade, in: `{"url":"https://{peer}/a",` + secrets + `}`,
			want: want{url: "http://{other}/plain", history: []string{"GET https://{peer}/a 302 -> http://{other}/plain" + without}, attempts: two},
			sent: &sent{has: along, not: gone},
		},
		{
			name: "origins secrets do not come back with the way back", peers: thereAndBack, in: `{"url":"http://{peer}/a",` + secrets + `}`,
			want: want{content: `bytes "home"`, url: "http://{peer}/home",
				history:  []string{"GET http://{peer}/a 302 -> http://{away}/away" + without, "GET http://{away}/away 302 -> http://{peer}/home"},
				attempts: []string{"FIRST GET ANSWERED 302", "hop 1 FIRST GET ANSWERED 302", "hop 2 FIRST GET ANSWERED 200"}},
			sent: &sent{line: "GET /home HTTP/1.1", not: gone},
		},
		{
			name: "origins 307 takes the body along, and what describes it", peers: to(307, "http://{other}/b"),
			in: `{"method":"POST","url":"http://{peer}/a","json_text":"{}","headers":[{"name":"X-Own","value":"1"}]}`,
			want: want{history: []string{"POST http://{peer}/a 307 -> http://{other}/b without X-Own"},
				attempts: []string{"FIRST POST ANSWERED 307", "hop 1 FIRST POST ANSWERED 200"}},
			sent: &sent{line: "POST /b HTTP/1.1", has: []string{"Content-Length: 2", "Content-Type: application/json"}, not: []string{"X-Own"}, body: body("{}")},
		},
		{
			name: "origins a redirect's cookies are shown and not kept", peers: to(302, "http://{other}/b", "Set-Cookie: s=1; Path=/"),
			in:   `{"url":"http://{peer}/a"}`,
			want: want{history: []string{"GET http://{peer}/a 302 -> http://{other}/b sets s=1 path=/"}, attempts: two},
			sent: &sent{not: []string{"Cookie", "Referer"}},
		},
		{
			name: "origins a redirect to a stricter upstream cuts the wishes", peers: to(302, "http://bounded.test:{other.port}/b"),
			in:   `{"url":"http://{peer}/a","timeouts":{"total":"30s","connect":"4s"}}`,
			want: want{upstream: "bounded", history: []string{"GET http://{peer}/a 302 -> http://bounded.test:{other.port}/b"}, attempts: two},
		},
		mode("SAME_ORIGIN stops at another port", "SAME_ORIGIN", "", to(302, "http://{other}/b"), stays),
		mode("SAME_UPSTREAM goes to another host of the upstream", "SAME_UPSTREAM", "", to(302, sameUpstream), goes(sameUpstream, "open")),
		mode("SAME_UPSTREAM stops at another upstream", "SAME_UPSTREAM", "", to(302, sibling), stays),
		mode("SAME_UPSTREAM stops where no upstream is", "SAME_UPSTREAM", "", to(302, "http://unlisted.example/"), stays),
		mode("ANY goes to another upstream", "ANY", "", to(302, sibling), goes(sibling, "sibling")),
		mode("ANY is the default", "MODE_UNSPECIFIED", "", to(302, sibling), goes(sibling, "sibling")),
	}
}
