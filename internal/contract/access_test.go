package contract

// passes is a case that host's rules let through; the path is the line's as
// written.
func passes(name, host, method, path string) testCase {
	return testCase{
		name: "rules let pass: " + name, in: `{"method":"` + method + `","url":"http://` + host + `.test:{peer.port}` + path + `"}`,
		want: want{upstream: host}, sent: &sent{line: method + " " + path + " HTTP/1.1"},
	}
}

// stops is a case that host's rules refuse before anything is dialled.
func stops(name, host, method, path string, says ...string) testCase {
	return testCase{
		name: "rules refuse: " + name, in: `{"method":"` + method + `","url":"http://` + host + `.test:{peer.port}` + path + `"}`,
		want: want{kind: "POLICY_DENIED", says: append(says, `caller "anonymous"`, host)},
	}
}

// ruleCases: allow and deny by method, path and caller; deny beats allow, and the
// message names the rule.
func ruleCases() []testCase {
	const allowed, methods = "allows paths [/repos/**, /me, /café, /v*/items/*.json] only", "allows methods [GET, HEAD, POST] only"
	redirected := testCase{
		name: "rules refuse: the hop of a redirect", peers: to(302, "http://ruled.test:{other.port}/elsewhere"), in: `{"url":"http://{peer}/a"}`,
		want: want{kind: "POLICY_DENIED", says: []string{"a redirect was refused", allowed}, attempts: []string{"FIRST GET ANSWERED 302"}},
	}
	changed := redirected
	changed.name, changed.in = "rules refuse: the method of a redirect", `{"method":"DELETE","url":"http://{peer}/a"}`
	changed.peers = to(307, "http://ruled.test:{other.port}/me")
	changed.want.says, changed.want.attempts = []string{"a redirect was refused", methods}, []string{"FIRST DELETE ANSWERED 307"}
	return []testCase{
		passes("a path below", "ruled", "GET", "/repos/a/b"),
		passes("the path itself", "ruled", "GET", "/repos"),
		passes("a method of the list", "ruled", "POST", "/repos/a"),
		passes("a path with a star in two segments", "ruled", "GET", "/v2/items/a.json"),
		passes("a GET where only POST is denied", "ruled", "GET", "/repos/a/locked"),
		passes("a caller that is named", "strangers", "GET", "/"),
		stops("a path that is not listed", "ruled", "GET", "/other", allowed, "/other is not among them"),
		stops("a path that only begins so", "ruled", "GET", "/reposes", allowed),
		stops("a path below one without stars", "ruled", "GET", "/me/too", allowed),
		stops("a path in other letters", "ruled", "GET", "/ME", allowed),
		stops("the root", "ruled", "GET", "/", allowed),
		stops("a segment more than the stars", "ruled", "GET", "/v2/x/items/a.json", allowed),
		stops("a method that is not listed", "ruled", "DELETE", "/repos/a", methods, "DELETE is not among them"),
		stops("a method in other letters", "ruled", "get", "/repos/a", methods),
		stops("a denied method on a denied path", "ruled", "POST", "/repos/a/locked", "deny.rules[0]", "methods [POST], paths [/repos/*/locked]"),
		stops("a denied path deep below an allowed one", "ruled", "GET", "/repos/a/b/secret", "deny.rules[1]"),
		stops("a denied path with a slash at its end", "ruled", "GET", "/repos/a/secret/", "deny.rules[1]"),
		stops("a denied path in encoded letters", "ruled", "GET", "/repos/a/%73ecret", "deny.rules[1]"),
		stops("a caller that is not listed", "known", "GET", "/", "allows other callers only"),
		stops("a caller by pattern", "strangers", "DELETE", "/", "deny", "callers [anon*], methods [DELETE]"),
		passes("a rule that only reports", "half-watched", "PUT", "/"),
		stops("a rule beside one that only reports", "half-watched", "DELETE", "/", "deny.rules[1]"),
		passes("an upstream that only reports", "watched", "GET", "/unknown"),
		passes("an ambiguous path where the upstream only reports", "watched", "GET", "/known/../x"),
		redirected, changed,
	}
}

// pathCases: a path that servers read in different ways is refused where a rule
// looks at paths, and nowhere else; what is sent is what was written.
func pathCases() []testCase {
	doubt := func(path, why string) testCase {
		return stops("the path "+path, "ruled", "GET", path, "can be read in different ways", why)
	}
	slash := testCase{ // a backslash is no part of a URL's path: it goes out encoded
		name: "rules refuse: the path with a backslash", in: `{"url":"http://ruled.test:{peer.port}/repos/a\\b"}`,
		want: want{kind: "POLICY_DENIED", says: []string{"backslash"}},
	}
	return []testCase{
		passes("a slash at the end", "ruled", "GET", "/repos/a/"),
		passes("encoded letters", "ruled", "GET", "/%72epos/%61"),
		passes("a letter beyond ASCII", "ruled", "GET", "/caf%C3%A9"),
		passes("dots inside a segment", "ruled", "GET", "/repos/a..b/.c"),
		passes("a query that looks like a path", "ruled", "GET", "/me?next=/../admin;x=%2F//"),
		doubt("/repos//a", "empty segment"),
		doubt("//repos/a", "empty segment"),
		doubt("/repos/./a", "dot segment"),
		doubt("/repos/../admin", "dot segment"),
		doubt("/repos/..", "dot segment"),
		doubt("/repos/%2e%2e/admin", "encoded dot (%2E)"),
		doubt("/repos/.%2E/admin", "encoded dot (%2E)"),
		doubt("/repos/a%2Fb", "encoded slash (%2F)"),
		doubt("/repos/a%2fb", "encoded slash (%2F)"),
		doubt("/repos/a%5Cb", "encoded backslash (%5C)"),
		doubt("/repos/a;v=1", "semicolon"),
		doubt("/repos/a%3Bv=1", "encoded semicolon (%3B)"),
		doubt("/repos/a%00.json", "NUL (%00)"),
		doubt("/repos/a%0d%0ab", "control character"),
		doubt("/repos/%252e%252e/admin", "percent-encoded twice"),
		doubt("/repos/%ff", "not valid UTF-8"),
		slash,
		passes("dots where no rule looks at paths", "strangers", "GET", "/a/../b//c;d%2Fe"),
		passes("empty segments by unsafe_ambiguous_paths", "loose", "GET", "/a//b"),
		passes("an encoded slash by unsafe_ambiguous_paths", "loose", "GET", "/a%2Fb;c"),
		stops("a denied path although ambiguous ones pass", "loose", "GET", "/admin/x", "deny", "/admin/**"),
	}
}

// routeCases: the most specific route has the say over clocks, sizes and retries.
func routeCases() []testCase {
	const url = `"url":"http://routed.test:{peer.port}`
	slow := raw(func(c *rawConn) { c.ReadRequest(); c.Stall() })
	long := answers(response(200, string(make([]byte, 100))))
	in := func(name, fields string, peers setup, w want) testCase {
		if w.kind == "" {
			w.upstream = "routed"
		}
		return testCase{name: "route: " + name, peers: peers, in: "{" + fields + "}", want: w}
	}
	return []testCase{
		in("a path's clock", url+`/fast/a"`, slow, want{kind: "FIRST_BYTE_TIMEOUT", safe: true, says: []string{"150ms"}, attempts: []string{"FIRST GET MAYBE_PROCESSED FIRST_BYTE_TIMEOUT"}}),
		in("the longer path's clock", url+`/fast/but/long","timeouts":{"first_byte":"19s","attempt":"1s"}`, slow,
			want{kind: "ATTEMPT_TIMEOUT", safe: true, attempts: []string{"FIRST GET MAYBE_PROCESSED ATTEMPT_TIMEOUT"}}),
		in("a wish over the path's clock", url+`/fast/a","timeouts":{"first_byte":"0.2s"}`, nil, want{kind: "INVALID_REQUEST", fields: []string{"timeouts.first_byte"}, says: []string{"150ms"}}),
		in("a wish over the path's ceiling", url+`/fast/a","timeouts":{"total":"40s"}`, nil, want{kind: "INVALID_REQUEST", fields: []string{"timeouts.total"}, says: []string{"5s"}}),
		in("the same wish on another path", url+`/other","timeouts":{"total":"40s"}`, nil, want{}),
		in("a path's size", url+`/small/a"`, long, want{kind: "RESPONSE_TOO_LARGE", says: []string{"64"}, attempts: []string{"FIRST GET ANSWERED 200 RESPONSE_TOO_LARGE"}}),
		in("a wish within the path's size", url+`/small/a","max_response_bytes":128`, long, want{}),
		in("a wish over the path's size", url+`/small/a","max_response_bytes":129`, long, want{kind: "INVALID_REQUEST", fields: []string{"max_response_bytes"}, says: []string{"128"}}),
		in("a path before a method", url+`/small/a","method":"PUT","text":"more than eight"`, nil, want{kind: "RESPONSE_TOO_LARGE", attempts: []string{"FIRST PUT ANSWERED 200 RESPONSE_TOO_LARGE"}}),
		in("a method's size", url+`/a","method":"PUT","text":"more than eight"`, nil, want{kind: "REQUEST_TOO_LARGE", says: []string{"8B", "routed"}}),
		in("a method's retries", url+`/a","method":"QUERY"`, answers(response(503, ""), response(200, "ok")),
			want{attempts: []string{"FIRST QUERY ANSWERED 503", "RETRY QUERY ANSWERED 200"}, notes: []string{"#2 after 10ms for status 503"}}),
		in("another caller's is not this one's", url+`/a"`, nil, want{}),
	}
}
